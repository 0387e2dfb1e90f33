"""What the tasks of one run tell each other where they share a machine: wait, send less, stop.

Each executor has a small file for a run in its own local folder, which Spark removes with the executor. A server that
sheds load says so to one task; its neighbours then send half as much as well, and wait as long. Tasks of other
executors are not told: they see the server's own answers.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

#: When to send again (on the machine's monotonic clock), how often the server shed load, and whether to stop.
_STATE = struct.Struct("=dQQ")
#: Requests in flight fail together: so long they count as one overload.
_ONE_OVERLOAD_SECONDS = 0.2


class Neighbours:
    """The state that the tasks of a run on one executor share. Use it as a context manager.

    Args:
        run: the name of the run.
        folder: where its file is; by default the executor's local folder.
    """

    def __init__(self, run: str, folder: str | None = None) -> None:
        self._path = Path(folder or _local_folder()) / f"dbt_triton_{run}.state"
        self._known = 0
        self._told_at = 0.0

    def __enter__(self) -> Self:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._locked():
            if os.fstat(self._file).st_size < _STATE.size:
                os.ftruncate(self._file, _STATE.size)
        self._memory = mmap.mmap(self._file, _STATE.size)
        self._known = self._read()[1]
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._memory.close()
        os.close(self._file)

    def overloaded(self) -> None:
        """Tell the others that the server sheds load."""
        now = time.monotonic()
        if now - self._told_at < _ONE_OVERLOAD_SECONDS:
            return
        self._told_at = now
        with self._locked():
            resume_at, overloads, stop = self._read()
            self._write(resume_at, overloads + 1, stop)
        self._known += 1

    def resume_at(self, mine: float) -> float:
        """Return until when to wait: what this task was told, or a neighbour, whichever is later."""
        resume_at, overloads, stop = self._read()
        if mine > resume_at:
            with self._locked():
                resume_at, overloads, stop = self._read()
                resume_at = max(resume_at, mine)
                self._write(resume_at, overloads, stop)
        return resume_at

    def overloads_of_others(self) -> bool:
        """Tell whether a neighbour has met an overload since this was asked last."""
        overloads = self._read()[1]
        others, self._known = overloads > self._known, max(overloads, self._known)
        return others

    def stop(self) -> None:
        """Tell the others that the run is to end."""
        with self._locked():
            resume_at, overloads, _ = self._read()
            self._write(resume_at, overloads, 1)

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return bool(self._read()[2])

    def _read(self) -> tuple[float, int, int]:
        return _STATE.unpack(self._memory[: _STATE.size])

    def _write(self, resume_at: float, overloads: int, stop: int) -> None:
        self._memory[: _STATE.size] = _STATE.pack(resume_at, overloads, stop)

    @contextmanager
    def _locked(self) -> Generator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _local_folder() -> str:
    """Return the executor's own folder, as Spark tells its Python workers."""
    folders = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")
    return folders[0] if Path(folders[0]).is_dir() and folders[0] else tempfile.gettempdir()
