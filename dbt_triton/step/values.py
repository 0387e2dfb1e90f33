"""The SQL of a value as INPUT declares it: the column's own value exactly, or NULL, which is a failed row.

Only FLOAT and DOUBLE round, as their declaration says: 0.1 has no exact binary form.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType
from dbt_triton.warehouse import quote

_ROUNDED = {"FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"}
_TEXT = {"VARCHAR", "JSON"}


class Value(NamedTuple):
    """A value, and what its key is made of: NULL only where the column is NULL."""

    sql: str
    key: str


def value_of(column: str, source: str, declared: SqlType) -> Value:
    """Return the SQL of a column as a declared type.

    Args:
        column: its name.
        source: its own type, as DuckDB describes it.
        declared: the type in INPUT.
    """
    name = quote(column)
    target = declared.duckdb
    cast = f"cast({name} as {target})"
    if source == target or _always_fits(source, declared):
        return Value(cast, cast)
    if declared.kind == "BLOB" and not declared.dims and source in _TEXT:
        # Its UTF-8; a cast would read \x as an escape and refuse what is not ASCII.
        return Value(f"encode({name})", f"encode({name})")
    value = f"try_cast({name} as {target})"
    if source == "BLOB" and declared.kind in _TEXT:
        value = f"try_cast(try(decode({name})) as {target})"
    elif re.sub(r"(\[\d*\])+$", "", source) in _TEXT and (declared.kind in INTEGER_BITS or declared.kind == "DECIMAL"):
        doubles = "DOUBLE" + target.removeprefix(declared.element.duckdb)
        value = f"case when try_cast({name} as {doubles}) = cast({value} as {doubles}) then {value} end"
    elif declared.kind not in _ROUNDED | _TEXT and source not in _TEXT:
        value = f"case when try_cast({value} as {source}) = {name} then {value} end"
    return Value(value, f"coalesce(cast({value} as varchar), 'dbt-triton refused ' || cast({name} as varchar))")


def _always_fits(source: str, declared: SqlType) -> bool:
    if declared.dims:
        return False
    if declared.kind == "VARCHAR":
        return source != "BLOB"
    if declared.kind in INTEGER_BITS and source in INTEGER_BITS:
        (signed, bits), (from_signed, from_bits) = INTEGER_BITS[declared.kind], INTEGER_BITS[source]
        return from_bits < bits and (signed or not from_signed)
    return declared.kind in {"FLOAT", "DOUBLE"} and source in INTEGER_BITS
