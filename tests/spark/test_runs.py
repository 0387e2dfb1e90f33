"""The run log on Spark: the same columns as on DuckDB, although no row of a table can be updated there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from support.runs import Row, predicted, runs
from support.spark import SparkProject
from support.upper_server import UpperServer, upper_server

from dbt_triton.run_log.columns import COLUMNS, spark_columns
from dbt_triton.run_log.processes import this_host

_REVIEWS = "select id, case when id > 0 then concat('review ', id % 4) end as review from range(0, 10) as t(id)"
_CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('classifier') }}, DESCRIPTOR(review))"
_PYTHON = """
    import dbt_triton

    def model(dbt, session):
        dbt.config(materialized="table", submission_method="dbt_triton", file_format="parquet")
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("classifier"), "review")
"""


@pytest.fixture(scope="module")
def built(module_project: Callable[[], SparkProject]) -> Generator[tuple[SparkProject, UpperServer, list[Row]]]:
    """A project that was built once, four models at a time; one of them fails in a hook."""
    with upper_server() as server:
        project = module_project()
        project.model("reviews", "{{ config(materialized='table') }} " + _REVIEWS)
        project.inference_model("classifier", server.url, "upper", binary_data="false", cache="persistent")
        for name in ("one", "two"):
            project.model(name, "{{ config(materialized='ml_predict') }} select * from " + _CALL)
        project.model(
            "broken",
            "{{ config(materialized='ml_predict', post_hook='select no_such_column') }} select * from " + _CALL,
        )
        project.write("models/in_python.py", _PYTHON)
        result = project.dbt("build")
        assert "broken" in result.results, result.printed
        assert result.status("one") == "success", result.printed
        yield project, server, runs(project)


def test_every_call_has_one_row(built: tuple[SparkProject, UpperServer, list[Row]]) -> None:
    """Each call of a build has one row, of both doors, whatever became of it, and says what it did."""
    _, _, rows = built
    found = {row["node"].rpartition(".")[2]: row for row in rows}
    assert len(rows) == len(found) == 4
    assert {name: row["outcome"] for name, row in found.items()} == {
        "one": "succeeded",
        "two": "succeeded",
        "in_python": "succeeded",
        "broken": "failed",
    }
    assert "no_such_column" in found["broken"]["error"]
    for row in rows:
        assert (row["rows"], row["distinct_rows"], row["sent_rows"], row["failed_rows"]) == (10, 4, 4, 0)
        assert row["requests"] >= 1
        assert row["latency_p50_ms"] > 0
        assert row["served_version"] == "1"
        assert row["server_queue_seconds"] >= 0.001
        assert isinstance(row["started_at"], dt.datetime)
        assert 0 <= (row["ended_at"] - row["started_at"]).total_seconds() < 600
        assert abs((row["started_at"] - dt.datetime.now(dt.UTC).replace(tzinfo=None)).total_seconds()) < 900
        profile = predicted(row)
        assert (profile["kind"], profile["rows"], profile["nulls"]) == ("classes", 10, 1)
        assert profile["counts"]["REVIEW 1"] == 3


def test_next_build_reuses(built: tuple[SparkProject, UpperServer, list[Row]]) -> None:
    """What the store had is told from what was sent; the invocations are told apart."""
    project, _, rows = built
    project.build("--select", "one")
    again = runs(project, node="one")[-1]
    assert again["invocation_id"] != rows[0]["invocation_id"]
    assert (again["rows"], again["distinct_rows"], again["sent_rows"], again["reused_rows"]) == (10, 4, 0, 9)
    assert again["requests"] == 0


def test_failed_rows_and_opt_out(built: tuple[SparkProject, UpperServer, list[Row]]) -> None:
    """Failed rows are counted by their reason, with a query that selects them; a variable turns the log off."""
    project, server, _ = built
    before = len(runs(project))
    project.build("--select", "two", "--vars", json.dumps({"dbt_triton_runs": False}))
    assert len(runs(project)) == before
    server.answer = lambda texts: (400, "a bad row") if "review 2" in texts else [text.upper() for text in texts]
    project.dbt("build", "--select", "two", "--full-refresh")
    row = runs(project, node="two")[-1]
    assert (row["outcome"], row["failed_rows"], json.loads(row["failed_by_reason"])) == ("failed", 2, {"refused": 2})
    assert len(project.query(row["failed_query"])) >= 1


def test_older_and_foreign_tables(spark: Any, spark_project: SparkProject) -> None:
    """A relation of the user's is left alone, and no build fails; a run that was killed is told by a later one."""
    project = spark_project
    with upper_server() as server:
        project.model("reviews", "{{ config(materialized='table') }} " + _REVIEWS)
        project.inference_model("classifier", server.url, "upper", binary_data="false")
        project.model("one", "{{ config(materialized='ml_predict') }} select * from " + _CALL)
        spark.sql(f"create schema if not exists {project.schema}")
        spark.sql(f"create table {project.schema}.ml_predict_runs using parquet as select 1 as mine")
        result = project.build()
        assert "is no run log" in result.printed
        assert project.query("select * from ml_predict_runs") == [(1,)]

        older = spark_columns().replace(", `dbt_triton_version` STRING", "")
        spark.sql(f"create table {project.schema}.log__log ({older}) using parquet")
        dead = ", ".join(
            {"run_id": "'x'", "outcome": "'running'", "process": "'elsewhere_1_2'"}.get(name, "null")
            for name in list(COLUMNS)[:-1]
        )
        spark.sql(f"insert into {project.schema}.log__log values ({dead})")
        spark.sql(
            f"insert into {project.schema}.log__log values ({dead.replace('elsewhere_1_2', _dead_process())})".replace(
                "'x'", "'y'"
            )
        )
        project.build("--select", "one", "--vars", json.dumps({"dbt_triton_runs_name": "log"}))
        rows = {row["run_id"]: row["outcome"] for row in runs(project, "log")}
        assert (rows.pop("x"), rows.pop("y")) == ("running", "killed")
        assert list(rows.values()) == ["succeeded"]


def _dead_process() -> str:
    """Name a process of this machine that is not there any more."""
    return f"{this_host()}_4194304_1"
