"""Half of DuckDB's default memory while rows are predicted, where the user has set no limit.

DuckDB takes up to 80 % of the machine's memory, or of what its container may have. With 40 % the whole process stays
under half of it, and what does not fit goes to DuckDB's temporary directory. The setting is one for all models that dbt
builds at once: the first one lowers it, the last one restores it.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from dbt_triton.warehouses.duckdb.session import DuckDBSession

_LIMIT = "select current_setting('memory_limit')"
#: Of DuckDB's sizes, each 1,024 times the one before.
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


@dataclass
class _Lowered:
    """Who needs the lower limit: a thread of dbt's builds one model at a time."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    holders: set[int] = field(default_factory=set)
    limit: str = ""


_LOWERED = _Lowered()


def size_in_bytes(text: str) -> int:
    """Read a size as DuckDB writes it, such as ``18.8 GiB``."""
    number, unit = text.split()
    return int(float(number) * 1024 ** _UNITS.index(unit))


def lower(session: DuckDBSession) -> bool:
    """Lower the limit for the model of this thread, if that is DuckDB's own and there is a place to spill to.

    Returns:
        Whether it is lower now; then `restore` must follow.
    """
    with _LOWERED.lock:
        # Of a model of this thread whose table could not be made: nothing tells when that fails.
        _LOWERED.holders.discard(threading.get_ident())
        current = _setting(session, "memory_limit")
        default = _default()
        if current == default and _can_spill(session, size_in_bytes(default) // 2):
            if not session.change_setting(f"set global memory_limit = '{size_in_bytes(default) // 2}B'"):
                _reset(session)  # what was refused may be shown all the same
                return False
            _LOWERED.limit = _setting(session, "memory_limit")
            _LOWERED.holders.clear()  # somebody has restored it, or this is another database
        elif current != _LOWERED.limit:
            return False
        _LOWERED.holders.add(threading.get_ident())
        return True


def restore(session: DuckDBSession) -> None:
    """Give DuckDB its default again when no model needs the lower limit; what a user has set meanwhile stays."""
    with _LOWERED.lock:
        _LOWERED.holders.discard(threading.get_ident())
        if _LOWERED.limit and not _LOWERED.holders and _setting(session, "memory_limit") == _LOWERED.limit:
            _reset(session)
            _LOWERED.limit = ""


def _reset(session: DuckDBSession) -> None:
    # RESET alone changes what DuckDB 1.4 and 1.5 say of the limit, and not the limit.
    session.change_setting(f"set global memory_limit = '{size_in_bytes(_default())}B'")
    session.change_setting("reset global memory_limit")


@cache
def _default() -> str:
    """Return the limit of a DuckDB that nobody has set any: it knows of control groups, and we need not."""
    with duckdb.connect() as fresh:
        found = fresh.execute(_LIMIT).fetchone()
    return str(found[0]) if found else ""


def _setting(session: DuckDBSession, name: str) -> str:
    return str(session.rows(f"select current_setting('{name}') as value")[0]["value"])


def _can_spill(session: DuckDBSession, size: int) -> bool:
    """Tell whether there is a temporary directory with room for what is no longer kept in memory.

    DuckDB makes it when it needs it, but none of its parents.
    """
    name = _setting(session, "temp_directory")
    if not name or "://" in name:
        return False
    folder = Path(name).expanduser().absolute()
    existing = folder if folder.exists() else folder.parent
    try:
        may_write = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        if not may_write or shutil.disk_usage(existing).free < size:
            return False
        most = _setting(session, "max_temp_directory_size")
        return most.startswith("90%") or size_in_bytes(most) >= size
    except (OSError, ValueError):
        return False
