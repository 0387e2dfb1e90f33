"""What tells sequences apart on Spark: two values of a column are one sequence only if they are equal."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_triton.warehouses.spark.dialect import SparkDialect

_DIFFERENT = {
    "moments within a struct": ("struct(timestamp '2024-01-01 00:00:00.000001')", "struct(timestamp '2024-01-01')"),
    "local moments within a struct": (
        "struct(timestamp_ntz '2024-01-01 00:00:00.000001')",
        "struct(timestamp_ntz '2024-01-01')",
    ),
    "moments that clocks show twice": (
        "struct(timestamp '2024-11-03 01:30:00-04:00')",
        "struct(timestamp '2024-11-03 01:30:00-05:00')",
    ),
    "moments of a map": (
        "map('a', timestamp '2024-01-01 00:00:00.000001')",
        "map('a', timestamp '2024-01-01 00:00:00.000002')",
    ),
    "moments of an array": ("array(timestamp '2024-01-01 00:00:00.000001')", "array(timestamp '2024-01-01')"),
    "a missing field": ("named_struct('a', cast(null as int), 'b', 1)", "named_struct('a', 1, 'b', cast(null as int))"),
    "zeros": ("-0.0D", "0.0D"),
    "bytes of no text": ("cast(X'FF' as string)", "cast(X'FE' as string)"),
}


@pytest.mark.parametrize(("first", "second"), _DIFFERENT.values(), ids=_DIFFERENT)
def test_different_values_are_different_sequences(spark: Any, first: str, second: str) -> None:
    """No step of one sequence goes into another one, to the last microsecond."""
    kind = spark.sql(f"select {first} as k").schema[0].dataType.simpleString()
    key = SparkDialect().sequence_key("k", kind)
    query = f"select count(distinct {key}) as n from (select {first} as k union all select {second})"
    assert spark.sql(query).collect()[0].n == len({first, second})
