"""Keys: by which a prediction is found again, as SQL.

Keys are 128-bit numbers within DuckDB, where they are hashed and joined several times faster than texts or BLOBs.
They do not survive Arrow, so they travel as two 64-bit halves.

A key is a salted hash: two texts with one MD5 are easy to make, and inputs are often written by strangers. A salt that
they do not know keeps them from making two inputs of one key. Hashing takes as long as without it, and putting the
two together takes a few percent of a run; SHA-256 would take half as long again for the hash.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dbt_triton.warehouses.columns import FINGERPRINT, SALT
from dbt_triton.warehouses.planned_call import PlannedCall, all_of

#: What DuckDB keeps of an input besides its value while it looks for distinct ones, about.
_BYTES_A_ROW = 64
_PART_BYTES = 128 * 2**20
#: Twice as much where half of its memory has room for that, or as much as this share of it, where that is more.
_ROOM_SHARE, _PART_SHARE = 2, 16
_MAX_PARTS = 32


#: How many columns of a record batch are the key.
KEY_COLUMNS = 2


def key_expression(
    columns: Sequence[str], salt: str | None = None, optional: Collection[int] = (), filled: str | None = None
) -> str:
    """Return the SQL of the key of a row: an MD5 over a salt and its input values, as a UHUGEINT.

    One text is hashed as it is. Several values are joined with their lengths, so that no two rows look alike.
    A key of NULL means that a value is NULL: such a row is not sent. One that may be NULL is a dash then, where the
    length of a value would begin.

    Args:
        columns: SQL expressions of VARCHAR, the keys of the values.
        salt: the SQL of a text that the authors of inputs do not know; None where equal keys do no harm.
        optional: the places of columns among several without which a row is sent.
        filled: the SQL that is true for a row that is sent, where there is a cheaper one than looking at the keys.
    """
    joined = columns[0] if len(columns) == 1 else _joined(columns, optional, filled)
    return f"md5_number({joined if salt is None else f'{salt} || {joined}'})"


def _joined(columns: Sequence[str], optional: Collection[int], filled: str | None) -> str:
    """Join texts with their lengths; NULL if one of them is that must not be.

    One call joins any number of texts at once, where an operator copies what it has with each. It leaves out NULL.
    """
    texts = ", ".join(
        f"coalesce(strlen({text}) || ':' || {text}, '-')" if place in optional else f"strlen({text}), ':', {text}"
        for place, text in enumerate(columns)
    )
    needed = [text for place, text in enumerate(columns) if place not in optional]
    filled = filled or all_of([f"{text} is not null" for text in needed])
    return f"concat({texts}) || case when {filled} then '' end"


def key_of(planned: PlannedCall) -> str:
    """Return the SQL of the key of a row of a call's input."""
    return key_with(planned, salt_of(planned))


def key_with(planned: PlannedCall, salt: str) -> str:
    """Return the SQL of the key of a row, given that of the salt."""
    return key_expression(planned.key_values, salt, planned.optional, planned.filled)


def is_wide(planned: PlannedCall) -> bool:
    """Tell whether rows are known by the bytes of their values: `wide` then reads them."""
    # Rows are told apart by DuckDB's own rowid.
    return any(planned.wide) and not planned.in_order and "rowid" not in map(str.lower, planned.columns)


def salt_variable(planned: PlannedCall) -> str:
    """Name the variable of the session that has the salt of a call's keys, until its table is built."""
    return f"dbt_triton_salt_{planned.number + 1}"


def salt_of(planned: PlannedCall) -> str:
    """Return the SQL of the salt of a call's keys."""
    return salt_of_session(salt_variable(planned))


def salt_of_session(variable: str) -> str:
    """Return the SQL of a salt that is kept in a variable of the session, so that no log shows it.

    Without the variable the query fails: a key of NULL would be that of a row which is not sent.
    """
    return (
        f"coalesce(cast(getvariable('{variable}') as varchar), "
        "cast(error('the salt of the prediction store is not in this session') as varchar))"
    )


def salt_of_store(relation: str, fingerprint: str) -> str:
    """Return the SQL of a salt that is read from its store, for a query that a user runs."""
    return f"(select any_value({SALT})::varchar from {relation} where {FINGERPRINT} = '{fingerprint}')"


def key_halves(key: str) -> str:
    """Return the SQL of a key's two halves, for Arrow."""
    return f"cast({key} >> 64 as ubigint), cast({key} & {2**64 - 1} as ubigint)"


def key_of_halves(high: str, low: str) -> str:
    """Return the SQL of the key that two halves make."""
    return f"((cast({high} as uhugeint) << 64) | {low})"


@dataclass(frozen=True)
class Part:
    """One of ``count`` parts of the inputs, of about equal size; equal inputs are in one part."""

    number: int
    count: int

    def condition(self, values: Sequence[str]) -> str:
        """Return the SQL that is true for the inputs of this part."""
        if self.count == 1:
            return "true"
        texts = ", ".join(f"cast({value} as varchar)" for value in values)
        return f"hash({texts}) % {self.count} = {self.number}"


#: All inputs at once.
WHOLE = Part(0, 1)


def parts(rows: int, size: int, memory: int = 0) -> list[Part]:
    """Cut inputs into parts whose distinct values take about 256 MB each, less with little memory, more with much.

    Each part is one more scan of the input, so there are not many of them, whatever its size.

    Args:
        rows: how many there are.
        size: of their values, in bytes.
        memory: that DuckDB may use, in bytes.
    """
    of_part = max(_PART_BYTES, min(2 * _PART_BYTES, memory // _ROOM_SHARE), memory // _PART_SHARE)
    count = min(max(-(-(size + rows * _BYTES_A_ROW) // of_part), 1), _MAX_PARTS)
    return [Part(number, count) for number in range(count)]
