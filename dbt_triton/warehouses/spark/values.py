"""The SQL of a value as INPUT declares it: the column's own value exactly, or NULL, which is a failed row.

Only FLOAT, DOUBLE, FLOAT16 and BFLOAT16 round, as their declaration says: 0.1 has no exact binary form.
The lengths of fixed arrays are no part of Spark's types; the engine looks at them.
"""

from __future__ import annotations

from dbt_triton.errors import DbtTritonError
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.spark.conversions import NESTED, Conversion, conversion_of, plain_text, text_of
from dbt_triton.warehouses.spark.expressions import Sql, constant
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.literals import quote
from dbt_triton.warehouses.spark.source_types import SourceType, parse_source_type
from dbt_triton.warehouses.spark.text_arrays import array_of_text
from dbt_triton.warehouses.spark.type_names import type_name

#: What the key of a value begins with that is not sent; no text of a number, a time or JSON does.
_REFUSED = "dbt-triton refused "
#: The key of a NULL that is sent.
_NULL = "dbt-triton null"
_TEXTS = {"VARCHAR", "JSON", "BLOB"}
#: How Spark writes a NULL in an array, and how the elements are parted.
_NULL_ELEMENT = "NULL"


def value_of(
    column: str, source: str, declared: SqlType, features: Features, *, sent: SqlType | None = None
) -> Value | str:
    """Return the SQL of a column as a declared type.

    Args:
        column: its name.
        source: its own type, as Spark describes it.
        declared: the type in INPUT.
        features: of the session's Spark.
        sent: a type of floating-point numbers that holds the declared one, where NULL is to be NaN.

    Returns:
        The value, or a sentence that says why no value of the one type is one of the other. Its key is a STRING, or a
        BINARY where the column is one.
    """
    try:
        name, kind = quote(column), parse_source_type(source)
        if sent is not None:
            return _nan_for_null(column, source, declared, features, sent)
        levels = len(declared.dims)
        if levels and not kind.levels and kind.kind == "VARCHAR":
            return _array_in_text(name, kind, declared, features)
        if kind.kind == "NULL" and kind.levels == 0:
            # A NULL of any type, arrays as well.
            return Value(f"cast({name} as {type_name(declared, has_time=features.has_time)})", text_of(name))
        conversion = conversion_of(kind.element, declared, features)
    except DbtTritonError as error:
        return str(error)
    if conversion is None or kind.levels != levels:
        return _refusal(column, source, kind, declared)
    return _converted(name, kind, declared, conversion)


def shown_type(declared: SqlType) -> str:
    """Name a declared type for a sentence."""
    kind = f"DECIMAL({declared.precision},{declared.scale})" if declared.kind == "DECIMAL" else declared.kind
    return kind + "".join(f"[{'' if size is None else size}]" for size in reversed(declared.dims))


def _refusal(column: str, source: str, kind: SourceType, declared: SqlType) -> str:
    said = f"the column {column} is {source}, of which no value is a {shown_type(declared)}"
    if declared.dims and not kind.levels and kind.kind not in NESTED:
        return f"{said}; write an array of several, such as array(a, b, c), as a column of the TABLE operand"
    if declared.kind in {"VARCHAR", "JSON"} and not declared.dims and (kind.levels or kind.kind in NESTED):
        return f"{said}; write to_json({column}) or cast({column} as STRING) as a column of the TABLE operand"
    return f"{said}; write the cast that you mean as a column of the TABLE operand"


def _converted(name: str, source: SourceType, declared: SqlType, conversion: Conversion) -> Value:
    levels = source.levels
    sql = name if conversion.same else of_elements(name, conversion.sql, levels)
    if conversion.own_key:
        return Value(sql, _key(name, source, levels))
    made = SourceType(declared.kind, "", levels)
    if conversion.total:
        return Value(sql, _key(sql, made, levels))
    if not levels:
        # One value of no such type is NULL as well, and must not look like a column that is.
        return Value(sql, f"coalesce({_key(sql, made, 0)}, concat('{_REFUSED}x', {_key(name, source, 0)}))")

    def element_key(x: str) -> str:
        key, own = _key(conversion.sql(x), made, 0), _key(x, source, 0)
        key = _hex(key) if declared.kind in _TEXTS else key
        return f"coalesce({key}, concat('{_REFUSED}x', hex({own})))"

    return Value(sql, _texts(name, element_key, levels))


def _array_in_text(name: str, source: SourceType, declared: SqlType, features: Features) -> Value | str:
    """Return the value of an array that is written in a text."""
    levels = len(declared.dims)
    conversion = conversion_of(SourceType("VARCHAR", "string"), declared, features)
    assert conversion is not None  # noqa: S101 - a text may be of every type
    array = array_of_text(plain_text(name, source), levels)
    value = _converted(array, SourceType("VARCHAR", "string", levels), declared, conversion)
    return Value(value.sql, f"coalesce({value.key}, concat('{_REFUSED}x', {plain_text(name, source)}))")


def _nan_for_null(column: str, source: str, declared: SqlType, features: Features, sent: SqlType) -> Value | str:
    """Return a value that is NaN where the column, or an element of its array, is NULL. An array of NULL stays NULL.

    Its key tells NULL from every value, NaN too, and is NULL only for such an array.
    """
    value = value_of(column, source, declared, features)
    if isinstance(value, str):
        return value
    name, kind = quote(column), parse_source_type(source)
    nan = constant("NaN", type_name(sent.element))
    number = f"cast({value.sql} as {type_name(sent)})"
    if not declared.dims:
        return Value(f"case when {name} is null then {nan} else {number} end", f"coalesce({value.key}, '{_NULL}')")
    levels, array = len(declared.dims), name
    if not kind.levels:
        if kind.kind == "NULL":
            return value
        array = array_of_text(plain_text(name, kind), levels)
    return Value(f"cast({_nan_in(value.sql, array, nan, levels)} as {type_name(sent)})", value.key)


def _nan_in(value: str, source: str, nan: str, levels: int, depth: int = 0) -> str:
    """Return the SQL of an array with NaN for the elements that are NULL in the column, and not for those it lost."""
    if depth == levels:
        return f"case when {value} is null and {source} is null then {nan} else {value} end"
    element, place = f"dbt_triton_value_{depth}", f"dbt_triton_place_{depth}"
    inner = _nan_in(element, f"get({source}, {place})", nan, levels, depth + 1)
    return f"transform({value}, ({element}, {place}) -> {inner})"


def of_elements(array: str, sql: Sql, levels: int, depth: int = 0) -> str:
    """Return the SQL of an array whose elements are converted; of the value itself without levels."""
    if depth == levels:
        return sql(array)
    element = f"dbt_triton_element_{depth}"
    return f"transform({array}, {element} -> {of_elements(element, sql, levels, depth + 1)})"


def _hex(x: str) -> str:
    return f"concat('x', hex({x}))"


def _key(sql: str, made: SourceType, levels: int) -> str:
    """Return the SQL of a text, or of bytes, that a value alone has, whatever the settings of the session."""
    kind = made.kind
    if kind in _TEXTS:
        # An array of texts as one text would be ambiguous: ['a, b'] and ['a', 'b'].
        return _texts(sql, _hex, levels) if levels else sql
    if kind == "TIMESTAMPTZ":
        # Its text is of the session's time zone.
        return _texts(sql, lambda x: f"cast(unix_micros({x}) as string)", levels)
    return _texts(sql, text_of, levels)


def _texts(sql: str, text: Sql, levels: int, depth: int = 0) -> str:
    """Return the SQL of the text of an array, as `[a, b]`; every element has a text that no comma is in, or is NULL."""
    if depth == levels:
        return text(sql)
    element = f"dbt_triton_key_{depth}"
    texts = f"transform({sql}, {element} -> {_texts(element, text, levels, depth + 1)})"
    return f"concat('[', array_join({texts}, ', ', '{_NULL_ELEMENT}'), ']')"
