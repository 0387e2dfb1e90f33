"""Whether the process that began a row of the run log is still there, as far as this process can tell."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import threading
from functools import cache
from pathlib import Path

#: What a process may be called by; the table may hold anything.
_PID = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
#: The rows that this process has begun, and not ended yet.
_ALIVE: set[str] = set()
_LOCK = threading.Lock()


def begin(run_id: str) -> None:
    """Note that this process looks after a row."""
    with _LOCK:
        _ALIVE.add(run_id)


def end(run_id: str) -> None:
    """Note that nobody looks after a row any more."""
    with _LOCK:
        _ALIVE.discard(run_id)


@cache
def _name_of(pid: int) -> str:
    return f"{this_host()}_{pid}_{_started(pid)}"


def this_process() -> str:
    """Name this process: its machine, its number there, and when it started, where that can be seen."""
    return _name_of(os.getpid())


@cache
def this_host() -> str:
    """Return what tells this machine, or container, from others."""
    namespace = ""
    if sys.platform == "linux":
        try:
            namespace = str(Path("/proc/self/ns/pid").readlink()) + Path("/proc/sys/kernel/random/boot_id").read_text()
        except OSError:
            namespace = ""
    return hashlib.sha256((socket.gethostname() + namespace).encode()).hexdigest()[:12]


def is_gone(process: str | None, run_id: str, *, alone: bool) -> bool:
    """Tell whether nobody will end a row any more; False where that cannot be told.

    Args:
        process: that began it, as `this_process` named it.
        run_id: of the row.
        alone: whether no other process can have the table open to write.
    """
    if process == this_process() or alone:
        with _LOCK:
            return run_id not in _ALIVE
    host, _, rest = str(process or "").partition("_")
    number, _, started = rest.partition("_")
    if host != this_host() or not _PID.fullmatch(number) or sys.platform == "win32":
        return False
    if not is_running(int(number)):
        return True
    return bool(started) and _started(int(number)) not in {"", started}


def is_running(pid: int) -> bool:
    """Tell whether a process of this machine is there, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def _started(pid: int) -> str:
    """Return when a process started, in ticks since the machine did; empty where that is not told."""
    try:
        # The name stands in parentheses, and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
