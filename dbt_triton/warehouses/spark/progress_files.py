"""How far each task is, where driver and tasks share a folder: on a local master."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import astuple, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from dbt_triton.engine import Progress

_NUMBERS = struct.Struct(f"={len(fields(Progress))}Q")
_ENDING = ".progress"


class ProgressFile:
    """The file of one task. Use it as a context manager.

    Args:
        folder: shared with the driver; None where there is none, and nothing is written.
        number: of the task.
    """

    def __init__(self, folder: str | None, number: int) -> None:
        self._path = None if folder is None else Path(folder) / f"{number}{_ENDING}"
        self._file: int | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            with suppress(OSError):
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)

    def write(self, progress: Progress) -> None:
        """Say how far the task is."""
        if self._file is not None:
            os.pwrite(self._file, _NUMBERS.pack(*astuple(progress)), 0)


def read_progress(folder: Path) -> Progress:
    """Return how far all tasks are together."""
    sums = [0] * len(fields(Progress))
    for path in folder.glob(f"*{_ENDING}"):
        with suppress(OSError, struct.error):
            sums = [one + more for one, more in zip(sums, _NUMBERS.unpack(path.read_bytes()), strict=True)]
    return Progress(*sums)


def forget_progress(folder: Path) -> None:
    """Begin anew, with the next wave."""
    for path in folder.glob(f"*{_ENDING}"):
        path.unlink(missing_ok=True)
