"""The stub provider and unit tests: no server runs in this file."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult
from support.session import Steps
from support.spark import SparkProject

#: The schema of the target ci on Spark; on DuckDB it has a file of its own.
CI_OF_SPARK = "shop_ci"
# Nobody listens there: a request would fail the build.
ENDPOINT = "http://127.0.0.1:9"
STUB = {"provider": "stub", "endpoint": ENDPOINT, "model-name": "m"}
NAN = STUB | {"null-as": "nan"}
REVIEWS = """
    select * from (values (1, 'good film', 2.5), (2, 'bad film', 1.0), (3, null, null), (4, 'good film', 2.5))
    as reviews(id, review, stars)
"""
TYPED = """
    {{ config(materialized='inference_model') }}
    CREATE MODEL typed
    INPUT (review STRING, stars DOUBLE)
    OUTPUT (yes BOOLEAN, small TINYINT, big BIGINT, score FLOAT, ratio DOUBLE, label STRING, raw BYTES, mood STRING)
    WITH ('provider' = 'triton', 'endpoint' = 'ENDPOINT', 'model-name' = 'typed', 'auth-token' = '${NOT_SET_HERE}',
          'stub.mood' = '["glad", "sad"]')
"""


@dataclass(frozen=True)
class Stubbed:
    """A built project, and what dbt said."""

    project: DbtProject
    result: DbtResult


def _project(project: DbtProject) -> DbtProject:
    """Make a project whose target ci has a warehouse of its own."""
    profiles = json.loads((project.root / "profiles.yml").read_text())
    outputs = profiles["shop"]["outputs"]
    own = {"path": str(project.root / "ci.duckdb")} if project.warehouse == "duckdb" else {"schema": CI_OF_SPARK}
    outputs["ci"] = outputs["dev"] | own
    project.write("profiles.yml", json.dumps(profiles))
    project.write(
        "dbt_project.yml",
        json.dumps(
            {
                "name": "shop",
                "version": "1.0.0",
                "profile": "shop",
                **({} if project.warehouse == "duckdb" else {"models": {"+file_format": "parquet"}}),
                "vars": {"dbt_triton_stub_targets": ["ci"]},
                "dispatch": [{"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}],
            }
        ),
    )
    return project


@pytest.fixture(scope="module")
def stubbed(module_project: Callable[..., DbtProject]) -> Generator[Stubbed]:
    """A project that names a server which does not exist, built with ``--target ci``."""
    project = _project(module_project())
    project.model("reviews", "{{ config(materialized='table') }}" + REVIEWS)
    project.model("typed", TYPED.replace("ENDPOINT", ENDPOINT))
    project.model("mood", "{{ dbt_triton.create_model() }}")
    call = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('typed') }}, DESCRIPTOR(review, stars))"
    project.model("predicted", f"{{{{ config(materialized='ml_predict') }}}} select * from {call};")
    project.model(
        "chained",
        """
        {{ config(materialized='ml_predict', meta={'ml_predict': {'on-error': 'null'}}) }}
        select * from ML_PREDICT(ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('typed') }},
            DESCRIPTOR(review, stars)), MODEL {{ ref('mood') }}, DESCRIPTOR(label))
        """,
    )
    project.model(
        "few",
        """
        {{ config(materialized='ml_predict', meta={'ml_predict': {'sample': 2}}) }}
        select * from {{ dbt_triton.ml_predict(ref('reviews'), ref('mood'), 'review') }}
        """,
    )
    project.write(
        "models/models.yml",
        json.dumps(
            {
                "models": [
                    {
                        "name": "mood",
                        "config": {
                            "materialized": "inference_model",
                            "meta": {
                                "inference_model": {
                                    "input": {"text": "STRING"},
                                    "output": {"mood": "STRING"},
                                    "provider": "stub",
                                    "stub": {"mood": ["glad", "it's so-so"]},
                                }
                            },
                        },
                        "columns": [{"name": "provider", "data_tests": ["not_null"]}],
                    },
                    {
                        "name": "predicted",
                        "columns": [
                            {
                                "name": "mood",
                                "data_tests": [{"accepted_values": {"arguments": {"values": ["glad", "sad"]}}}],
                            }
                        ],
                    },
                ]
            }
        ),
    )
    yield Stubbed(project, project.build("--target", "ci"))
    if project.warehouse == "spark":
        project.query(f"drop schema {CI_OF_SPARK} cascade")


def _rows(stubbed: Stubbed, sql: str) -> list[tuple[Any, ...]]:
    return _ci(stubbed.project).query(sql)


def _ci(project: DbtProject) -> DbtProject:
    """Return the project as its target ci sees the warehouse."""
    ci = copy.copy(project)
    if isinstance(ci, SparkProject):
        ci.schema = CI_OF_SPARK
    else:
        ci.database = project.root / "ci.duckdb"
    return ci


def test_ci_target_needs_no_server_no_secret_and_no_change_of_a_model(stubbed: Stubbed) -> None:
    """With dbt_triton_stub_targets: [ci], `dbt build --target ci` builds every model as a stub, and says so."""
    assert _rows(stubbed, "select provider, served_version, checked_at from typed") == [("stub", None, None)]
    assert stubbed.result.message("typed") == "CREATE MODEL typed, stub"
    assert stubbed.result.message("predicted").startswith("ML_PREDICT 4 rows, 0 requests")


def test_stub_predicts_the_same_for_the_same_inputs_in_the_declared_types(stubbed: Stubbed) -> None:
    """Equal rows get equal predictions, a NULL input predicts NULL, and every column has its declared type."""
    rows = [row[1:] for row in _rows(stubbed, "select * from predicted order by id")]
    assert rows[0] == rows[3]
    assert rows[0][2:] != rows[1][2:]
    assert rows[2] == (None,) * len(rows[2])
    kinds = _ci(stubbed.project).columns("predicted")
    added = ("yes", "small", "big", "score", "ratio", "label", "raw", "mood")
    declared = ["BOOLEAN", "TINYINT", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "BLOB", "VARCHAR"]
    if stubbed.project.warehouse == "spark":
        declared = [{"VARCHAR": "string", "BLOB": "binary"}.get(kind, kind.lower()) for kind in declared]
    assert [kinds[name] for name in added] == declared


def test_stub_is_the_same_on_every_machine(stubbed: Stubbed) -> None:
    """The stub's predictions are fixed: a test may compare with them."""
    sql = "select small, round(ratio, 3), label, mood from predicted where id = 1"
    assert _rows(stubbed, sql) == [(19, 0.416, "stub-06289045", "glad")]


def test_stub_chooses_from_the_values_that_it_is_given(stubbed: Stubbed) -> None:
    """`stub.<column>` names the values, as a JSON array in SQL and as a list in YAML, so that accepted_values holds."""
    assert {row[0] for row in _rows(stubbed, "select mood from predicted where id < 3")} <= {"glad", "sad"}
    # A sample on Spark is of any rows, and so perhaps of one without a review.
    few = {row[0] for row in _rows(stubbed, "select mood from few")}
    assert few - ({None} if stubbed.project.warehouse == "spark" else set()) <= {"glad", "it's so-so"}


def test_stub_serves_calls_on_calls_and_failed_rows(stubbed: Stubbed) -> None:
    """A call reads another's stubbed output, names that are taken get a counter, and ml_error is there and empty."""
    rows = _rows(stubbed, "select id, mood is null, mood0 is null, ml_error, ml_error0 from chained order by id")
    assert rows == [(number, number == 3, number == 3, None, None) for number in (1, 2, 3, 4)]


def test_stub_predicts_for_null_that_is_sent_as_nan(session: Steps) -> None:
    """With null-as a NULL number is no reason to predict NULL, and a NULL text is one, as with a server."""
    session.create_model("m", "INPUT (a FLOAT, b DOUBLE, c STRING) OUTPUT (y FLOAT)", NAN)
    rows = "(1, 1.5, 2.5, 'c'), (2, null, 2.5, 'c'), (3, null, null, 'c'), (4, 1.5, 2.5, null)"
    session.sql(f"create table t as from (values {rows}) as v(id, a, b, c)")
    built = session.build("p", "select id, y is null from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b, c))", ["m"])
    assert sorted(built) == [(1, False), (2, False), (3, False), (4, True)]


def test_stub_makes_long_arrays_in_no_time(session: Steps) -> None:
    """An embedding costs by its elements, a fraction of a microsecond each, and not by what tells its row."""
    session.create_model("m", "INPUT (a STRING) OUTPUT (y FLOAT[1024])", STUB)
    session.sql("create table t as select i as id, 'text ' || i as a from range(600) r(i)")
    started = time.perf_counter()
    built = session.build("p", "select y from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a))", ["m"])
    seconds = time.perf_counter() - started
    assert len({tuple(row[0]) for row in built}) == len(built) == 600
    # It takes less than one, and on Spark a few, whatever the array: jobs of a busy machine.
    assert seconds < (10 if session.warehouse == "duckdb" else 40)


def test_sample_takes_the_first_rows_only(stubbed: Stubbed) -> None:
    """With `sample` in the predicting model's meta, only so many rows of its input are predicted and built."""
    assert _rows(stubbed, "select count(*) from few") == [(2,)]


def test_variables_make_stubs_and_samples_of_any_target(stubbed: Stubbed) -> None:
    """`dbt_triton_provider: stub` and `dbt_triton_sample`, a number or one for each target, hold for one run."""
    variables = {"dbt_triton_provider": "stub", "dbt_triton_sample": {"dev": 1, "ci": 3}}
    project = stubbed.project
    project.build("--select", "reviews typed predicted", "--vars", json.dumps(variables))
    assert project.query("select provider from typed") == [("stub",)]
    assert project.query("select count(*) from predicted") == [(1,)]


def test_show_previews_what_is_built_where_the_dispatch_line_is(stubbed: Stubbed) -> None:
    """`dbt show` of a predicting model shows the built table."""
    shown = stubbed.project.dbt("show", "--target", "ci", "--select", "few", "--output", "json")
    assert shown.code == 0, shown.printed
    assert '"mood"' in shown.output
