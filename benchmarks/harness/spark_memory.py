"""What Spark's Python workers hold, and what a store takes on disk. Linux only: by /proc."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_HIGHEST = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
#: Written to clear_refs, it lets the highest resident size begin anew (proc(5)).
_ANEW = "5"


def begin_anew() -> None:
    """Forget how much memory each Python worker has had."""
    for process in _workers():
        with suppress(OSError):  # it has ended
            Path(f"/proc/{process}/clear_refs").write_text(_ANEW)


def highest_megabytes() -> float:
    """Return the most that one Python worker has had resident; 0 where there is none."""
    found = []
    for process in _workers():
        with suppress(OSError):
            found += _HIGHEST.findall(Path(f"/proc/{process}/status").read_text())
    return max(map(int, found), default=0) / 1024


def bytes_of(folder: str) -> int:
    """Return the size of the Parquet files in a folder."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))


def _workers() -> set[int]:
    """Return the processes of Spark's Python that this process has started, by its JVM."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    mine = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return {process for process in mine if _runs_tasks(process)}


def _runs_tasks(process: int) -> bool:
    with suppress(OSError):
        return b"pyspark.daemon" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False
