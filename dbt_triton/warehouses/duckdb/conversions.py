"""From one value of a DuckDB type to one of a declared type, as SQL: the same value exactly, or NULL.

FLOAT, DOUBLE, FLOAT16 and BFLOAT16 are the nearest number, as their declaration says; too large for them is NULL.
DuckDB's own casts round, cut and escape, so most pairs need more than a cast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType
from dbt_triton.warehouses.duckdb.dialect import type_name
from dbt_triton.warehouses.duckdb.source_types import SourceType
from dbt_triton.warehouses.duckdb.text_conversions import (
    boolean_of_text,
    date_of_text,
    decimal_of_text,
    float_of_text,
    integer_of_text,
    text_in_bytes,
    time_of_text,
    timestamp_of_text,
    timestamptz_of_text,
)

Sql = Callable[[str], str]

#: Types whose values consist of others, and so have no one text.
NESTED = {"STRUCT", "MAP", "UNION", "TUPLE", "VARIANT"}
_TEXTS = {"VARCHAR", "ENUM", "JSON"}
_HALVES = {"FLOAT16", "BFLOAT16"}
_BINARY = {"FLOAT", "DOUBLE"} | _HALVES
_HUGE = {"HUGEINT", "UHUGEINT", "BIGNUM"}
_NUMBERS = {"BOOLEAN", "DECIMAL"} | set(INTEGER_BITS) | _BINARY
_MOMENTS = {"TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ"}
# Up to these, the digits and the power of ten are both exact as binary numbers, so that one division is the nearest.
_EXACT_DIGITS = {"DOUBLE": 15, "FLOAT": 7}
_EXACT_FLOAT_SCALE = 10


@dataclass(frozen=True)
class Conversion:
    """How a value becomes one of the declared type.

    Args:
        sql: the SQL of the value, from the SQL of the source's. It is NULL where there is no such value.
        total: every value has one.
        whole: it is a cast, so an array is cast at once.
    """

    sql: Sql
    total: bool = False
    whole: bool = False

    def after(self, first: Sql) -> Conversion:
        """Return this conversion of what another expression makes of a value."""
        return Conversion(lambda x: self.sql(first(x)), total=self.total)


def text_of(x: str) -> str:
    """Return the SQL of a value's text, as DuckDB writes it."""
    return f"cast({x} as varchar)"


def conversion_of(source: SourceType, declared: SqlType) -> Conversion | None:
    """Find how one value of a type becomes one of the declared type; None where it cannot."""
    declared = declared.element
    if source.name == type_name(declared) or source.kind == "NULL":
        return _cast(type_name(declared))
    if source.kind not in _TEXTS and declared.kind in {"VARCHAR", "JSON"}:
        return _to_text(source) if declared.kind == "VARCHAR" else _to_json(source)
    families = {"BOOLEAN": _of_integer, "DECIMAL": _of_decimal, "FLOAT": _of_float, "DOUBLE": _of_float}
    families |= dict.fromkeys(_TEXTS, _of_text) | dict.fromkeys([*INTEGER_BITS, *_HUGE], _of_integer)
    return families.get(source.kind, _of_time)(source, declared)


def _cast(kind: str) -> Conversion:
    return Conversion(lambda x: f"cast({x} as {kind})", total=True, whole=True)


def _try_cast(kind: str) -> Conversion:
    return Conversion(lambda x: f"try_cast({x} as {kind})", whole=True)


def _if_back(kind: str, back: str) -> Conversion:
    """Return a cast that must give the same value back."""
    return Conversion(
        lambda x: f"case when try_cast(try_cast({x} as {kind}) as {back}) = {x} then try_cast({x} as {kind}) end"
    )


def _of_text(source: SourceType, declared: SqlType) -> Conversion:
    if declared.kind == "VARCHAR":
        return _cast("VARCHAR")
    if declared.kind == "BLOB":
        # Its UTF-8; a cast would read \x as an escape and refuse what is not ASCII.
        return Conversion(lambda x: f"encode({text_of(x)})", total=True)
    if declared.kind == "JSON":
        return Conversion(lambda x: f"try_cast({text_of(x)} as JSON)")
    parse = _parser(declared)
    if source.kind == "JSON":
        return parse.after(_text_in_json)
    return parse.after(text_of) if source.kind == "ENUM" else parse


def _text_in_json(x: str) -> str:
    """Return the SQL of a JSON string without its quotes, and of any other JSON as it is written."""
    return f"(case when starts_with(ltrim({text_of(x)}), '\"') then {x} ->> '$' else {text_of(x)} end)"


def _parser(declared: SqlType) -> Conversion:
    kind = declared.kind
    if kind in INTEGER_BITS:
        return Conversion(lambda x: integer_of_text(x, kind))
    if kind == "DECIMAL":
        return Conversion(lambda x: decimal_of_text(x, declared.precision, declared.scale))
    if kind in _HALVES:
        return _nearest_half(lambda x: float_of_text(x, "FLOAT"), lambda x: float_of_text(x, "DOUBLE"))
    if kind in _BINARY:
        return Conversion(lambda x: float_of_text(x, kind))
    return Conversion(
        {
            "BOOLEAN": boolean_of_text,
            "DATE": date_of_text,
            "TIME": time_of_text,
            "TIMESTAMP": timestamp_of_text,
            "TIMESTAMPTZ": timestamptz_of_text,
        }[kind]
    )


def _to_text(source: SourceType) -> Conversion | None:
    if source.kind in NESTED:
        return None
    if source.kind == "BLOB":
        return Conversion(text_in_bytes)
    return Conversion(text_of, total=True, whole=True)


def _to_json(source: SourceType) -> Conversion | None:
    if source.kind in NESTED:
        return None
    if source.kind == "BLOB":
        return Conversion(lambda x: f"try_cast({text_in_bytes(x)} as JSON)")
    if source.kind in _BINARY:
        return Conversion(lambda x: f"case when isfinite({x}) then cast({text_of(x)} as JSON) end")
    if source.kind in INTEGER_BITS or source.kind in _HUGE or source.kind in {"BOOLEAN", "DECIMAL"}:
        return Conversion(lambda x: f"cast({text_of(x)} as JSON)", total=True)
    return Conversion(lambda x: f"to_json({text_of(x)})", total=True)


def _of_time(source: SourceType, declared: SqlType) -> Conversion | None:
    if (source.kind, declared.kind) == ("TIME_NS", "TIME"):
        return Conversion(time_of_text).after(text_of)
    moment = _to_timestamp(source.kind)
    if moment is None or declared.kind not in {"DATE", "TIMESTAMP", "TIMESTAMPTZ"}:
        return None
    return moment if declared.kind == "TIMESTAMP" else _if_back(declared.kind, "TIMESTAMP").after(moment.sql)


def _to_timestamp(kind: str) -> Conversion | None:
    """Find how a date or a moment becomes a TIMESTAMP; a TIMESTAMPTZ is one in the session's time zone."""
    if kind == "TIMESTAMP":
        return Conversion(lambda x: x)
    if kind == "DATE":
        return _try_cast("TIMESTAMP")
    return _if_back("TIMESTAMP", kind) if kind in _MOMENTS else None


def _of_integer(source: SourceType, declared: SqlType) -> Conversion | None:
    if source.kind == "BIGNUM":
        return _parser(declared).after(text_of) if declared.kind in _NUMBERS else None
    if declared.kind == "BOOLEAN":
        return Conversion(_zero_or_one)
    if declared.kind in INTEGER_BITS:
        return _cast(declared.kind) if _always_fits(source, declared) else _try_cast(declared.kind)
    if declared.kind == "DECIMAL":
        return _try_cast(type_name(declared))
    if declared.kind in _HALVES and source.kind != "BOOLEAN":
        return _nearest_half(_binary_of_integer(source, "FLOAT").sql, lambda x: x, exact="HUGEINT")
    return _binary_of_integer(source, type_name(declared)) if declared.kind in _BINARY else None


def _binary_of_integer(source: SourceType, kind: str) -> Conversion:
    # DuckDB adds two rounded halves of a HUGEINT; the text is read as the nearest number.
    return _cast(kind) if source.kind not in _HUGE else Conversion(lambda x: float_of_text(text_of(x), kind))


def _always_fits(source: SourceType, declared: SqlType) -> bool:
    if source.kind == "BOOLEAN":
        return True
    if source.kind not in INTEGER_BITS:
        return False
    (signed, bits), (from_signed, from_bits) = INTEGER_BITS[declared.kind], INTEGER_BITS[source.kind]
    return from_bits < bits and (signed or not from_signed)


def _zero_or_one(x: str) -> str:
    return f"case when {x} = 1 then true when {x} = 0 then false end"


def _of_decimal(source: SourceType, declared: SqlType) -> Conversion | None:
    if declared.kind == "BOOLEAN":
        return Conversion(_zero_or_one)
    if declared.kind in INTEGER_BITS or declared.kind == "DECIMAL":
        if source.scale <= declared.scale:
            return _try_cast(type_name(declared))
        return _if_back(type_name(declared), source.name)
    if declared.kind in _HALVES:
        return _nearest_half(_binary_of_decimal(source, "FLOAT").sql, _binary_of_decimal(source, "DOUBLE").sql)
    return _binary_of_decimal(source, declared.kind) if declared.kind in _BINARY else None


def _binary_of_decimal(source: SourceType, kind: str) -> Conversion:
    if source.precision <= _EXACT_DIGITS[kind] and (kind == "DOUBLE" or source.scale <= _EXACT_FLOAT_SCALE):
        return _cast(kind)
    return Conversion(lambda x: float_of_text(text_of(x), kind))


def _of_float(source: SourceType, declared: SqlType) -> Conversion | None:
    if declared.kind == "BOOLEAN":
        return Conversion(_zero_or_one)
    if declared.kind in INTEGER_BITS:
        return _if_back(declared.kind, source.kind)
    if declared.kind == "DECIMAL":
        # The shortest decimal that gives the number back.
        return Conversion(lambda x: decimal_of_text(text_of(x), declared.precision, declared.scale))
    if declared.kind not in _BINARY:
        return None
    if declared.kind in _HALVES and source.kind == "DOUBLE":
        return _nearest_half(lambda x: f"try_cast({x} as FLOAT)", lambda x: x)
    return _try_cast("FLOAT") if source.kind == "DOUBLE" else _cast(type_name(declared))


def _nearest_half(single: Sql, double: Sql, exact: str = "DOUBLE") -> Conversion:
    """Return a FLOAT that rounds to the same 16 bits as the number itself does.

    The nearest FLOAT may lie halfway between two 16-bit numbers though the number does not. So an inexact FLOAT is
    the neighbour with an odd last bit, which is never halfway ("round to odd").

    Args:
        single: the nearest FLOAT.
        double: the number to compare it with.
        exact: the type in which the two are compared.
    """

    def sql(x: str) -> str:
        near, number = single(x), double(x)
        compared = f"try_cast({near} as {exact})"
        other = f"nextafter({near}, cast(case when {compared} < {number} then 'inf' else '-inf' end as FLOAT))"
        even = f"({near}::DOUBLE / ({other}::DOUBLE - {near}::DOUBLE)) % 2 = 0"
        # The largest FLOAT is odd, and its neighbour infinity would be another value.
        inexact = f"isfinite({near}) and isfinite({other}) and {compared} <> {number}"
        return f"case when {inexact} and {even} then {other} else {near} end"

    return Conversion(sql)
