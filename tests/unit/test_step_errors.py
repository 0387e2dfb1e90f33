import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from dbt_triton import __version__
from dbt_triton.step import build_inference_model, plan

SECRET = "s3cret-t0ken"  # noqa: S105 - a made-up one that must show up nowhere
MODEL = """CREATE MODEL classifier
INPUT (`input` STRING)
OUTPUT (`output` STRING)
WITH ('provider' = 'triton', 'endpoint' = 'http://127.0.0.1:9/v2/models', 'model-name' = 'm', 'preflight' = 'false')"""


@pytest.fixture
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB as dbt-duckdb hands it to a step."""
    with duckdb.connect() as opened:
        yield opened


def _arguments(sql: str, **changes: Any) -> str:
    """Write the arguments as the macros do."""
    arguments = {"package_version": __version__, "name": "classifier", "alias": "classifier", "sql": sql}
    store = {"database": None, "schema": None, "identifier": "predictions"}
    return json.dumps(arguments | {"endpoint": None, "debug": False, "meta": None, "store": store} | changes)


def _result(session: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    row = session.execute("select getvariable('dbt_triton_result')").fetchone()
    assert row is not None
    result: dict[str, Any] = json.loads(row[0])
    return result


def _build(session: duckdb.DuckDBPyConnection, sql: str, **changes: Any) -> dict[str, Any]:
    build_inference_model(_arguments(sql, **changes), session)
    return _result(session)


def _plan(session: duckdb.DuckDBPyConnection, call: str) -> dict[str, Any]:
    """Plan a predicting model over a table of reviews and an inference model that is built."""
    session.execute("create or replace table reviews as select 1 as id, 'good' as \"Review\", 'x' as output")
    built = _build(session, MODEL)
    session.execute(f"create or replace table classifier as {built['build_sql']}")
    models = [{"unique_id": "model.p.classifier", "name": "classifier", "relations": ['"memory"."main"."classifier"']}]
    plan(_arguments(f"select *\nfrom {call}", name="classified", alias="classified", models=models), session)
    return _result(session)


def test_syntax_error_of_a_model(session: duckdb.DuckDBPyConnection) -> None:
    """A syntax error names the model, the line, what was expected and what was found."""
    error = _build(session, MODEL.replace("OUTPUT", "OUTPUTS"))["error"]
    assert "classifier, line 3: expected OUTPUT, COMMENT or WITH, found 'OUTPUTS'" in error


def test_syntax_error_of_a_call(session: duckdb.DuckDBPyConnection) -> None:
    """A syntax error in a call names the predicting model, the line, what was expected and what was found."""
    error = _plan(session, "ML_PREDICT(TABLE reviews, MODEL classifier, COLUMNS(review))")["error"]
    assert "classified, line 2: expected DESCRIPTOR, found 'COLUMNS'" in error


def test_all_problems_of_a_model(session: duckdb.DuckDBPyConnection) -> None:
    """Everything that is wrong with a definition is said in one error."""
    sql = MODEL.replace("STRING", "GEOMETRY").replace("'provider'", "'timeout' = 'soon', 'endpiont' = 'x', 'provider'")
    error = _build(session, sql)["error"]
    for problem in (
        "INPUT column input",
        "OUTPUT column output",
        "timeout: write a duration",
        "did you mean endpoint?",
    ):
        assert problem in error


def test_errors_hide_secrets(session: duckdb.DuckDBPyConnection) -> None:
    """No error of a step holds a literal token, wherever the mistake is."""
    for token in (f"'{SECRET}'", f'"{SECRET}"', SECRET, f"'{SECRET}"):
        sql = MODEL.replace("'preflight' = 'false'", f"'timeout' = 'soon', 'auth-token' = {token}")
        error = _build(session, sql)["error"]
        assert error.startswith("dbt-triton")
        assert SECRET not in error


def test_secrets_stay_out_of_the_row(session: duckdb.DuckDBPyConnection) -> None:
    """The SELECT of the metadata row, which lands in dbt's files, holds no literal token."""
    headers = json.dumps({"X-Key": SECRET})
    sql = MODEL.replace("'preflight'", f"'auth-token' = '{SECRET}', 'custom-headers' = '{headers}', 'preflight'")
    result = _build(session, sql)
    assert SECRET not in json.dumps(result)
    session.execute(result["build_sql"])


def test_name_of_another_file(session: duckdb.DuckDBPyConnection) -> None:
    """A CREATE MODEL whose name is not that of its file is an error with both names; the alias is as good."""
    error = _build(session, MODEL, name="other", alias="other")["error"]
    assert "CREATE MODEL names it classifier, but its file is other.sql" in error
    assert "build_sql" in _build(session, MODEL, name="other", alias="Classifier")


def test_versions_that_differ(session: duckdb.DuckDBPyConnection) -> None:
    """Macros of another version than the Python package say so, with the command that mends it."""
    error = _build(session, MODEL, package_version="9.9.9")["error"]
    assert f"9.9.9, but the Python package dbt-triton is {__version__}" in error
    assert "pip install dbt-triton==9.9.9" in error


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("ML_PREDICT(TABLE reviews, MODEL classifier, DESCRIPTOR(reveiw))", "no column reveiw; did you mean Review?"),
        ("ML_PREDICT(TABLE reviews, MODEL classifier, DESCRIPTOR(id, review))", "DESCRIPTOR has 2 columns, but INPUT"),
        ("ML_PREDICT(TABLE reviws, MODEL classifier, DESCRIPTOR(review))", "the input cannot be read: "),
        ("ML_PREDICT(TABLE reviews, MODEL classifer, DESCRIPTOR(review))", 'inference model "classifer"'),
        ("ML_PREDICT(TABLE reviews, MODEL classifier, DESCRIPTOR(review), MAP['batchsize', '1'])", "batch-size?"),
        ("reviews", "has no ML_PREDICT"),
    ],
)
def test_plan_errors(session: duckdb.DuckDBPyConnection, call: str, problem: str) -> None:
    """What does not fit the warehouse or the model is said, with the predicting model's name, before a row is sent."""
    error = _plan(session, call)["error"]
    assert "classified" in error
    assert problem in error


def test_plan_columns(session: duckdb.DuckDBPyConnection) -> None:
    """A plan gives the columns of the table to come: the input's, then OUTPUT's, with a counter for a taken name."""
    for operand, descriptor in (("reviews", "review"), ("`reviews`", "`Review`"), ('(from "reviews")', '"Review"')):
        result = _plan(session, f"ML_PREDICT(TABLE {operand}, MODEL `classifier`, DESCRIPTOR({descriptor}))")
        described = session.execute(f"describe {result['check_sql']}").fetchall()
        assert [row[:2] for row in described] == [
            ("id", "INTEGER"),
            ("Review", "VARCHAR"),
            ("output", "VARCHAR"),
            ("output0", "VARCHAR"),
        ]


def test_proxy_is_named(session: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing answers and the environment leads through a proxy, the error says so, and the way around."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    sql = MODEL.replace("127.0.0.1:9", "triton.example.com").replace("'preflight' = 'false'", "'max-retries' = '0'")
    error = _build(session, sql)["error"]
    assert "cannot connect to Triton at http://triton.example.com" in error
    assert "HTTP_PROXY of the environment" in error
    assert "NO_PROXY=triton.example.com" in error
