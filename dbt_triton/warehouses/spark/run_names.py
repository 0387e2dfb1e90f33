"""Names that tell whose a temporary thing is, and whether its run is still alive.

A run that was killed leaves tables and partitions behind. The next one must tell them from those of a run that is
under way: a name holds when its run began, on which machine and in which process.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from typing import ClassVar, Self

from dbt_triton.run_log.processes import is_running

_NAME = re.compile(r"(?P<started>[0-9]{10})_(?P<host>[0-9a-f]{8})_(?P<pid>[0-9]+)_(?P<number>[0-9a-f]{8})")
#: Whether another machine's run lives cannot be seen. What it has left for longer than this is taken for abandoned.
ABANDONED_SECONDS = 7 * 24 * 60 * 60


@dataclass(frozen=True)
class RunName:
    """The name of one run.

    Args:
        started: seconds since 1970.
        host: of eight hexadecimal digits.
        pid: of the process.
        number: at random.
    """

    started: int
    host: str
    pid: int
    number: str

    _alive: ClassVar[set[str]] = set()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def new(cls) -> Self:
        """Name a run of this process; end it with `end`."""
        name = cls(int(time.time()), this_host(), os.getpid(), secrets.token_hex(4))
        with cls._lock:
            cls._alive.add(str(name))
        return name

    @classmethod
    def within(cls, text: str) -> Self | None:
        """Find the name of a run in a text, such as the name of a table."""
        found = _NAME.search(text)
        return cls(int(found["started"]), found["host"], int(found["pid"]), found["number"]) if found else None

    def __str__(self) -> str:
        return f"{self.started:010d}_{self.host}_{self.pid}_{self.number}"

    def end(self) -> None:
        """Note that what is left of this run belongs to nobody."""
        with self._lock:
            self._alive.discard(str(self))

    @property
    def is_dead(self) -> bool:
        """Whether what is left of this run belongs to nobody."""
        if self.host != this_host():
            return time.time() - self.started > ABANDONED_SECONDS
        if self.pid == os.getpid():
            with self._lock:
                return str(self) not in self._alive
        return not is_running(self.pid)


def this_host() -> str:
    """Return what tells this machine, or container, from others."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
