"""Door 3: dbt's own materializations around ml_predict in a Python model, against the real server: three builds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.triton import Counters, Triton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only(
        "it is about relations and cursors of DuckDB; tests/spark/test_project.py has Python models on Spark"
    ),
]

REVIEWS = """
    {{ config(materialized='table') }}
    select id, review, output, day, cast(id as hugeint) as big from (values
        (1, 'fine', 'own', timestamp '2026-01-01'), (2, 'dull', 'own', timestamp '2026-01-01'),
        (3, null, 'own', timestamp '2026-01-01'), (4, 'fine', 'own', timestamp '2026-01-02'),
        (5, 'new', 'own', timestamp '2026-01-02')) as reviews(id, review, output, day)
    where day < date '2026-01-01' + {{ var('day', 1) }}
"""
TABLE = """
    from dbt_triton import ml_predict

    def model(dbt, session):
        dbt.config(materialized="table", pre_hook="create or replace table hooked as select 1 as one")
        return ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "review", config={"batch-size": 2})
"""
INCREMENTAL = """
    import dbt_triton

    KEPT = {"cache": "persistent"}

    def model(dbt, session):
        dbt.config(materialized="incremental", unique_key="id", incremental_strategy="delete+insert")
        reviews = dbt.ref("reviews")
        if dbt.is_incremental:
            newest = session.query(f"select max(day) from {dbt.this}").fetchall()[0][0]
            reviews = reviews.filter(f"day > timestamp '{newest}'")
        predicted = dbt_triton.ml_predict(dbt, session, reviews, dbt.ref("counted"), ["review"])
        return dbt_triton.ml_predict(dbt, session, predicted, dbt.ref("counted"), "output0", config=KEPT)
"""
FRAME = """
    import dbt_triton

    def model(dbt, session):
        table = dbt.ref("reviews").to_arrow_table().slice(0, 2) if hasattr(dbt.ref("reviews"), "to_arrow_table") \\
            else dbt.ref("reviews").arrow().slice(0, 2)
        empty = dbt_triton.ml_predict(dbt, session, "select 'x' as review where false", dbt.ref("upper"), "review")
        assert empty.columns == ["review", "output"] and len(empty) == 0
        return dbt_triton.ml_predict(dbt, session, table, dbt.ref("upper"), "review")
"""
BATCHED = """
    import dbt_triton

    def model(dbt, session):
        dbt.config(materialized="incremental", incremental_strategy="microbatch", event_time="day", batch_size="day",
                   begin="2026-01-01")
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "review")
"""
BEGUN = """
    import dbt_triton

    def model(dbt, session):
        dbt.config(materialized="table", pre_hook="create or replace table hooked_too as select 1 as one")
        session.execute("create temp table own as select 'x' as review, 2.5::double as amount, 1 as day")
        session.execute("insert into own values ('x', 2, 2), ('y', 3, 1), ('y', 4, 2)")
        return dbt_triton.ml_predict(
            dbt, session, "from own", dbt.ref("totals"), "amount", config={"on-error": "null"}
        )
"""
BY_HAND = """
    import dbt_triton

    def model(dbt, session):
        session.execute("begin")
        session.execute("create temp table own_rows as select 1 as id, 'x' as review")
        predicted = dbt_triton.ml_predict(dbt, session, "from own_rows", dbt.ref("upper"), "review")
        session.execute("commit")
        return predicted
"""
WRONG = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "revue")
"""


LITERAL = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("secret"), "review")
"""
LITERAL_IN_CONFIG = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(
            dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "revue", config={"auth-token": "s3cret-too"})
"""


@dataclass
class Built:
    """The builds of this file, and what the server counted for the second."""

    project: DbtProject
    second: DbtResult
    wrong: DbtResult
    counted: Counters
    rows: list[dict[str, list[tuple[object, ...]]]]


@pytest.fixture(scope="module")
def built(triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build on two days, and then with a model that is wrong."""
    upper, alone = serve("upper"), serve("upper")
    project = DbtProject(tmp_path_factory.mktemp("python") / "project")
    project.model("reviews", REVIEWS)
    project.inference_model("upper", triton.url, upper)
    project.inference_model("counted", triton.url, alone)
    project.inference_model("secret", triton.url, upper, auth_token="s3cret-token")  # noqa: S106 - of nothing
    project.model(
        "totals",
        "{{ config(materialized='inference_model') }} CREATE MODEL totals INPUT (amount BIGINT) OUTPUT (total BIGINT) "
        f"WITH ('provider' = 'triton', 'endpoint' = '{triton.url}', 'model-name' = '{serve('running_total')}', "
        "'sequence-by' = 'review', 'order-by' = 'day')",
    )
    for name, text in {
        "as_table": TABLE,
        "increment": INCREMENTAL,
        "frame": FRAME,
        "batched": BATCHED,
        "begun": BEGUN,
        "by_hand": BY_HAND,
    }.items():
        project.write(f"models/{name}.py", text)
    project.write("models/models.yml", json.dumps({"models": [{"name": "reviews", "config": {"event_time": "day"}}]}))
    rows = []
    before = Counters()
    for day in (1, 2):
        before = triton.counters(alone)
        second = project.build(
            "--vars", json.dumps({"day": day}), "--event-time-start", "2026-01-01", "--event-time-end", "2026-01-03"
        )
        rows.append(
            {
                name: project.query(f"select * from {name} order by id")
                for name in ("as_table", "increment", "frame", "batched")
            }
        )
    counted = triton.counters(alone) - before
    project.write("models/wrong.py", WRONG)
    project.write("models/with_secret.py", LITERAL)
    project.write("models/with_literal.py", LITERAL_IN_CONFIG)
    wrong = project.fails("--select", "wrong with_secret with_literal")
    return Built(project, second, wrong, counted, rows)


def test_table_has_the_input_columns_and_then_the_outputs(built: Built) -> None:
    """The table gets every input column as it was, rows in order, and the OUTPUT column under a name that is free."""
    assert [row[1:3] + row[5:] for row in built.rows[1]["as_table"]] == [
        ("fine", "own", "FINE"),
        ("dull", "own", "DULL"),
        (None, "own", None),
        ("fine", "own", "FINE"),
        ("new", "own", "NEW"),
    ]
    names = [row[:2] for row in built.project.query("select column_name, column_type from (describe as_table)")]
    assert names[2:] == [("output", "VARCHAR"), ("day", "TIMESTAMP"), ("big", "HUGEINT"), ("output0", "VARCHAR")]


def test_incremental_sends_the_new_rows_only(built: Built) -> None:
    """With dbt's own incremental, and a call on a call, what the model filters out is not sent again."""
    assert [row[0] for row in built.rows[1]["increment"]] == [1, 2, 3, 4, 5]
    assert [row[6] for row in built.rows[1]["increment"]] == ["FINE", "DULL", None, "FINE", "NEW"]
    # The second day has two new rows, one of whose predictions the second call has already met.
    assert built.counted.rows == 2 + 1


def test_stores_are_dropped_unless_they_are_persistent(built: Built) -> None:
    """After the run only the store of the call with `cache` = `persistent` is left."""
    assert {name for name in built.project.relations() if "ml_predictions" in name} == {"increment__ml_predictions_2"}


def test_what_duckdb_reads_can_be_the_input(built: Built) -> None:
    """An Arrow table, and a SELECT as a text, are inputs too."""
    assert [row[-1] for row in built.rows[1]["frame"]] == ["FINE", "DULL"]


def test_microbatch_works_behind_door_3(built: Built) -> None:
    """`microbatch`, which SQL models cannot have, predicts batch by batch in a Python model."""
    assert [row[-1] for row in built.rows[1]["batched"]] == ["FINE", "DULL", None, "FINE", "NEW"]


def test_what_a_hook_and_the_model_did_is_kept(built: Built) -> None:
    """The transaction that dbt began is committed for the call, with what was done in it."""
    assert built.project.query("select * from hooked cross join hooked_too") == [(1, 1)]


def test_transaction_that_the_model_began_is_no_trouble(built: Built) -> None:
    """A model may begin a transaction of its own, and end it after the call."""
    assert built.project.query("select * from by_hand") == [(1, "x", "X")]


def test_value_that_does_not_fit_fails_its_row_in_a_sequence(built: Built) -> None:
    """2.5 for BIGINT is told in its row, and those of its key, as in SQL; other sequences are right."""
    rows = built.project.query("select review, total, ml_error from begun order by review, day")
    assert [row[:2] for row in rows] == [("x", None), ("x", None), ("y", 3), ("y", 7)]
    assert "not sent: amount: its value is no BIGINT" in str(rows[0][2])


def test_mistake_is_said_as_in_sql(built: Built) -> None:
    """A column that is not there is named, with those that are."""
    assert "the input has no column revue; it has id, review, output, day, big" in built.wrong.message("wrong")


def test_literal_token_is_refused_and_the_way_that_works_is_named(built: Built) -> None:
    """A literal auth-token is nowhere that a Python model could read it; the message says so, without the token."""
    assert "write ${NAME}, which is read from the environment" in built.wrong.message("with_secret")
    assert "s3cret-token" not in built.wrong.printed


def test_literal_in_config_is_refused_and_not_printed(built: Built) -> None:
    """Of the lines that dbt prints of a model that fails, the one that holds a token is none, nor is it in the log."""
    assert "auth-token: write ${NAME}, which is read from the environment" in built.wrong.message("with_literal")
    log = (built.project.root / "logs" / "dbt.log").read_text()
    assert "with_literal" in log
    assert "s3cret-too" not in built.wrong.printed + log


def test_import_is_light_and_cannot_raise() -> None:
    """`import dbt_triton`, which dbt does at each start, imports nothing heavy; the function comes when it is used."""
    code = (
        "import sys, dbt_triton\n"
        "heavy = {'duckdb', 'pyarrow', 'httpx', 'sqlglot', 'pydantic', 'numpy', 'orjson'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert callable(dbt_triton.ml_predict)\n"
        "assert not hasattr(dbt_triton, 'nothing_of_ours')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
