"""Keys: by which a prediction is found again, as SQL.

A key is the first 16 bytes of a SHA-256: two inputs of one key are not to be made, so that it needs no salt, and one
column of 16 bytes passes through Arrow and Parquet as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

#: Bytes of a key.
KEY_BYTES = 16


def key_expression(columns: Sequence[str], optional: Collection[int] = (), filled: str | None = None) -> str:
    """Return the SQL of the key of a row: a BINARY.

    One value is hashed as it is. Several are joined with their lengths, so that no two rows look alike. A key of NULL
    means that a value is NULL: such a row is not sent. One that may be NULL is a dash then, where the length of a value
    would begin.

    Args:
        columns: the keys of the values: STRINGs, or BINARYs.
        optional: the places of columns among several without which a row is sent.
        filled: the SQL that is true for a row that is sent; needed where every column may be NULL.
    """
    key = columns[0] if len(columns) == 1 else _joined(columns, optional)
    hashed = f"substring(unhex(sha2({key}, 256)), 1, {KEY_BYTES})"
    return hashed if filled is None or len(columns) == 1 else f"case when {filled} then {hashed} end"


def _joined(columns: Sequence[str], optional: Collection[int]) -> str:
    """Join the bytes of values with their lengths; NULL if one of them is that must not be."""
    parts = []
    for place, column in enumerate(columns):
        data = f"cast({column} as binary)"
        part = f"concat(cast(concat(octet_length({column}), ':') as binary), {data})"
        parts.append(f"coalesce({part}, cast('-' as binary))" if place in optional else part)
    return f"concat({', '.join(parts)})"
