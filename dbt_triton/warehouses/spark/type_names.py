"""What Spark calls the declared types, and how their values stand in Arrow between Spark and the engine."""

from __future__ import annotations

import pyarrow as pa

from dbt_triton.errors import DbtTritonError
from dbt_triton.tensors.sql_types import SqlType

#: Of a type without a sign, the next larger one with a sign.
_NAMES = {
    "BOOLEAN": "BOOLEAN",
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INTEGER": "INT",
    "BIGINT": "BIGINT",
    "UTINYINT": "SMALLINT",
    "USMALLINT": "INT",
    "UINTEGER": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)",
    "FLOAT16": "FLOAT",
    "BFLOAT16": "FLOAT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "VARCHAR": "STRING",
    "JSON": "STRING",
    "BLOB": "BINARY",
    "DATE": "DATE",
    "TIME": "TIME(6)",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    # TIMESTAMP is of the kind that spark.sql.timestampType says.
    "TIMESTAMPTZ": "TIMESTAMP_LTZ",
}
_ARROW = {
    "UTINYINT": pa.int16(),
    "USMALLINT": pa.int32(),
    "UINTEGER": pa.int64(),
    "UBIGINT": pa.decimal128(20, 0),
    "TIME": pa.time64("ns"),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BLOB": pa.binary(),
}
NO_TIME = (
    "this Spark has no type TIME: from 4.1 on it has one where spark.sql.timeType.enabled is true; "
    "declare STRING, or BIGINT for the microseconds since midnight"
)


def type_name(declared: SqlType, *, has_time: bool = True) -> str:
    """Name the type that a table has; the lengths of arrays are no part of it.

    Args:
        declared: in INPUT or OUTPUT.
        has_time: whether the session's Spark has the type TIME.

    Raises:
        DbtTritonError: Spark has no such type.
    """
    if declared.kind == "TIME" and not has_time:
        raise DbtTritonError(NO_TIME)
    name = f"DECIMAL({declared.precision},{declared.scale})" if declared.kind == "DECIMAL" else _NAMES[declared.kind]
    for _ in declared.dims:
        name = f"ARRAY<{name}>"
    return name


def spark_arrow_type(declared: SqlType) -> pa.DataType:
    """Return the Arrow type that Spark takes for a declared type from `mapInArrow`."""
    kind = _ARROW.get(declared.kind, declared.arrow_element)
    for _ in declared.dims:
        kind = pa.list_(kind)
    return kind


def for_spark(array: pa.Array, declared: SqlType) -> pa.Array:
    """Return what the engine answered as Spark takes it: lists are lists of any length, numbers have a sign.

    Raises:
        pa.ArrowException: a batch holds more than 2 GB of texts or two billion elements of lists; use fewer rows.
    """
    return _cast(array, declared, spark_arrow_type(declared.element), large=False)


def from_spark(array: pa.Array, declared: SqlType) -> pa.Array:
    """Return a column of a record batch of Spark's as the engine reads a declared type."""
    return _cast(array, declared, declared.arrow_element, large=True)


def _cast(array: pa.Array, declared: SqlType, element: pa.DataType, *, large: bool) -> pa.Array:
    """Cast the elements of an array, and make each level a list. Lists that are what they should be stay."""
    kind = array.type
    is_fixed = pa.types.is_fixed_size_list(kind)
    if not (is_fixed or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return array if kind == element else array.cast(element)
    if is_fixed:
        # A NULL has elements as well; a list without them is a copy, of the few arrays that have any.
        array = array.cast(pa.large_list(kind.value_type))
        kind = array.type
    offsets, values = array.offsets, array.values
    first, last = (offsets[0].as_py(), offsets[-1].as_py()) if len(array) else (0, 0)
    values = _cast(values.slice(first, last - first), declared, element, large=large)
    wide = pa.types.is_large_list(kind) and large
    moved = pa.compute.subtract(offsets, pa.scalar(first, offsets.type)) if first else offsets
    moved = moved.cast(pa.int64() if wide else pa.int32())
    mask = array.is_null() if array.null_count else None
    made = pa.LargeListArray if wide else pa.ListArray
    return made.from_arrays(moved, values, mask=mask)
