"""The SQL of sequences: whose step a row is, and in which order the steps go.

Every direction is written out: DuckDB's settings ``default_order`` and ``default_null_order`` would turn it round.
"""

from __future__ import annotations

import re
from collections.abc import Collection

ASCENDING = "asc nulls last"
_TERM = re.compile(
    r"(?P<name>.+?)(?:\s+(?P<direction>asc|desc))?(?:\s+nulls\s+(?P<nulls>first|last))?", re.IGNORECASE | re.DOTALL
)


def read_term(text: str, columns: Collection[str]) -> tuple[str, str]:
    """Read one term of ``order-by``: a column, then perhaps ``asc`` or ``desc``, and ``nulls first`` or ``nulls last``.

    Args:
        text: as the user wrote it.
        columns: of the input; one that is called like the whole text is meant by it.

    Returns:
        The column's name, and the direction as SQL. NULLs are last, unless it is said.
    """
    match = _TERM.fullmatch(text.strip())
    if match is None or text.strip().lower() in map(str.lower, columns):
        return text.strip(), ASCENDING
    return match["name"].strip('"`'), f"{match['direction'] or 'asc'} nulls {match['nulls'] or 'last'}".lower()
