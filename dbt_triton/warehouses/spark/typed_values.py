"""A text that a user wrote as a value of a declared type, as SQL."""

from __future__ import annotations

import re

from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType
from dbt_triton.warehouses.spark.conversions import conversion_of
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.literals import bytes_literal, text_literal
from dbt_triton.warehouses.spark.source_types import SourceType
from dbt_triton.warehouses.spark.text_arrays import array_of_text
from dbt_triton.warehouses.spark.type_names import type_name
from dbt_triton.warehouses.spark.values import of_elements

_TEXT = SourceType("VARCHAR", "string")
#: As DuckDB reads bytes in a text, so that one project says the same on both.
_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")
#: Numbers that are far from too large.
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_DECIMAL = re.compile(r"-?([0-9]{1,18})(?:\.([0-9]{1,18}))?")


def typed(value: str | int | None, kind: SqlType, features: Features) -> str:
    """Write a value as SQL of a type: exactly, or NULL where the text is no value of the type.

    Raises:
        DbtTritonError: Spark has no such type.
    """
    name = type_name(kind, has_time=features.has_time)
    if value is None:
        return f"cast(null as {name})"
    text = str(value)
    if not kind.dims and kind.kind == "BLOB":
        return bytes_literal(_ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode()))
    if not kind.dims and kind.kind in {"VARCHAR", "JSON"}:
        return text_literal(text)
    if not kind.dims and (plain := _plain_number(text, kind)):
        return f"cast({plain} as {name})"
    conversion = conversion_of(_TEXT, kind, features)
    assert conversion is not None  # noqa: S101 - a text may be of every type
    levels = len(kind.dims)
    literal = text_literal(text)
    made = of_elements(array_of_text(literal, levels) if levels else literal, conversion.sql, levels)
    return f"cast({made} as {name})"


def _plain_number(text: str, kind: SqlType) -> str | None:
    """Return the SQL of a number in its usual spelling, which any cast reads exactly; Spark plans the others slowly."""
    if kind.kind in INTEGER_BITS and _WHOLE.fullmatch(text):
        signed, bits = INTEGER_BITS[kind.kind]
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return text_literal(text) if low <= int(text) <= high else None
    found = _DECIMAL.fullmatch(text)
    if found is None or kind.kind not in {"FLOAT", "DOUBLE", "DECIMAL"}:
        return None
    if kind.kind == "DECIMAL" and (len(found[1]) > kind.precision - kind.scale or len(found[2] or "") > kind.scale):
        return None
    return text_literal(text)
