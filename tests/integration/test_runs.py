"""The run log: one row for each ML_PREDICT call of a build, whatever becomes of it, and at no build's expense."""

from __future__ import annotations

import datetime as dt
import json
import re
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import duckdb
import pytest
from support.dbt import REPOSITORY, DbtProject
from support.runs import Row, predicted, runs
from support.triton import Triton
from support.upper_server import UpperServer, slow, upper_server

from dbt_triton.run_log.columns import COLUMNS, duckdb_columns

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("tests/spark/test_runs.py has it on Spark")]

REVIEWS = "select i as id, case when i > 0 then 'review ' || (i % 4) end as review from range(10) t(i)"
CONFIG = "{{ config(materialized='ml_predict') }}\n"
CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('classifier') }}, DESCRIPTOR(review))"
SELECT = f"{CONFIG}select * from {CALL}"
PYTHON = """
    from dbt_triton import ml_predict

    def model(dbt, session):
        dbt.config(materialized="table")
        return ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("classifier"), "review")
"""
MANY = 12


def shop(project: DbtProject, server: UpperServer, **options: str) -> DbtProject:
    """Write what is predicted for, and the inference model."""
    project.model("reviews", "{{ config(materialized='table') }} " + REVIEWS)
    project.inference_model("classifier", server.url, "upper", binary_data="false", **options)
    return project


def variables(**values: object) -> list[str]:
    """Return the arguments of a command that set variables."""
    return ["--vars", json.dumps(values)]


@pytest.fixture(scope="module")
def shared(
    module_project: Callable[..., DbtProject],
) -> Generator[tuple[DbtProject, UpperServer, dict[str, list[Row]]]]:
    """A project of many models that was built once, eight at a time, by every door; some of them fail."""
    with upper_server() as server:
        project = shop(module_project(threads=8), server, max_retries="0")
        for number in range(MANY):
            project.model(f"m{number}", SELECT)
        project.write("models/in_python.py", PYTHON)
        inner = CALL.replace("DESCRIPTOR(review)", "DESCRIPTOR(review), MAP['cache', 'persistent']")
        project.model(
            "two_calls",
            f"{CONFIG}with loud as (select * from {inner})\nselect * from ML_PREDICT(TABLE loud, "
            "MODEL {{ ref('classifier') }}, DESCRIPTOR(output))",
        )
        project.model("nothing", SELECT.replace("{{ ref('reviews') }}", "(select * from {{ ref('reviews') }} limit 0)"))
        project.model("failing_hook", SELECT.replace("'ml_predict'", "'ml_predict', post_hook='select no_such_column'"))
        project.model("pending", SELECT + "\nwhere error('the query of the user') is null")
        project.model("gone", SELECT.replace("'classifier'", "'away'"))
        project.inference_model("away", "http://127.0.0.1:9", "upper", preflight="false", max_retries="0")
        project.model("wrong_column", SELECT.replace("(review)", "(revue)"))
        project.model("wrong_sql", f"{SELECT} wher id > 1")
        project.model("wrong_select", SELECT.replace("select *", "select no_such_column"))
        project.model("wrong_grammar", SELECT.replace("DESCRIPTOR", "DESCRIPTER"))
        project.write("models/wrong_in_python.py", PYTHON.replace('"review"', '"revue"'))
        project.inference_model("down", "http://127.0.0.1:9", "upper", max_retries="0")
        project.model("waits", SELECT.replace("'classifier'", "'down'"))
        project.write("models/waits_in_python.py", PYTHON.replace('"classifier"', '"down"'))
        project.model("waits_for_them", f"{CONFIG}select * from {CALL.replace('reviews', 'waits')}")
        project.model("stubbed", SELECT.replace("'classifier'", "'stub'"))
        project.inference_model("stub", server.url, "upper", provider="stub")
        project.dbt("build", *variables(dbt_triton_runs_schema="night shift", dbt_triton_runs_name="all runs"))
        found: dict[str, list[Row]] = {}
        for row in runs(project, '"night shift"."all runs"'):
            found.setdefault(row["node"].removeprefix("model.shop."), []).append(row)
        yield project, server, found


def test_no_row_is_lost(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]]) -> None:
    """Eight models at a time on one file, which make the schema and the table at once, leave a row for each call."""
    _, _, found = shared
    assert {f"m{number}" for number in range(MANY)} <= found.keys()
    for number in range(MANY):
        (row,) = found[f"m{number}"]
        assert row["outcome"] == "succeeded", row
        assert (row["rows"], row["distinct_rows"], row["reused_rows"], row["sent_rows"]) == (10, 4, 0, 4)
        assert (row["requests"], row["retries"], row["failed_rows"], row["failed_query"]) == (1, 0, 0, None)
        assert row["error"] is None
    assert len({row["run_id"] for rows in found.values() for row in rows}) == sum(map(len, found.values()))
    assert len({row["invocation_id"] for rows in found.values() for row in rows}) == 1


def test_what_a_row_says(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]]) -> None:
    """Where it was sent, what was served, how much, how long each part took, and what was predicted."""
    _, server, found = shared
    (row,) = found["m0"]
    assert list(row) == list(COLUMNS)
    said = {name: row[name] for name in ("call", "inference_model", "endpoint", "model_name", "served_version")}
    assert said == {
        "call": 1,
        "inference_model": "classifier",
        "endpoint": server.url,
        "model_name": "upper",
        "served_version": "1",
    }
    assert row["bytes_sent"] > 0
    assert row["bytes_received"] > 0
    parts = ("plan_seconds", "read_seconds", "wait_seconds", "write_seconds", "join_seconds")
    whole = (row["ended_at"] - row["started_at"]).total_seconds()
    assert all(0 <= row[name] <= whole + 1 for name in parts), row
    assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"] <= row["latency_p99_ms"] < 60_000
    assert row["server_queue_seconds"] >= 0.001
    assert row["server_compute_seconds"] == pytest.approx(9 * row["server_queue_seconds"])
    assert row["requests_in_flight"] == 16
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert dt.timedelta() <= now - row["started_at"] < dt.timedelta(minutes=10)
    counts = {"REVIEW 1": 3, "REVIEW 0": 2, "REVIEW 2": 2, "REVIEW 3": 2}
    assert predicted(row) == {"kind": "classes", "rows": 10, "nulls": 1, "counts": counts, "other": 0}


def test_every_door_and_every_call(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]]) -> None:
    """A Python model has its row; each of several calls has one; an empty input has one; a stub sends nothing."""
    _, _, found = shared
    assert [row["outcome"] for row in found["in_python"]] == ["succeeded"]
    assert [(row["call"], row["outcome"]) for row in found["two_calls"]] == [(1, "succeeded"), (2, "succeeded")]
    assert [row["join_seconds"] is None for row in found["two_calls"]] == [True, False]
    (nothing,) = found["nothing"]
    assert (nothing["outcome"], nothing["rows"], nothing["sent_rows"], nothing["requests"]) == ("succeeded", 0, 0, 0)
    assert "stubbed" not in found


def test_documented_queries(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]]) -> None:
    """Each query of docs/runs.md can be pasted; that for failures names the runs that failed, and no other."""
    project, _, found = shared
    page = (REPOSITORY / "docs" / "runs.md").read_text("utf-8")
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    answers = [project.query(query.replace("ml_predict_runs", '"night shift"."all runs"')) for query in queries]
    assert len(answers) == 6
    failed = {f"model.shop.{name}" for name in found if found[name][-1]["outcome"] == "failed"}
    assert {row[0] for row in answers[1]} == failed
    assert len(answers[2]) == 10
    assert answers[5] == []


def test_build_that_fails_is_no_success(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]]) -> None:
    """A hook or a query that fails after the predictions, and a server that is not there: failed, and why."""
    _, _, found = shared
    for name, words in (("failing_hook", "no_such_column"), ("pending", "the query of the user")):
        (row,) = found[name]
        assert (row["outcome"], row["sent_rows"]) == ("failed", 4), row
        assert words in row["error"], row
        assert row["ended_at"] is not None
    (gone,) = found["gone"]
    assert gone["outcome"] == "failed"
    assert "127.0.0.1:9" in gone["error"]
    assert gone["served_version"] is None


BEFORE_A_CALL = {
    "wrong_column": "the input has no column revue; did you mean review?",
    "wrong_sql": "syntax error",
    "wrong_select": "no_such_column",
    "wrong_grammar": "expected DESCRIPTOR, found 'DESCRIPTER'",
    "wrong_in_python": "the input has no column revue",
    "waits": "skipped, since the inference model down was not built: cannot connect to Triton at http://127.0.0.1:9",
    "waits_in_python": "skipped, since the inference model down was not built",
}


@pytest.mark.parametrize("name", BEFORE_A_CALL)
def test_failure_before_a_call(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]], name: str) -> None:
    """What fails before its first call has a row that says why, and so has what waits for a server that is away."""
    (row,) = shared[2][name]
    assert (row["outcome"], row["call"], row["sent_rows"]) == ("failed", 1, None)
    assert BEFORE_A_CALL[name] in row["error"], row
    assert row["ended_at"] is not None
    assert row["inference_model"] == (
        "down" if name.startswith("waits") else "classifier" if "python" not in name else None
    )


def test_skipped_for_another_model(shared: tuple[DbtProject, UpperServer, dict[str, list[Row]]]) -> None:
    """A model that is skipped for a predicting model has no row: that one's says why."""
    assert "waits_for_them" not in shared[2]


def test_empty_builds_and_dry_runs(project: DbtProject) -> None:
    """`--empty`, a dry run and a project of stubs leave no row, also where they fail: they predict nothing."""
    with upper_server() as server:
        shop(project, server).model("classified", SELECT)
        project.model("wrong", SELECT.replace("(review)", "(revue)"))
        project.inference_model("down", "http://127.0.0.1:9", "upper", max_retries="0")
        project.model("waits", SELECT.replace("'classifier'", "'down'"))
        project.fails("--empty")
        project.fails(*variables(dbt_triton_dry_run=True))
        assert project.relations() >= {"classified"}
    assert project.query("select 1 from information_schema.tables where table_name = 'ml_predict_runs'") == []


def test_nothing_new(project: DbtProject) -> None:
    """A table that is left as it is has a row, with what the last one knew; a build without a log leaves none."""
    with upper_server() as server:
        shop(project, server, cache="persistent").model("classified", SELECT)
        project.build()
        project.build()
        project.build(*variables(dbt_triton_runs="false"))
        project.build("--full-refresh", *variables(dbt_triton_dry_run=True))
    first, again = runs(project)
    assert (again["sent_rows"], again["reused_rows"], again["requests"]) == (0, 9, 0)
    assert (again["distinct_rows"], again["predicted"]) == (first["distinct_rows"], first["predicted"])
    assert again["outcome"] == "succeeded"
    assert again["latency_p50_ms"] is None


def test_failed_rows(project: DbtProject) -> None:
    """Rows are counted by the reason, and each query that a row names selects them when the build is over."""
    with upper_server() as server:
        server.answer = lambda texts: (400, "bad") if "review 2" in texts else [text.upper() for text in texts]
        shop(project, server)
        cases = {
            "fails": "'on-error', 'fail'",
            "passes": "'on-error', 'null'",
            "keeps": "'on-error', 'null', 'cache', 'persistent'",
            "forgets": "'on-error', 'fail', 'cache', 'off'",
        }
        for name, options in cases.items():
            project.model(name, SELECT.replace("DESCRIPTOR(review)", f"DESCRIPTOR(review), MAP[{options}]"))
        project.dbt("build")
    found = {row["node"].removeprefix("model.shop."): row for row in runs(project)}
    outcomes = {"fails": "failed", "passes": "succeeded", "keeps": "succeeded", "forgets": "failed"}
    assert {name: row["outcome"] for name, row in found.items()} == outcomes
    for name, row in found.items():
        assert (row["failed_rows"], json.loads(row["failed_by_reason"])) == (2, {"refused": 2}), name
        if name == "forgets":
            assert row["failed_query"] is None
        else:
            assert project.query(row["failed_query"]), name
    assert predicted(found["passes"])["nulls"] == 3
    assert "2 row(s) failed" in found["fails"]["error"]


def test_ctrl_c(project: DbtProject) -> None:
    """A run that Ctrl-C ended says so, and what it had done."""
    with upper_server(before=slow(0.3)) as server:
        shop(project, server, batch_size="1", max_concurrent_operations="1").model("classified", SELECT)
        command, environment = project.command("build")
        with subprocess.Popen(
            command, cwd=project.root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                assert server.wait_for(lambda: len(server.texts) > 1)
                process.send_signal(signal.SIGINT)
                process.wait(60)
            finally:
                process.kill()
    (row,) = runs(project)
    assert row["outcome"] == "interrupted", row
    assert row["ended_at"] is not None
    assert row["requests"] >= 1


def test_killed_run(project: DbtProject) -> None:
    """A run that was killed says `running`, also to those who look meanwhile, until the next run can tell."""
    with upper_server(before=slow(0.3)) as server:
        shop(project, server, batch_size="1", max_concurrent_operations="1").model("classified", SELECT)
        project.model("other", SELECT)
        command, environment = project.command("build", "--select", "+classified")
        with subprocess.Popen(command, cwd=project.root, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                assert server.wait_for(lambda: len(server.texts) > 1)
            finally:
                process.kill()
        (row,) = runs(project)
        assert (row["outcome"], row["ended_at"], row["rows"], row["served_version"]) == ("running", None, 10, "1")
        server.before = lambda: None
        project.build("--select", "other")
    killed, other = runs(project)
    assert (killed["outcome"], killed["ended_at"], other["outcome"]) == ("killed", None, "succeeded")
    assert "killed" in killed["error"]


def test_what_is_there_already(project: DbtProject, tmp_path: Path) -> None:
    """Another relation of that name is left alone, an older log gets the columns that it lacks; no build fails."""
    older = {name: kind for name, kind in COLUMNS.items() if name not in {"predicted", "process"}}
    with duckdb.connect(str(project.database)) as connection:
        connection.execute("create table ml_predict_runs as select 1 as mine")
        connection.execute("create view a_view as select * from ml_predict_runs")
        connection.execute(f"create table like_it ({duckdb_columns()})")
        connection.execute("create view view_of_a_log as select * from like_it")
        connection.execute(f"create table older ({', '.join(f'{name} {kind}' for name, kind in older.items())})")
        connection.execute("insert into older (run_id, node, outcome) values ('x', 'model.shop.gone', 'running')")
    elsewhere = tmp_path / "elsewhere.duckdb"
    duckdb.connect(str(elsewhere)).close()
    profile = json.loads((project.root / "profiles.yml").read_text())
    profile["shop"]["outputs"]["dev"]["attach"] = [{"path": str(elsewhere), "read_only": True}]
    project.write("profiles.yml", json.dumps(profile))
    with upper_server() as server:
        shop(project, server).model("classified", SELECT)
        taken = project.build()
        names = ["a_view", "view_of_a_log"]
        views = [project.build(*variables(dbt_triton_runs_name=name), "--warn-error") for name in names]
        read_only = project.build(*variables(dbt_triton_runs_database="elsewhere"))
        project.build(*variables(dbt_triton_runs_name="older"))
    assert "ml_predict_runs" in taken.printed
    for result in (taken, *views):
        assert result.printed.count("is no run log") == 1, result.printed
    assert "no run log is written" in read_only.printed
    assert project.query("select * from ml_predict_runs") == [(1,)]
    assert project.query("select * from like_it") == []
    rows = runs(project, "older")
    assert sorted(row["outcome"] for row in rows) == ["killed", "succeeded"]
    assert next(row for row in rows if row["outcome"] == "succeeded")["predicted"] is not None


def test_server_without_statistics(project: DbtProject) -> None:
    """A server that does not count costs nothing; one that does not answer costs a moment; neither is told of."""
    with upper_server() as server:
        shop(project, server).model("classified", SELECT)
        project.build()
        server.statistics = lambda _: None
        refused = project.build()
        server.statistics = lambda _: slow(20)()
        silent = project.build()
    rows = runs(project)
    assert [row["server_queue_seconds"] is None for row in rows] == [False, True, True]
    assert (rows[2]["ended_at"] - rows[2]["started_at"]).total_seconds() < 10
    for result in (refused, silent):
        assert "statistics" not in result.printed
        assert "WARN=0" in result.printed


def test_no_secret_reaches_the_log(project: DbtProject) -> None:
    """A token that a server repeats in its words is masked in the row."""
    with upper_server() as server:
        server.answer = lambda _: (401, "the token very-secret-token-0123 is no good")
        shop(project, server, auth_token="very-secret-token-0123")  # noqa: S106 - a made-up one
        project.model("classified", SELECT)
        project.fails()
    (row,) = runs(project)
    assert row["outcome"] == "failed"
    assert "very-secret" not in json.dumps(row, default=str)
    assert b"very-secret" not in project.stored()


def test_real_triton(triton: Triton, project: DbtProject) -> None:
    """Triton's own statistics say how long requests waited and were computed."""
    with triton.serving("slow") as name:
        project.model("reviews", "select i as id, 'review ' || i as review from range(8) t(i)")
        project.inference_model("classifier", triton.url, name, batch_size="1", max_concurrent_operations="4")
        project.model("classified", SELECT)
        project.build()
    (row,) = runs(project)
    assert row["requests"] == 8
    assert row["requests_in_flight"] == 4
    assert 0 < row["server_compute_seconds"] < 60
    assert row["server_queue_seconds"] > 0
    assert row["latency_p50_ms"] * 8 >= 1000 * row["server_compute_seconds"] / 8
