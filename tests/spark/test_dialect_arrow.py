"""What the engine answers is what Spark takes from Python, and what it has in its tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from dbt_triton.warehouses.spark.dialect import SparkDialect
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.type_names import for_spark, from_spark, spark_arrow_type
from spark.dialect_values import TIME, declared_type, settings

ANSWERED = {
    "BOOLEAN[]": [[True, None], None],
    "UTINYINT": [255, None],
    "USMALLINT[2]": [[1, 65535], None],
    "UINTEGER": [2**32 - 1, None],
    "UBIGINT": [2**64 - 1, None],
    "UBIGINT[]": [[2**64 - 1, 0], []],
    "FLOAT16": [0.5, None],
    "FLOAT[2][3]": [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], None],
    "DOUBLE": [1e300, None],
    "DECIMAL(38,9)": [None, None],
    "STRING": ["é", None],
    "STRING[]": [["a", None], []],
    "BYTES[]": [[b"\xff"], None],
    "JSON": ["{}", None],
    "DATE": [dt.date(2026, 11, 24), None],
    "TIME": [dt.time(1, 2, 3, 4), None],
    "TIMESTAMP": [dt.datetime(2026, 11, 24, 1, 2, 3, 4), None],  # noqa: DTZ001
    "TIMESTAMPTZ[]": [[dt.datetime(2026, 11, 24, 1, 2, 3, 4, tzinfo=dt.UTC)], None],
}


def _answer(name: str) -> tuple[pa.Array, Any]:
    """Return values as the engine makes them: large, and of fixed lengths."""
    kind = declared_type(name)
    arrow = kind.arrow_element
    for size in reversed(kind.dims):
        arrow = pa.large_list(arrow) if size is None else pa.list_(arrow, size)
    return pa.array(ANSWERED[name], arrow), kind


@pytest.mark.parametrize("name", ANSWERED)
def test_answers_come_back_from_spark_as_they_were(name: str, spark: Any) -> None:
    """What the engine answers is what mapInArrow takes and the table has, and the engine reads it again as it was."""
    with settings(spark, {TIME: "true"}):
        array, kind = _answer(name)
        for piece in (array, array.slice(1), array.slice(0, 0)):
            made = for_spark(piece, kind)
            assert made.type == spark_arrow_type(kind)
            assert made.to_pylist() == piece.to_pylist()
            made.validate(full=True)
            again = from_spark(made, kind)
            assert again.to_pylist() == piece.to_pylist()
            assert from_spark(again, kind).equals(again)
        columns = f"x {SparkDialect(Features.of(spark)).type_name(kind)}"
        made = for_spark(array, kind)

        def answers(batches: Any) -> Any:
            for _ in batches:
                yield pa.RecordBatch.from_arrays([made], names=["x"])

        rows = spark.range(1, numPartitions=1).mapInArrow(answers, columns)
        found = pa.Table.from_batches(rows._collect_as_arrow()) if not hasattr(rows, "toArrow") else rows.toArrow()
        assert from_spark(found["x"].combine_chunks(), kind).to_pylist() == array.to_pylist()
