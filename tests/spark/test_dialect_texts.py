"""What a name, a text or a typed value says in Spark is what it was made of, in every session."""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbt_triton.errors import DbtTritonError
from dbt_triton.warehouses.spark.dialect import SparkDialect
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.keys import key_expression
from dbt_triton.warehouses.spark.type_names import from_spark
from spark.dialect_values import declared_type, duckdb_side, first_row, settings, spark_rows, value_as
from spark.given_texts import TEXTS

ESCAPED = "spark.sql.parser.escapedStringLiterals"
_RANDOM = random.Random(12)  # noqa: S311 - the same texts in each run
_DANGEROUS = [
    "'",
    '"',
    "`",
    "\\",
    "$",
    "${env:HOME}",
    "${spark.app.name}",
    "{{ x }}",
    "--",
    "/*",
    ";",
    "\n",
    "\x00",
    "\\'",
    "%s",
    "\\u0041",
    "é",
    "🎬",
]
RANDOM_TEXTS = [
    *TEXTS,
    *("".join(_RANDOM.choices(_DANGEROUS + list("ab 1"), k=_RANDOM.randint(1, 9))) for _ in range(200)),
]
RANDOM_TEXTS += [
    "".join(chr(_RANDOM.choice([*range(1, 0xD800), *range(0xE000, 0x2FFFF)])) for _ in range(6)) for _ in range(100)
]


@pytest.mark.parametrize("escaped", ["false", "true"])
def test_text_is_read_as_it_is(spark: Any, escaped: str) -> None:
    """No part of a text is read as SQL, as an escape or as a setting to put in, and it is the same in each session."""
    dialect = SparkDialect()
    listed = ", ".join(dialect.text(text) for text in RANDOM_TEXTS)
    with settings(spark, {ESCAPED: escaped}):
        assert first_row(spark, f"select array({listed}) as texts")["texts"] == RANDOM_TEXTS


def test_name_is_read_as_it_is(spark: Any) -> None:
    """A name in quotes is that column, and one that Spark would change is refused with what to do."""
    dialect = SparkDialect()
    names = ["a`b", "a b", "select", "a.b", 'a"b', "a'b", "--", "é", "{x}", "$1", "a;b", "/* a */", "\\"]
    listed = ", ".join(f"{place} as {dialect.quote(name)}" for place, name in enumerate(names))
    columns = ", ".join(dialect.quote(name) for name in names)
    assert first_row(spark, f"select {columns} from (select {listed})") == {
        name: place for place, name in enumerate(names)
    }
    with pytest.raises(DbtTritonError, match="give the column another name"):
        dialect.quote("a${env:HOME}")


def test_typed_value_is_exactly_what_was_written(spark: Any) -> None:
    """A default or a stub's value is the text's own value, of the declared type, whatever the type."""
    written = {
        "BOOLEAN": ("yes", True),
        "UTINYINT": ("255", 255),
        "UBIGINT": ("18446744073709551615", 18446744073709551615),
        "FLOAT": ("0.1", pa.scalar(0.1, pa.float32()).as_py()),
        "FLOAT16": ("0.5", 0.5),
        "DECIMAL(5,2)": ("-012.50", Decimal("-12.50")),
        "DECIMAL(9,0)": ("1e3", Decimal(1000)),
        "INT": ("0x1F", 31),
        "DOUBLE": ("-1e300", -1e300),
        "STRING": ("it's ${env:HOME} \\", "it's ${env:HOME} \\"),
        "JSON": ('{"a": "\\n"}', '{"a": "\\n"}'),
        "BYTES": ("a\\x00\\xFF", b"a\x00\xff"),
        "DATE": ("2026-11-24", dt.date(2026, 11, 24)),
        "TIMESTAMP": ("2026-11-24 12:34:56.5", dt.datetime(2026, 11, 24, 12, 34, 56, 500000)),  # noqa: DTZ001
        "TIMESTAMPTZ": ("2026-11-24T12:34:56Z", dt.datetime(2026, 11, 24, 12, 34, 56, tzinfo=dt.UTC)),
        "FLOAT[3]": ("[1, 2.5, 3]", [1.0, 2.5, 3.0]),
        "STRING[]": ('["a, b", c]', ["a, b", "c"]),
        "INT[][]": ("[[1], []]", [[1], []]),
    }
    for ansi in ("false", "true"):
        with settings(spark, {"spark.sql.ansi.enabled": ansi}):
            dialect = SparkDialect()
            listed = ", ".join(
                f"{dialect.typed(text, declared_type(name))} as `{name}`" for name, (text, _) in written.items()
            )
            found = spark_rows(spark, f"select {listed}")
            for name, (_, value) in written.items():
                kind = declared_type(name)
                assert from_spark(found[name].combine_chunks(), kind).to_pylist() == [value], name
                assert first_row(spark, dialect.holds(written[name][0], kind))["holds"]
            for text, name in {"300": "TINYINT", "-1": "UBIGINT", "1.255": "DECIMAL(5,2)", "1e39": "FLOAT"}.items():
                assert not first_row(spark, dialect.holds(text, declared_type(name)))["holds"]
            assert first_row(spark, f"select {dialect.typed(None, declared_type('FLOAT[3]'))} as x")["x"] is None


def test_metadata_row_holds_what_the_model_says(spark: Any) -> None:
    """The one row of an inference model has its options and texts as they are, and NULL for what is not known."""
    row = {"options": json.dumps({"custom-headers": "${X_TOKEN}", "a": "it's \\ 日本"}), "size": 8, "at": None}
    types = {"options": declared_type("STRING"), "size": declared_type("INT"), "at": declared_type("TIMESTAMP")}
    query = SparkDialect().metadata_query(row, types)
    assert first_row(spark, query) == row
    assert dict(spark.sql(query).dtypes) == {"options": "string", "size": "int", "at": "timestamp_ntz"}


def test_bytes_that_are_no_utf8_are_no_text(spark: Any) -> None:
    """Neither a BINARY nor a STRING with other bytes is sent as a text, and its key is that of its own bytes."""
    dialect = SparkDialect(Features.of(spark))
    written = ("FF", "EFBFBD", "61", "C3", "EDA080", "F09F8EAC")
    for source in ("binary", "string"):
        made = ", ".join(f"(cast(X'{data}' as {source}))" for data in written)
        value, array = value_as(dialect, source, "STRING"), value_as(dialect, f"array<{source}>", "STRING[]")
        keyed = f"{value.sql} as sent, {key_expression([value.key])} as k"
        rows = spark_rows(spark, f"select {keyed} from values {made} as t(x)")
        assert rows["sent"].to_pylist() == [None, "\ufffd", "a", None, None, "🎬"]
        assert len(set(rows["k"].to_pylist())) == len(written)
        rows = spark_rows(spark, f"select {array.key} as k from (select array(x) as x from values {made} as t(x))")
        assert len(set(rows["k"].to_pylist())) == len(written)


def test_long_texts_end_no_task(spark: Any, tmp_path: Path) -> None:
    """A text of hundreds of thousands of characters is read, or is a failed row: no pattern overflows Java's stack."""
    dialect = SparkDialect()
    size = 300_000
    made = {
        "digits": "1" * size,
        "underscores": "1_" * size,
        "string": '"' + "a\\n" * size + '"',
        "array": "[1" + ", 1" * size + "]",
        "object": '{"a":1' + ', "a":1' * size + "}",
        "spaces": " " * size,
        "deep": "[" * 3000 + "]" * 3000,
        "open": "[" * size,
        "quotes": '"' * size,
        "date": "2026-01-01" + " " * size + "x",
    }
    pq.write_table(pa.table({"name": list(made), "x": list(made.values())}), tmp_path / "long.parquet")
    spark.read.parquet(str(tmp_path / "long.parquet")).createOrReplaceTempView("long_texts")
    found: dict[str, set[str]] = {name: set() for name in made}
    for kind in ("BIGINT", "DECIMAL(38,9)", "DOUBLE", "JSON", "DATE", "TIMESTAMPTZ", "DOUBLE[]", "STRING[]"):
        query = f"select name, ({value_as(dialect, 'string', kind).sql}) is not null as is_sent from long_texts"
        for row in spark_rows(spark, query).to_pylist():
            found[row["name"]] |= {kind} if row["is_sent"] else set()
    assert found["array"] == {"JSON", "DOUBLE[]", "STRING[]"}
    assert found["object"] == found["string"] == found["digits"] == {"JSON"}
    assert not any(found[name] for name in ("underscores", "spaces", "deep", "open", "quotes", "date"))


ARRAY_TEXTS = {
    **{
        text: ["STRING", "DOUBLE", "INT"]
        for text in ("[1, 2.5]", "[]", "[ ]", "[1, 2]", " [1] ", "1,2", "[1", "[null, 1]", "[NULL]", "[\"1\", '2']")
    },
    **{
        text: ["STRING"]
        for text in (
            "[a, b]",
            "['a','b']",
            '["a","b"]',
            "[a b, c]",
            '["null"]',
            "[it's]",
            '["a\\"b"]',
            "[ 'a' , \"b\" ]",
            '["a, b"]',
            "[a]b",
            '[a"b]',
            "[[1,2],[3]]",
        )
    },
}


def test_array_in_a_text_is_the_array_that_it_spells(spark: Any) -> None:
    """A STRING with an array in DuckDB's or JSON's spelling goes as that array; no other text does."""
    dialect, other = SparkDialect(), duckdb_side("values").value_of
    texts = list(ARRAY_TEXTS)
    listed = ", ".join(f"({dialect.text(text)})" for text in texts)
    with duckdb.connect() as connection:
        for kind in ("STRING[]", "DOUBLE[]", "INT[]"):
            value = value_as(dialect, "string", kind)
            found = spark_rows(spark, f"select {value.sql} as sent, {value.key} as k from values {listed} as t(x)")
            theirs = other("x", "VARCHAR", declared_type(kind))
            connection.register("texts", pa.table({"x": texts}))
            wanted = [row[0] for row in connection.execute(f"select {theirs.sql} from texts").fetchall()]
            for text, sent, duckdbs in zip(texts, found["sent"].to_pylist(), wanted, strict=True):
                if kind[:-2] in ARRAY_TEXTS[text] and text != "[[1,2],[3]]":
                    assert sent == duckdbs, (kind, text)
            assert None not in found["k"].to_pylist()
    nested = value_as(dialect, "string", "INT[2][]")
    made = ", ".join(
        f"({dialect.text(text)})" for text in ("[[1, 2], [3,4]]", "[ [1], []]", "[]", "[1]", "[[1,2]", '[["1", 2]]')
    )
    assert spark_rows(spark, f"select {nested.sql} as sent from values {made} as t(x)")["sent"].to_pylist() == [
        [[1, 2], [3, 4]], [[1], []], [], None, None, [[1, 2]],
    ]  # fmt: skip
    unescaped = value_as(dialect, "string", "STRING[]").sql
    spelled = dialect.text('["a\\nb", "\\u00e9", \'it\\\'s\']')
    assert first_row(spark, f"select {unescaped} as x from values ({spelled}) as t(x)")["x"] == ["a\nb", "é", "it's"]


def test_null_is_nan_where_it_is_to_be(spark: Any) -> None:
    """NULL is sent as NaN, within arrays as well; what does not fit stays NULL, and no two of them share a key."""
    dialect = SparkDialect()
    sent = declared_type("DOUBLE")
    value = value_as(dialect, "string", "DOUBLE", sent=sent)
    rows = spark_rows(
        spark, f"select {value.sql} as v, {value.key} as k from values ('1.5'), (null), ('nan'), ('x') as t(x)"
    )
    assert str(rows["v"].to_pylist()) == "[1.5, nan, nan, None]"
    assert len(set(rows["k"].to_pylist())) == 4
    array = value_as(dialect, "array<string>", "DOUBLE[]", sent=declared_type("DOUBLE[]"))
    made = "(array('1.5', null, 'x')), (null), (array()), (array('nan', 'nan', 'x'))"
    rows = spark_rows(spark, f"select {array.sql} as v, {array.key} as k from values {made} as t(x)")
    assert str(rows["v"].to_pylist()) == "[[1.5, nan, None], None, [], [nan, nan, None]]"
    assert rows["k"].to_pylist()[1] is None
    assert len(set(rows["k"].to_pylist())) == 4
    text = value_as(dialect, "string", "INT[][]", sent=declared_type("FLOAT[][]"))
    rows = spark_rows(spark, f"select {text.sql} as v from values ('[[1, null], [x]]'), ('[[]]'), (null) as t(x)")
    assert str(rows["v"].to_pylist()) == "[[[1.0, nan], [None]], [[]], None]"
    nothing = value_as(dialect, "void", "FLOAT", sent=declared_type("FLOAT"))
    assert str(first_row(spark, f"select {nothing.sql} as v from (select null as x)")["v"]) == "nan"


REFUSED = [
    ("binary", "INT", "write the cast that you mean"),
    ("struct<a:int>", "STRING", "write to_json(x) or cast(x as STRING)"),
    ("map<string,int>", "JSON", "write to_json(x)"),
    ("array<int>", "STRING", "write to_json(x)"),
    ("variant", "STRING", "write to_json(x)"),
    ("int", "INT[]", "write an array of several, such as array(a, b, c)"),
    ("array<int>", "INT", "write the cast that you mean"),
    ("array<array<int>>", "INT[]", "write the cast that you mean"),
    ("date", "INT", "write the cast that you mean"),
    ("interval day", "INT", "write the cast that you mean"),
    ("geometry(4326)", "STRING", "write the cast that you mean"),
    ("string", "TIME", "spark.sql.timeType.enabled"),
]


@pytest.mark.parametrize(("source", "declared", "advice"), REFUSED)
def test_pair_without_a_value_is_refused_with_advice(source: str, declared: str, advice: str) -> None:
    """Where no value of the column is one of the declared type, the plan says so and what to write."""
    said = SparkDialect().value_of("x", source, declared_type(declared))
    assert isinstance(said, str)
    assert advice in said


def test_types_have_their_names() -> None:
    """A table has the nearest type of Spark's in which every value fits."""
    dialect = SparkDialect(Features(has_time=True))
    names = {
        "UBIGINT": "DECIMAL(20,0)",
        "FLOAT16[3]": "ARRAY<FLOAT>",
        "STRING[][2]": "ARRAY<ARRAY<STRING>>",
        "TIME": "TIME(6)",
    }
    names |= {
        "TIMESTAMP": "TIMESTAMP_NTZ",
        "TIMESTAMPTZ": "TIMESTAMP_LTZ",
        "JSON": "STRING",
        "DECIMAL(5,2)": "DECIMAL(5,2)",
    }
    assert {name: dialect.type_name(declared_type(name)) for name in names} == names
    with pytest.raises(DbtTritonError, match=r"declare STRING, or BIGINT"):
        SparkDialect().type_name(declared_type("TIME[]"))


def test_sources_are_told_by_their_kinds() -> None:
    """A column's own type is known by the kinds of the declared types, arrays by their levels."""
    dialect = SparkDialect()
    assert dialect.source_kind("array<array<decimal(10,2)>>") == ("DECIMAL", 2)
    assert dialect.source_kind("timestamp") == ("TIMESTAMPTZ", 0)
    assert dialect.source_kind("timestamp_ntz") == ("TIMESTAMP", 0)
    assert dialect.source_kind("string collate UTF8_LCASE") == ("VARCHAR", 0)
    assert dialect.source_kind("struct<a:array<int>>") == ("STRUCT", 0)
    assert dialect.source_kind("void") == ("NULL", 0)


def test_texts_of_a_collation_are_told_apart_by_their_bytes(spark: Any) -> None:
    """Texts that a collation says are equal are two inputs and two sequences, with the values of any text."""
    if spark.version.startswith("3"):
        pytest.skip("Spark 3 has no collations")
    dialect, source = SparkDialect(), "string collate UTF8_LCASE"
    rows = "(select collate(x, 'UTF8_LCASE') as x from values ('a'), ('A'), ('1E2'), ('1e2') as t(x))"
    key = key_expression([value_as(dialect, source, "STRING").key])
    assert first_row(spark, f"select count(distinct {key}) as n from {rows}")["n"] == 4
    assert first_row(spark, f"select count(distinct {dialect.sequence_key('x', source)}) as n from {rows}")["n"] == 4
    for kind in ("INT", "DOUBLE", "DECIMAL(5,2)", "BOOLEAN", "JSON", "DATE", "TIMESTAMPTZ", "BYTES", "STRING", "INT[]"):
        value = value_as(dialect, source, kind)
        spark_rows(spark, f"select {value.sql} as v, {value.key} as k from {rows}")
