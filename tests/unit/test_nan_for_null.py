"""The value and the key of a column whose NULL is sent as NaN."""

from __future__ import annotations

import math
from collections.abc import Generator

import duckdb
import pytest

from dbt_triton.inference_model.input_columns import sent_as_nan
from dbt_triton.tensors import SqlType, parse_sql_type
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.duckdb.values import value_of

NAN = math.nan


@pytest.fixture(scope="module")
def session() -> Generator[duckdb.DuckDBPyConnection, None, None]:
    """A DuckDB session."""
    with duckdb.connect() as opened:
        yield opened


def _type(text: str) -> SqlType:
    parsed = parse_sql_type(text)
    assert isinstance(parsed, SqlType), parsed
    return parsed


def _found(session: duckdb.DuckDBPyConnection, source: str, declared: str, value: str) -> tuple[object, object]:
    """Return the value and the key of a value of a DuckDB type."""
    sent = sent_as_nan(_type(declared))
    assert sent is not None
    made = value_of("x", source, _type(declared), sent=sent)
    assert isinstance(made, Value), made
    found = session.execute(f"select {made.sql}, {made.key} from (select {value}::{source} as x)").fetchone()
    assert found is not None
    return found[0], found[1]


@pytest.mark.parametrize(
    ("source", "declared", "value", "expected"),
    [
        ("FLOAT", "FLOAT", "1.5", 1.5),
        ("DOUBLE", "FLOAT", "'inf'", math.inf),
        ("DOUBLE", "FLOAT", "1e39", None),
        ("INTEGER", "SMALLINT", "7", 7.0),
        ("INTEGER", "SMALLINT", "70000", None),
        ("VARCHAR", "DECIMAL(4, 2)", "'1.25'", 1.25),
        ("VARCHAR", "DECIMAL(4, 2)", "'1.255'", None),
        ("VARCHAR", "DOUBLE", "'x'", None),
        ("JSON", "DOUBLE", "'null'", None),
        ("HUGEINT", "BFLOAT16", "3", 3.0),
        ("FLOAT[]", "FLOAT[]", "[1, NULL, 'nan'::float]", [1.0, NAN, NAN]),
        ("DOUBLE[]", "FLOAT[]", "[1, NULL, 1e39]", [1.0, NAN, None]),
        ("INTEGER[3]", "TINYINT[3]", "[1, NULL, 300]", (1.0, NAN, None)),
        ("INTEGER[]", "TINYINT[2]", "[1, NULL, 3]", None),
        ("VARCHAR", "DOUBLE[]", "'[1, NULL, x]'", [1.0, NAN, None]),
        ("VARCHAR[][]", "FLOAT[][]", "[['1', NULL], NULL, ['x']]", [[1.0, NAN], None, [None]]),
    ],
)
def test_null_alone_is_nan(
    session: duckdb.DuckDBPyConnection, source: str, declared: str, value: str, expected: object
) -> None:
    """NULL is NaN, an element of an array too; a value that is none of the declared type stays NULL, which fails."""
    assert repr(_found(session, source, declared, value)[0]) == repr(expected)


@pytest.mark.parametrize("declared", ["FLOAT", "DOUBLE", "FLOAT16", "TINYINT", "UINTEGER", "DECIMAL(9, 3)"])
@pytest.mark.parametrize("source", ["FLOAT", "DOUBLE", "INTEGER", "BOOLEAN", "DECIMAL(5, 2)", "VARCHAR", '"NULL"'])
def test_null_has_a_key_of_its_own(session: duckdb.DuckDBPyConnection, source: str, declared: str) -> None:
    """The key of NULL is that of no value, of NaN neither, nor of one that is refused; none of them is NULL."""
    values = {"NULL"} | ({"1", "0"} if source != '"NULL"' else set())
    values |= {"'nan'"} if source in {"FLOAT", "DOUBLE", "VARCHAR"} else set()
    values |= {"'null'", "'x'", "''", "'dbt-triton null'", "'NaN '"} if source == "VARCHAR" else set()
    keys = {value: _found(session, source, declared, value)[1] for value in values}
    assert None not in keys.values()
    assert [value for value, key in keys.items() if key == keys["NULL"]] == ["NULL"]
    assert repr(_found(session, source, declared, "NULL")[0]) == "nan"


def test_an_array_of_null_stays_null(session: duckdb.DuckDBPyConnection) -> None:
    """An array that is NULL has no length, so it predicts NULL: its value and its key are NULL."""
    for source in ("FLOAT[]", "FLOAT[3]", "VARCHAR", '"NULL"'):
        assert _found(session, source, "FLOAT[3]", "NULL") == (None, None)


def test_what_is_no_number_has_no_nan() -> None:
    """Only numbers that a floating-point tensor holds are sent as NaN."""
    for text in ("STRING", "BOOLEAN", "BLOB", "BIGINT", "DATE", "TIMESTAMP", "DECIMAL(18, 2)", "JSON", "STRING[]"):
        assert sent_as_nan(_type(text)) is None
    for text, sent in (("INT", "DOUBLE"), ("HALF[2]", "FLOAT[2]"), ("DECIMAL(5, 2)[]", "DOUBLE[]"), ("FLOAT", "FLOAT")):
        found = sent_as_nan(_type(text))
        assert found is not None
        assert found.name == sent
