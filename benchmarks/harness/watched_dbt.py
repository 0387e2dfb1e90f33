"""A process of dbt that watches its own memory: what is DuckDB's, what is ours, and what is neither.

Ours is what Python and Arrow have in use. With ``PYTHONMALLOC=malloc`` the C library counts all of Python's; DuckDB has
an allocator of its own.

Run as a script: the file to write the figures to, then the arguments of dbt.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

FIGURES = ("duckdb", "ours", "rest", "node_seconds")
_SECONDS = 0.1
#: What ``mallinfo2`` counts, in its order.
_COUNTED = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: What DuckDB says of its memory, by what it is for.
_MEMORY = "select coalesce(sum(memory_usage_bytes), 0) from duckdb_memory()"


class Watch(threading.Thread):
    """Notes the peaks of this process's memory, in bytes, until it is told to stop, and a node's processor seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        #: While dbt had not opened DuckDB: dbt's own objects, and all packages.
        self._in_use_before = self._resident_before = 0
        self.duckdb = self.ours = self.rest = 0
        #: Of the last node that was built.
        self.node_seconds = 0.0

    def run(self) -> None:
        """Look again and again."""
        while not self._over.wait(_SECONDS):
            self._look()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()

    def note(self, event: Any) -> None:  # noqa: ANN401 - dbt's events have no types
        """Note the processor time when a node begins and ends; called by dbt."""
        if event.info.name == "NodeStart":
            self.node_seconds = -time.process_time()
        elif event.info.name == "NodeFinished":
            self.node_seconds += time.process_time()

    def _look(self) -> None:
        environment: Any = DuckDBConnectionManager._ENV  # noqa: SLF001 - dbt-duckdb has no other way to its database
        resident, in_use = _resident(), _in_use()
        if environment is None or getattr(environment, "conn", None) is None:
            self._resident_before, self._in_use_before = resident, in_use
            return
        ours = in_use - self._in_use_before
        self.ours = max(self.ours, ours)
        with suppress(duckdb.Error), environment.conn.cursor() as cursor:
            found = cursor.execute(_MEMORY).fetchone()
            of_duckdb = int(found[0]) if found else 0
            self.duckdb = max(self.duckdb, of_duckdb)
            self.rest = max(self.rest, resident - self._resident_before - of_duckdb - ours)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class _InUse(ctypes.Structure):
    """What ``mallinfo2`` returns."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _COUNTED)


def _in_use() -> int:
    """Return how many bytes the C library's allocator and Arrow's have given out."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _InUse
    found = library.mallinfo2()
    return int(found.uordblks + found.hblkhd) + int(pa.total_allocated_bytes())


def main() -> int:
    """Run dbt, and write the figures."""
    file, *arguments = sys.argv[1:]
    sys.path.pop(0)  # this folder, where dbt would take dbt_build.py for a plugin
    watch = Watch()
    watch.start()
    result = dbtRunner(callbacks=[watch.note]).invoke(arguments)
    watch.stop()
    Path(file).write_text(json.dumps({name: getattr(watch, name) for name in FIGURES}))
    if result.exception is not None:
        print(result.exception)
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
