"""From one value of Spark's to one of a declared type, as SQL: the same value exactly, or NULL.

FLOAT, DOUBLE, FLOAT16 and BFLOAT16 are the nearest number, as their declaration says; too large for them is NULL.
Spark's casts round and cut, `cast` by itself wraps or fails as ``spark.sql.ansi.enabled`` says, and `try_cast` takes
2^63 for the largest BIGINT. So only casts stand here that do the same in every session, and what they make is
compared with what it was made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType
from dbt_triton.warehouses.spark.expressions import Sql, bound, constant, is_finite
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.halves import half_of
from dbt_triton.warehouses.spark.source_types import SourceType
from dbt_triton.warehouses.spark.text_json import is_json
from dbt_triton.warehouses.spark.text_numbers import (
    boolean_of_text,
    decimal_of_text,
    float_of_text,
    integer_in_range,
    integer_of_text,
)
from dbt_triton.warehouses.spark.text_times import date_of_text, time_of_text, timestamp_of_text, timestamptz_of_text
from dbt_triton.warehouses.spark.type_names import type_name

#: Types whose values consist of others, and so have no one text.
NESTED = {"STRUCT", "MAP", "VARIANT"}
#: Of a number with fewer digits than it may need.
_SHORTER_DIGITS = {"FLOAT": (6, 7, 8), "DOUBLE": (15, 16)}
_HALVES = {"FLOAT16", "BFLOAT16"}
_BINARY = {"FLOAT", "DOUBLE"} | _HALVES
_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME"}
_SCALARS = {"VARCHAR", "BLOB", "BOOLEAN", "DECIMAL", "INTERVAL"} | _BINARY | _TIMES | set(INTEGER_BITS)


@dataclass(frozen=True)
class Conversion:
    """How a value becomes one of the declared type.

    Args:
        sql: the SQL of the value, from the SQL of the source's. It is NULL where there is no such value.
        total: every value has one.
        same: it is the value itself, so an array needs nothing done to its elements.
        own_key: two values differ where what is made of them does, so a value's own key can stand for it.
    """

    sql: Sql
    total: bool = False
    same: bool = False
    own_key: bool = False


def conversion_of(  # noqa: PLR0911 - one a family
    source: SourceType, declared: SqlType, features: Features
) -> Conversion | None:
    """Find how one value of a type becomes one of the declared type; None where it cannot."""
    declared = declared.element
    kind = type_name(declared, has_time=features.has_time)
    if source.kind == "NULL":
        return Conversion(lambda x: f"cast({x} as {kind})", total=True)
    if source.kind not in _SCALARS:
        return None
    if declared.kind == "VARCHAR":
        return _to_text(source, features)
    if declared.kind == "JSON":
        return _to_json(source, features)
    if source.kind == "VARCHAR":
        return _of_text(source, declared)
    if source.kind == declared.kind and source.kind not in {"DECIMAL", "TIME"}:
        return Conversion(lambda x: x, total=True, same=True)
    if source.kind == declared.kind == "TIME":
        return Conversion(lambda x: f"cast({x} as TIME(6))", total=True, same=source.name == "time(6)")
    families: dict[str, Callable[[SourceType, SqlType], Conversion | None]]
    families = {"BOOLEAN": _of_integer, "DECIMAL": _of_decimal, "FLOAT": _of_float, "DOUBLE": _of_float}
    families |= dict.fromkeys(INTEGER_BITS, _of_integer) | dict.fromkeys(_TIMES, _of_time)
    found = families.get(source.kind)
    return found(source, declared) if found else None


def text_of(x: str) -> str:
    """Return the SQL of a value's text, as Spark writes it.

    `cast` would write a DECIMAL of many zeros as `1E-7`, or not, as the session's settings say.
    """
    return f"try_cast({x} as string)"


def plain_text(x: str, source: SourceType) -> str:
    """Return the SQL of a text without a collation, under which texts of other bytes may be equal."""
    return f"collate({x}, 'UTF8_BINARY')" if "collate" in source.name else x


def _valid(text: str, features: Features) -> str:
    if features.checks_utf8:
        return f"is_valid_utf8({text})"
    return f"cast(decode(cast({text} as binary), 'UTF-8') as binary) = cast({text} as binary)"


def _to_text(source: SourceType, features: Features) -> Conversion:
    if source.kind not in {"VARCHAR", "BLOB"}:
        return Conversion(text_of, total=True)

    def sql(x: str) -> str:
        text = plain_text(x, source) if source.kind == "VARCHAR" else f"cast({x} as string)"
        return f"case when {_valid(text, features)} then {text} end"

    # Spark's texts may hold any bytes, as a cast of a BINARY makes them.
    return Conversion(sql, own_key=True)


def _to_json(source: SourceType, features: Features) -> Conversion:
    if source.kind in {"VARCHAR", "BLOB"}:
        as_text = _to_text(source, features)

        def checked(x: str) -> str:
            return bound(as_text.sql(x), "dbt_triton_in_json", lambda t: f"case when {is_json(t)} then {t} end")

        return Conversion(checked, own_key=True)
    if source.kind in {"FLOAT", "DOUBLE"}:
        return Conversion(lambda x: f"case when {is_finite(x, source.kind)} then {text_of(x)} end")
    if source.kind in INTEGER_BITS or source.kind in {"BOOLEAN", "DECIMAL"}:
        return Conversion(text_of, total=True)
    # Times and intervals have no character that JSON escapes.
    return Conversion(lambda x: f"concat('\"', {text_of(x)}, '\"')", total=True)


def _of_text(source: SourceType, declared: SqlType) -> Conversion:
    kind = declared.kind
    if kind == "BLOB":
        return Conversion(lambda x: f"cast({x} as binary)", total=True)
    parse: Sql
    if kind in INTEGER_BITS:
        parse = lambda x: integer_of_text(x, kind)  # noqa: E731 - one of several
    elif kind == "DECIMAL":
        parse = lambda x: decimal_of_text(x, declared.precision, declared.scale)  # noqa: E731
    elif kind in _HALVES:
        parse = lambda x: bound(float_of_text(x, "DOUBLE"), "dbt_triton_double", _half_of_double)  # noqa: E731
    elif kind in _BINARY:
        parse = lambda x: float_of_text(x, kind)  # noqa: E731
    else:
        parse = {
            "BOOLEAN": boolean_of_text,
            "DATE": date_of_text,
            "TIME": time_of_text,
            "TIMESTAMP": timestamp_of_text,
            "TIMESTAMPTZ": timestamptz_of_text,
        }[kind]
    return Conversion(lambda x: parse(plain_text(x, source)))


def _of_time(source: SourceType, declared: SqlType) -> Conversion | None:
    if "TIME" in {source.kind, declared.kind} or declared.kind not in _TIMES:
        return None
    kind = type_name(declared)
    back = "timestamp_ltz" if source.kind == "TIMESTAMPTZ" else source.name  # Spark names it by a word of two meanings
    if source.kind == "DATE":
        # The midnight that clocks skip is none.
        local = "try_cast({x} as timestamp_ntz)"
        if declared.kind == "TIMESTAMP":
            return Conversion(lambda x: local.format(x=x))
        return Conversion(lambda x: _if_back(local.format(x=x), kind, "timestamp_ntz"))
    return Conversion(lambda x: _if_back(x, kind, back))


def _if_back(x: str, kind: str, back: str) -> str:
    """Return the SQL of a cast that must give the same value back."""
    return f"case when try_cast(try_cast({x} as {kind}) as {back}) = {x} then try_cast({x} as {kind}) end"


def _of_integer(source: SourceType, declared: SqlType) -> Conversion | None:
    kind = declared.kind
    if kind == "BOOLEAN":
        return Conversion(_zero_or_one)
    if kind in INTEGER_BITS:
        number: Sql = (lambda x: f"cast({x} as tinyint)") if source.kind == "BOOLEAN" else (lambda x: x)
        return Conversion(lambda x: integer_in_range(number(x), kind), total=_always_fits(source, declared))
    if kind == "DECIMAL":
        return Conversion(lambda x: f"try_cast({x} as {type_name(declared)})")
    if kind in _HALVES and source.kind != "BOOLEAN":
        # 2^63, the FLOAT nearest to the largest BIGINT, is no BIGINT, and halfway between no two 16-bit numbers.
        return Conversion(
            lambda x: half_of(x, lambda y: f"cast({y} as float)", lambda y: f"try_cast({y} as bigint)", lambda y: y)
        )
    return Conversion(lambda x: f"cast({x} as {type_name(declared)})", total=True) if kind in _BINARY else None


def _always_fits(source: SourceType, declared: SqlType) -> bool:
    if source.kind == "BOOLEAN":
        return True
    (signed, bits), (_, from_bits) = INTEGER_BITS[declared.kind], INTEGER_BITS[source.kind]
    return from_bits < bits and signed


def _zero_or_one(x: str) -> str:
    return f"case when {x} = 1 then true when {x} = 0 then false end"


def _of_decimal(source: SourceType, declared: SqlType) -> Conversion | None:  # noqa: PLR0911 - one a kind
    kind = declared.kind
    if kind == "BOOLEAN":
        return Conversion(_zero_or_one)
    if kind in INTEGER_BITS:
        if source.scale == 0:
            return Conversion(lambda x: integer_in_range(x, kind))
        # A DECIMAL without digits behind the point, which has fewer in front than it could.
        whole = f"DECIMAL({max(source.precision - source.scale, 1)},0)"
        whole = "DECIMAL(38,0)" if source.precision == source.scale else whole
        return Conversion(
            lambda x: bound(_if_back(x, whole, source.name), "dbt_triton_whole", lambda y: integer_in_range(y, kind))
        )
    if kind == "DECIMAL":
        if (source.precision, source.scale) == (declared.precision, declared.scale):
            return Conversion(lambda x: x, total=True, same=True)
        target = type_name(declared)
        if source.scale <= declared.scale:
            return Conversion(lambda x: f"try_cast({x} as {target})")
        return Conversion(lambda x: _if_back(x, target, source.name))
    if kind in _HALVES:
        return Conversion(lambda x: bound(f"cast({x} as double)", "dbt_triton_double", _half_of_double), total=True)
    return Conversion(lambda x: f"cast({x} as {type_name(declared)})", total=True) if kind in _BINARY else None


def _of_float(source: SourceType, declared: SqlType) -> Conversion | None:
    kind = declared.kind
    if kind == "BOOLEAN":
        return Conversion(_zero_or_one)
    if kind in INTEGER_BITS:
        return Conversion(lambda x: _whole_of_float(x, kind))
    if kind == "DECIMAL":
        # The shortest decimal that gives the number back.
        return Conversion(lambda x: _shortest(x, source.kind, declared))
    if kind not in _BINARY:
        return None
    if source.kind == "FLOAT":
        return Conversion(lambda x: f"cast({x} as {type_name(declared)})", total=True, same=kind != "DOUBLE")
    return Conversion(_half_of_double if kind in _HALVES else _single_of_double)


def _whole_of_float(x: str, kind: str) -> str:
    signed, bits = INTEGER_BITS[kind]
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0.0, 2.0**bits)
    whole = f"{x} >= {low!r}D and {x} < {high!r}D and {x} = rint({x})"
    if kind != "UBIGINT":
        return f"case when {whole} then {integer_in_range(f'try_cast({x} as bigint)', kind)} end"
    # What a BIGINT has not is added to it: a cast to DECIMAL would read the digits that the number is shown with.
    upper = f"cast(try_cast({x} - {2.0**63!r}D as bigint) as DECIMAL(20,0)) + {2**63}"
    number = f"case when {x} < {2.0**63!r}D then cast(try_cast({x} as bigint) as DECIMAL(20,0)) else {upper} end"
    return f"case when {whole} then try_cast({number} as DECIMAL(20,0)) end"


def _shortest(x: str, source: str, declared: SqlType) -> str:
    """Return the SQL of the shortest decimal of a number.

    Before version 19, Java shows some numbers with a digit too many: 1e23 as 9.999999999999999E22.
    """
    tried = (f"format_string('%.{digits - 1}e', {x})" for digits in _SHORTER_DIGITS[source])
    cases = " ".join(f"when cast({text} as {source}) = {x} then {text}" for text in tried)
    shown = f"case {cases} else {text_of(x)} end"
    number = bound(shown, "dbt_triton_shown", lambda text: decimal_of_text(text, declared.precision, declared.scale))
    return f"case when {is_finite(x, source)} then {number} end"


def _single_of_double(x: str) -> str:
    infinite = f"abs({x}) = {constant('Infinity', 'double')}"
    near = f"cast({x} as float)"
    return f"case when {infinite} or isnan({x}) or {is_finite(near, 'FLOAT')} then {near} end"


def _half_of_double(x: str) -> str:
    return half_of(x, _single_of_double, lambda y: f"cast({y} as double)", lambda y: y)
