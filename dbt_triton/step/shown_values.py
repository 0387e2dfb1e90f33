"""Values of rows in a message: as SQL writes them, cut to a line, and without control characters."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from typing import Any

#: How columns begin that are added to an input.
_OURS = "dbt_triton_"
_SHOWN_COLUMNS = 4
_SHOWN_LENGTH = 60


def shown_row(row: Mapping[str, Any]) -> str:
    """Show the first columns of a row, where its key usually is."""
    own = ((name, value) for name, value in row.items() if not name.startswith(_OURS))
    return ", ".join(f"{printable(name)} = {shown(value)}" for name, value in islice(own, _SHOWN_COLUMNS))


def shown(value: object) -> str:
    """Show a value that DuckDB has returned, as its SQL would write it: ``NULL``, ``'it''s'``, ``1.50``, ``[1, 2]``."""
    text = _as_sql(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


def printable(text: str) -> str:
    """Write what no terminal should get, such as line ends, ESC and marks of direction, as escapes."""
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _as_sql(value: object) -> str:  # noqa: C901, PLR0911 - one for each kind
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case float():
            return _of_float(value)
        case Decimal():
            return f"{value:f}"
        case int():
            return str(value)
        case bytes() | bytearray():
            return _of_bytes(bytes(value))
        case list() | tuple():
            return "[" + ", ".join(map(_as_sql, islice(value, _SHOWN_LENGTH))) + "]"
        case dict():
            return "{" + ", ".join(f"{_as_sql(key)}: {_as_sql(one)}" for key, one in value.items()) + "}"
        case dt.datetime():
            return f"'{value.isoformat(sep=' ')}'"
        case dt.timedelta():
            return f"'{value}'".replace(",", "")
        case _:
            # Dates, times and UUIDs are written in quotes, as texts are.
            text = str(value)[: _SHOWN_LENGTH + 1]
            return "'" + printable(text.replace("'", "''")) + "'"


def _of_float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "'nan'" if math.isnan(value) else f"'{'-' if value < 0 else ''}infinity'"


def _of_bytes(value: bytes) -> str:
    """Write bytes as DuckDB does: printable ASCII as it is, and the others as escapes."""
    shown_as_they_are = set(range(ord(" "), ord("~") + 1)) - set(b"\\'\"")
    pieces = (chr(byte) if byte in shown_as_they_are else f"\\x{byte:02X}" for byte in value[:_SHOWN_LENGTH])
    return "'" + "".join(pieces) + "'::BLOB"
