"""Sequences, arrays, classes and files through the tasks of Spark, on a real Triton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.triton import Triton
from support.waves import Call, define

pytestmark = pytest.mark.usefixtures("schema")
_KINDS = {
    "BOOLEAN": ("BOOL", "id % 2 = 0"),
    "TINYINT": ("INT8", "cast(id - 5 as tinyint)"),
    "SMALLINT": ("INT16", "cast(id * -1000 as smallint)"),
    "INT": ("INT32", "cast(id * 100000 as int)"),
    "BIGINT": ("INT64", "id * 10000000000"),
    "UTINYINT": ("UINT8", "cast(id + 200 as smallint)"),
    "USMALLINT": ("UINT16", "cast(id + 60000 as int)"),
    "UINTEGER": ("UINT32", "cast(id + 4000000000 as bigint)"),
    "UBIGINT": ("UINT64", "cast(id + 18446744073709551000 as decimal(20, 0))"),
    "FLOAT": ("FP32", "cast(id / 3 as float)"),
    "DOUBLE": ("FP64", "cast(id / 7 as double)"),
    "STRING": ("STRING", "concat('ä ', id)"),
}


def test_numbers_and_texts_come_back_as_they_were(spark: Any, triton: Triton, serve: Callable[[str], str]) -> None:
    """Every type of numbers and texts that a tensor has goes through Spark and back."""
    names = {kind: f"c_{kind.lower()}" for kind in _KINDS}
    inputs = ", ".join(f"in_{datatype.lower()} {kind}" for kind, (datatype, _) in _KINDS.items())
    outputs = ", ".join(f"out_{datatype.lower()} {kind}" for kind, (datatype, _) in _KINDS.items())
    values = ", ".join(f"{value} as {names[kind]}" for kind, (_, value) in _KINDS.items())
    spark.sql(f"create table numbers using parquet as select id, {values} from range(20)")
    options = {"endpoint": triton.url, "model-name": serve("datatypes")}
    call = Call(
        spark,
        "out",
        define(f"INPUT ({inputs}) OUTPUT ({outputs})", options),
        "numbers",
        values=tuple(names.values()),
    )
    assert call.run().rows == 20
    for row in call.rows():
        for kind, (datatype, _) in _KINDS.items():
            assert row[f"out_{datatype.lower()}"] == row[names[kind]], kind
    call.drop()


def test_arrays_and_classes(spark: Any, triton: Triton, serve: Callable[[str], str]) -> None:
    """An array of numbers is sent, and the best classes come back as arrays."""
    spark.sql(
        "create table scored using parquet as select * from values (1, array(0.5f, 0.2f, 0.7f, 0.1f)), "
        "(2, array(0f, 0f, 0f, 0.9f)) as t(id, scores)"
    )
    named = dict.fromkeys(["tensor.labels", "tensor.best", "tensor.classes"], "PROBABILITIES")
    options = {"endpoint": triton.url, "model-name": serve("classes"), "classification": "3"} | named
    schema = "INPUT (scores ARRAY<FLOAT>) OUTPUT (labels STRING[], best DOUBLE[3], classes ARRAY<BIGINT>)"
    call = Call(spark, "out", define(schema, options), "scored", values=("scores",), key=_key("to_json(scores)"))
    assert call.run().rows == 2
    found = {row.id: (row.labels, row.best, row.classes) for row in call.rows()}
    assert found == {
        1: (["dog: big", "cat", "fi:sh"], [0.7, 0.5, 0.2], [2, 0, 1]),
        2: ([None, "cat", "fi:sh"], [0.9, 0.0, 0.0], [3, 0, 1]),
    }


def test_pictures_are_binary(spark: Any, triton: Triton, serve: Callable[[str], str]) -> None:
    """A BINARY is the elements of a tensor, and one that does not fit fails alone."""
    rows = []
    for number, (height, width) in enumerate([(2, 3), (4, 1), (2, 3), (3, 2)]):
        picture = np.arange(height * width * 3).astype("<f4").tobytes()
        rows.append((number, bytearray(picture), height if number < 3 else 7, width))
    spark.createDataFrame(rows, "id int, image binary, h int, w int").createOrReplaceTempView("pictures")
    options = {"endpoint": triton.url, "model-name": serve("pictures"), "shape.image": "h,w,3", "on-error": "null"}
    schema = "INPUT (image BYTES, h INT, w INT) OUTPUT (size ARRAY<BIGINT>, same BYTES)"
    call = Call(
        spark, "out", define(schema, options), "pictures", values=("image", "h", "w"), key=_key("concat(hex(image), h)")
    )
    stats = call.run()
    assert (stats.rows, stats.rows_failed) == (2, 1)  # two of the pictures are equal
    for row in call.rows():
        if row.id < 3:
            assert (row["size"], bytes(row.same)) == ([row.h, row.w, 3], bytes(row.image))
        else:
            assert "does not make image" in row.ml_error


def _key(text: str) -> str:
    return f"substring(unhex(sha2({text}, 256)), 1, 16)"


def test_each_key_is_one_sequence(spark: Any, triton: Triton, serve: Callable[[str], str]) -> None:
    """The rows of each key go to the model in their order, in one task, whatever their order in the table."""
    spark.sql(
        "create table payments using parquet as select id, concat('c', id % 40) as customer, "
        "abs(hash(id)) % 1000 as amount, (id * 7919) % 600 as at_second from range(600)"
    )
    options = {
        "endpoint": triton.url,
        "model-name": serve("running_total"),
        "sequence-by": "customer",
        "order-by": "at_second",
        "max-concurrent-operations": "8",
    }
    schema = "INPUT (amount BIGINT) OUTPUT (total BIGINT)"
    call = Call(
        spark,
        "out",
        define(schema, options),
        "payments",
        values=("cast(amount as bigint)",),
        key=_key("cast(id as string)"),
    )
    query = (
        f"select {call.key} as ml_key, sha2(customer, 256) as ml_sequence, struct(at_second, id) as ml_order, "
        "cast(amount as bigint) as value_0 from payments"
    )
    assert call.run(query, tasks=2).rows == 600
    totals: dict[str, int] = {}
    for row in sorted(call.rows(), key=lambda one: one.at_second):
        totals[row.customer] = totals.get(row.customer, 0) + row.amount
        assert row.total == totals[row.customer]


def test_the_whole_input_is_one_sequence(spark: Any, triton: Triton, serve: Callable[[str], str]) -> None:
    """With a sequence-id all rows go in order, through one task; a second run starts again."""
    spark.sql("create table steps using parquet as select id, id * 3 as amount from range(100)")
    options = {"endpoint": triton.url, "model-name": serve("running_total"), "sequence-id": "77"}
    options |= {"sequence-start": "true", "sequence-end": "true"}
    schema = "INPUT (amount BIGINT) OUTPUT (total BIGINT)"
    call = Call(spark, "out", define(schema, options), "steps", values=("amount",), key=_key("cast(id as string)"))
    query = f"select {call.key} as ml_key, id as ml_order, amount as value_0 from steps"
    for _ in range(2):
        assert call.run(query, tasks=2).rows == 100
        assert {row.id: row.total for row in call.rows()} == {n: 3 * n * (n + 1) // 2 for n in range(100)}
