"""Room for many connections: each is an open file, and many systems give a process 1,024 of them, or 256."""

from __future__ import annotations

import sys
from contextlib import suppress

#: What a process has open besides: the database, logs, libraries.
_OTHERS = 256


def allow_connections(count: int) -> None:
    """Raise the limit on open files as far as so many connections need, and the system lets us."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
