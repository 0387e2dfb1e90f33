"""The SQL of a value as INPUT declares it: the column's own value exactly, or NULL, which is a failed row.

Only FLOAT, DOUBLE, FLOAT16 and BFLOAT16 round, as their declaration says: 0.1 has no exact binary form.

A key is a VARCHAR, made of the value that is sent, whatever the settings of the session: distinct for distinct values,
and for values that are not sent. (But two NaNs are one.) Where the value is a text that always fits, it is the value's
own SQL. A value that is known by its bytes is hashed in `wide`: a text of a million numbers takes half a second. Its
key is NULL only where the column is NULL; an element that is none of the type is NULL.
"""

from __future__ import annotations

from dataclasses import replace

from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.duckdb.conversions import NESTED, Conversion, Sql, conversion_of, text_of
from dbt_triton.warehouses.duckdb.dialect import quote, type_name
from dbt_triton.warehouses.duckdb.source_types import SourceType, parse_source_type

#: What the key of a value begins with that is not sent; no text of a number, a time or JSON does.
_REFUSED = "dbt-triton refused "
#: The key of a NULL that is sent.
_NULL = "dbt-triton null"
_TEXTS = {"VARCHAR", "JSON", "BLOB", "ENUM"}
_READ_AS_ARRAYS = {"VARCHAR", "ENUM", "JSON"}


def value_of(column: str, source: str, declared: SqlType, *, sent: SqlType | None = None) -> Value | str:
    """Return the SQL of a column as a declared type.

    Args:
        column: its name.
        source: its own type, as DuckDB describes it.
        declared: the type in INPUT.
        sent: a type of floating-point numbers that holds the declared one, where NULL is to be NaN.

    Returns:
        The value, or a sentence that says why no value of the one type is one of the other.
    """
    if sent is not None:
        return _nan_for_null(column, source, declared, sent)
    name, kind = quote(column), parse_source_type(source)
    if declared.dims and not kind.dims and kind.kind in _READ_AS_ARRAYS:
        return _array_in_text(column, kind, declared)
    if kind.kind == "NULL" and not kind.dims:
        return _same(name, declared)
    conversion = conversion_of(kind.element, declared)
    if conversion is None or not _same_levels(kind, declared):
        return _refusal(column, source, kind, declared)
    wide = declared.is_wide
    declared = declared.in_tables
    if wide and kind.dims != declared.dims:
        declared = replace(declared, dims=(None,) * len(declared.dims))  # lengths are looked at when it is sent
    if conversion.total and (kind.dims == declared.dims or not declared.dims or _has_the_lengths(kind, declared)):
        return _same(name, declared, conversion, kind)._replace(wide=wide)
    # One value of no such type is NULL as well, and must not look like a column that is.
    return _checked(name, kind, declared, conversion)._replace(wide=wide and bool(declared.dims))


def _nan_for_null(column: str, source: str, declared: SqlType, sent: SqlType) -> Value | str:
    """Return a value that is NaN where the column, or an element of its array, is NULL. An array of NULL stays NULL.

    Its key tells NULL from every value, NaN too, and is NULL only for such an array.
    """
    value = value_of(column, source, declared)
    if isinstance(value, str):
        return value
    name, kind = quote(column), parse_source_type(source)
    nan, number = f"'nan'::{type_name(sent.element)}", f"cast({value.sql} as {type_name(sent)})"
    if not declared.dims:
        return Value(f"case when {name} is null then {nan} else {number} end", f"coalesce({value.key}, '{_NULL}')")
    array, levels = name, len(declared.dims)
    if not kind.dims:
        if kind.kind == "NULL":
            return value
        array = f"try_cast({text_of(name)} as VARCHAR{'[]' * levels})"
    filled = _nan_in(value.sql, array, nan, levels)
    return Value(f"cast({filled} as {type_name(sent)})", value.key)


def _nan_in(value: str, source: str, nan: str, levels: int, depth: int = 0) -> str:
    """Return the SQL of an array with NaN for the elements that are NULL in the column, and not for those it lost."""
    if depth == levels:
        return f"case when {value} is null and {source} is null then {nan} else {value} end"
    element, place = f"dbt_triton_value_{depth}", f"dbt_triton_place_{depth}"
    inner = _nan_in(element, f"{source}[{place}]", nan, levels, depth + 1)
    return f"list_transform({value}, lambda {element}, {place}: {inner})"


def _refusal(column: str, source: str, kind: SourceType, declared: SqlType) -> str:
    said = f"the column {column} is {source}, of which no value is a {declared.name}"
    if declared.dims and not kind.dims and kind.kind not in NESTED:
        return f"{said}; write an array of several, such as [a, b, c], as a column of the TABLE operand"
    if declared.name in {"VARCHAR", "JSON"} and (kind.dims or kind.kind in NESTED):
        return f"{said}; write cast({column} as {declared.name}) or to_json({column}) as a column of the TABLE operand"
    return f"{said}; write the cast that you mean as a column of the TABLE operand"


def _same_levels(source: SourceType, declared: SqlType) -> bool:
    """Tell whether arrays have as many levels, and lengths that can be equal."""
    return len(source.dims) == len(declared.dims) and all(
        None in (have, want) or have == want for have, want in zip(source.dims, declared.dims, strict=True)
    )


def _has_the_lengths(source: SourceType, declared: SqlType) -> bool:
    """Tell whether every length that is declared is the source's own."""
    return all(want in (None, have) for have, want in zip(source.dims, declared.dims, strict=True))


def _same(
    name: str, declared: SqlType, conversion: Conversion | None = None, source: SourceType | None = None
) -> Value:
    """Return a value that every value of the column has."""
    sql = f"cast({name} as {type_name(declared)})"
    if conversion is not None and source is not None and not conversion.whole:
        sql = _of_elements(name, conversion.sql, len(source.dims))
        if declared.dims:
            sql = f"cast({sql} as {type_name(declared)})"
    return Value(sql, _key(sql, declared.kind, len(declared.dims)))


def _checked(name: str, source: SourceType, declared: SqlType, conversion: Conversion) -> Value:
    """Return a value that some values of the column do not have."""
    levels = len(source.dims)
    if conversion.whole:
        sql = f"try_cast({name} as {type_name(declared)})"
    else:
        sql = _of_elements(name, conversion.sql, levels)
        sql = f"try_cast({sql} as {type_name(declared)})" if levels else sql
    if not levels:
        return Value(sql, _checked_key(sql, name, source, declared))
    if conversion.total:
        # Only its length may be another than declared.
        return Value(sql, _key(_of_elements(name, conversion.sql, levels), declared.kind, levels))

    def element_key(x: str) -> str:
        key = _key(conversion.sql(x), declared.kind, 0)
        key = _hex(key) if declared.kind in _TEXTS else key
        return f"coalesce({key}, '{_REFUSED}x' || hex({_key(x, source.kind, 0)}))"

    key = text_of(_of_elements(name, element_key, levels))
    if conversion.whole and levels == 1:
        # An array without a NULL lost none of its elements, and a cast of the whole is several times faster.
        key = f"case when list_count({sql}) = len({sql}) then {_key(sql, declared.kind, 1)} else {key} end"
    return Value(sql, key)


def _checked_key(sql: str, name: str, source: SourceType, declared: SqlType) -> str:
    """Return the key of one value; an arbitrary text must not look like the key of a value that is refused."""
    key = _key(sql, declared.kind, 0)
    if declared.kind == "VARCHAR":
        key = f"case when starts_with({sql}, '{_REFUSED}') then '{_REFUSED}not ' || {sql} else {sql} end"
    return f"coalesce({key}, '{_REFUSED}x' || {_key(name, source.kind, 0)})"


def _array_in_text(column: str, source: SourceType, declared: SqlType) -> Value | str:
    """Return the value of an array that is written in a text or in JSON."""
    name, levels = quote(column), len(declared.dims)
    if source.kind == "JSON" and declared.kind == "JSON":
        # DuckDB reads the numbers within as DOUBLE and writes them anew.
        return _refusal(column, source.name, source, declared)
    kind, array = "VARCHAR", text_of(name)
    conversion = conversion_of(SourceType(kind, kind), declared)
    if source.kind == "JSON" and declared.kind in _TEXTS:
        kind, array = "JSON", name
        conversion = Conversion(_string_in_json if declared.kind == "VARCHAR" else _bytes_in_json)
    assert conversion is not None  # noqa: S101 - a text may be of every type
    elements = SourceType(kind, kind, (None,) * levels)
    value = _checked(f"try_cast({array} as {kind}{'[]' * levels})", elements, declared, conversion)
    return Value(value.sql, f"coalesce({value.key}, '{_REFUSED}x' || {text_of(name)})")


def _string_in_json(x: str) -> str:
    return f"(case when json_type({x}) = 'VARCHAR' then {x} ->> '$' end)"


def _bytes_in_json(x: str) -> str:
    return f"encode({_string_in_json(x)})"


def _of_elements(array: str, sql: Sql, levels: int, depth: int = 0) -> str:
    """Return the SQL of an array whose elements are converted; of the value itself without levels."""
    if depth == levels:
        return sql(array)
    element = f"dbt_triton_element_{depth}"
    return f"list_transform({array}, lambda {element}: {_of_elements(element, sql, levels, depth + 1)})"


def _hex(x: str) -> str:
    return f"'x' || hex({x})"


def _key(sql: str, kind: str, levels: int) -> str:
    """Return the SQL of a text that a value alone has, whatever the settings of the session."""
    if kind == "VARCHAR" and not levels:
        return sql
    if kind == "TIMESTAMPTZ":
        # Its text is of the session's time zone. Infinity has no epoch, but a text.
        return _texts(sql, lambda x: f"coalesce({text_of(f'epoch_us({x})')}, {text_of(x)})", levels)
    if kind in _TEXTS and levels:
        # How DuckDB quotes texts within an array differs between versions.
        return _texts(sql, lambda x: _hex(x if kind == "BLOB" else text_of(x)), levels)
    return text_of(sql)


def _texts(sql: str, text: Sql, levels: int) -> str:
    made = _of_elements(sql, text, levels)
    return text_of(made) if levels else made
