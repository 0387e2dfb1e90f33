"""A key is that of the values that are sent, in every session, and the stub's predictions follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa

from dbt_triton.ddl import parse_create_model
from dbt_triton.inference_model import InferenceModel
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.spark.dialect import SparkDialect
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.keys import key_expression
from dbt_triton.warehouses.spark.type_names import from_spark
from spark.dialect_values import TIME, declared_type, duckdb_side, first_row, settings, spark_rows, value_as


def test_key_is_the_beginning_of_a_sha256(spark: Any) -> None:
    """A key is 16 bytes of the SHA-256 of a text's bytes, or of a BINARY itself."""
    found = first_row(
        spark, f"select {key_expression(['x'])} as t, {key_expression(['y'])} as b from (select 'é' as x, X'00FF' as y)"
    )
    assert found == {"t": hashlib.sha256("é".encode()).digest()[:16], "b": hashlib.sha256(b"\x00\xff").digest()[:16]}


def test_keys_of_several_values_are_distinct(spark: Any) -> None:
    """No two rows of several values have one key, however their texts are cut; NULL is no value, unless it may be."""
    rows = (
        "('a', 'b'), ('ab', ''), ('', 'ab'), ('1:a', 'b'), ('a', '1:b'), "
        "(null, 'b'), ('-', 'b'), ('a', null), ('a', '-'), (null, null)"
    )
    keys = spark_rows(spark, f"select {key_expression(['x', 'y'])} as k from values {rows} as t(x, y)")["k"].to_pylist()
    assert [key is None for key in keys] == [False] * 5 + [True, False, True, False, True]
    known = [key for key in keys if key is not None]
    assert len(set(known)) == len(known)
    optional = key_expression(["x", "y"], [1], "x is not null")
    keys = spark_rows(spark, f"select {optional} as k from values {rows} as t(x, y)")["k"].to_pylist()
    assert [key is None for key in keys] == [False] * 5 + [True, False, False, False, True]
    assert len({key for key in keys if key is not None}) == 8
    both = key_expression(["x", "cast(y as binary)"], [0, 1], "x is not null or y is not null")
    keys = spark_rows(spark, f"select {both} as k from values {rows} as t(x, y)")["k"].to_pylist()
    assert len(set(keys)) == 10
    assert keys[-1] is None


def test_key_does_not_depend_on_the_session(spark: Any) -> None:
    """The key is made of the value, not of the text that a time zone or ANSI mode gives it."""
    small = "cast('0.000000000000000001' as decimal(38,18))"
    made = {
        "timestamp": "timestamp '2026-11-24 12:34:56.5Z'",
        "timestamp_ntz": "timestamp_ntz '2026-11-24 12:34:56'",
        "date": "date '2026-11-24'",
        "decimal(38,18)": small,
        "double": "1e-7D",
        "float": "float('-0.0')",
        "array<timestamp>": "array(timestamp '2026-11-24 12:34:56Z')",
        "array<decimal(38,18)>": f"array({small})",
        "array<double>": "array(1e20D, null, -0.0D)",
        "array<string>": "array('a, b', null)",
    }
    names = {"timestamp": "TIMESTAMPTZ", "timestamp_ntz": "TIMESTAMP", "string": "STRING"}
    found = set()
    for zone, ansi, legacy in [
        ("UTC", "true", "false"),
        ("Asia/Kolkata", "false", "true"),
        ("America/New_York", "true", "true"),
    ]:
        wanted = {"spark.sql.session.timeZone": zone, "spark.sql.ansi.enabled": ansi}
        wanted["spark.sql.legacy.castComplexTypesToString.enabled"] = legacy
        with settings(spark, wanted):
            keys = []
            for source, sql in made.items():
                element = source.removeprefix("array<").removesuffix(">")
                declared = names.get(element, element.upper()) + ("[]" if element != source else "")
                keys.append(
                    f"(select {value_as(SparkDialect(), source, declared).key} from (select {sql} as x)) as `{source}`"
                )
            found.add(str(first_row(spark, f"select {', '.join(keys)}")))
    assert len(found) == 1


def test_keys_of_arrays_are_exact(spark: Any) -> None:
    """Arrays that differ in one bit, in a length, a comma or a NULL have different keys."""
    texts = (
        "(array('a', 'b')), (array('a, b')), (array('a,b')), (array('ab')), (array()), (array('')), "
        "(array('', '')), (array('NULL')), (array(cast(null as string)))"
    )
    key = key_expression([value_as(SparkDialect(), "array<string>", "STRING[]").key])
    assert len(set(spark_rows(spark, f"select {key} as k from values {texts} as t(x)")["k"].to_pylist())) == 9
    key = key_expression([value_as(SparkDialect(), "array<float>", "FLOAT[]").key])
    steps = "transform(sequence(0, 20000), i -> cast(1 + i * 1.1920928955078125E-7D as float))"
    floats = f"select array(x) as x from (select explode({steps}) as x)"
    assert first_row(spark, f"select count(distinct {key}) as n from ({floats})")["n"] == 20001
    zeros = "array(0f), array(-0f), array(float('-0.0')), array(float('nan')), array(float('inf'))"
    zeros = f"select explode(array({zeros})) as x"
    assert first_row(spark, f"select count(distinct {key}) as n from ({zeros})")["n"] == 4


OUTPUTS = [
    *(
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "FLOAT",
        "DOUBLE",
    ),
    *("FLOAT16", "DECIMAL(2,1)", "DECIMAL(9,3)", "STRING", "JSON", "BYTES", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME"),
    *("FLOAT[3]", "INT[2][2]", "STRING[]"),
]


def _planned(inputs: Sequence[str], keys: list[str], stubs: str = "") -> Any:
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(OUTPUTS))
    given = ", ".join(f"x{place} {kind}" for place, kind in enumerate(inputs))
    model = InferenceModel.from_definition(
        parse_create_model(f"CREATE MODEL m INPUT ({given}) OUTPUT ({columns}) WITH ('provider' = 'stub'{stubs})")
    )
    planned = SimpleNamespace(
        model=model, columns=[f"x{place}" for place in range(len(inputs))], key_values=keys, nan_values={},
        output_names=[column.name for column in model.outputs], error_name="why",
    )  # fmt: skip
    planned.with_nan = lambda _: planned
    return planned


def test_stub_predicts_what_it_does_on_duckdb(spark: Any) -> None:
    """Of the same inputs the stub predicts the same on both warehouses, for every type of OUTPUT, and NULL of NULL."""
    inputs = {"VARCHAR": ("string", "STRING"), "BIGINT": ("bigint", "BIGINT"), "DOUBLE": ("double", "DOUBLE")}
    stubs = ", 'stub.c14' = 'a, b, c'"
    rows = pa.table(
        {
            "x0": ["a", "é", "", "it's", None, "x" * 99],
            "x1": pa.array([1, -(2**63), 0, 7, 8, None]),
            "x2": [0.5, 12.25, -0.0, 3.0, 1.0, 1.0],
        }
    )
    with settings(spark, {TIME: "true", "spark.sql.session.timeZone": "Asia/Kolkata"}), duckdb.connect() as connection:
        dialect, other = SparkDialect(Features.of(spark)), duckdb_side("values").value_of
        connection.execute("set timezone = 'UTC'")
        connection.register("given", rows)
        spark.createDataFrame(rows.to_pylist(), "x0 string, x1 bigint, x2 double").createOrReplaceTempView("given")
        for names in (["VARCHAR"], list(inputs)):
            kinds = [inputs[name][1] for name in names]
            keys = [
                dialect.value_of(f"x{n}", inputs[name][0], declared_type(inputs[name][1]))
                for n, name in enumerate(names)
            ]
            theirs = [other(f"x{n}", name, declared_type(inputs[name][1])) for n, name in enumerate(names)]
            ours = _planned(kinds, [key.key for key in keys if isinstance(key, Value)], stubs)
            sql = duckdb_side("rewrite").stubbed(
                _planned(kinds, [key.key for key in theirs], stubs), "select * from given"
            )
            wanted = connection.sql(f"select * from {sql} as t").to_arrow_table()
            found = spark_rows(spark, f"select * from {dialect.stubbed(ours, 'select * from given')} as t")
            for column in ours.model.outputs:
                sent = from_spark(found[column.name].combine_chunks(), column.type).to_pylist()
                assert sent == wanted[column.name].to_pylist(), column.sql_type
            query = f"select {', '.join(ours.columns)} from given"
            made, checked = (
                spark.sql(f"select * from {sql} as t").dtypes
                for sql in (dialect.stubbed(ours, query), dialect.check_form(ours, query))
            )
            assert made == checked
