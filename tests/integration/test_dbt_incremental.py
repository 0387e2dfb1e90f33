"""Incremental predicting models, and the dry run, against the real server: three builds, and a few refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.triton import Counters, Triton

pytestmark = pytest.mark.slow

# Row 2 changes on day 2, and rows 4 and 5 are new.
REVIEWS = """
    {{ config(materialized='table') }}
    select id, review, day from (values (1, 'fine', 1), (2, 'dull', 1), (3, null, 1),
        (2, 'grand', 2), (4, 'fine', 2), (5, 'new', 2)) as reviews(id, review, day)
    where day <= {{ var('day', 1) }}
"""
PREDICT = """
    {{ config(materialized='ml_predict', SETTINGS) }}
    select id, output, day COLUMNS from ML_PREDICT(TABLE (
        select * from {{ ref('reviews') }}
        {% if dbt_triton.is_incremental() %} where day > (select max(day) from {{ this }}) {% endif %}
    ), MODEL {{ ref('upper') }}, DESCRIPTOR(review))
"""
DAY_1 = [(1, "FINE", 1), (2, "DULL", 1), (3, None, 1)]
DAY_2 = [(2, "GRAND", 2), (4, "FINE", 2), (5, "NEW", 2)]


@dataclass
class Incremental:
    """The builds of this file, and what the server counted for each."""

    project: DbtProject
    dry: DbtResult
    days: dict[str, DbtResult]
    counted: dict[str, Counters]
    rows: dict[str, dict[str, list[tuple[object, ...]]]]


MODELS = {
    "appended": "incremental_strategy='append'",
    "keyed": "unique_key='id'",
    "replaced": "incremental_strategy='delete+insert', unique_key=['id']",
    "merged": "incremental_strategy='merge', unique_key='id', incremental_predicates=['DBT_INTERNAL_DEST.day < 9'], "
    "indexes=[{'columns': ['id']}]",
    "widened": "incremental_strategy='append', on_schema_change='append_new_columns', contract={'enforced': false}",
    "spared": "incremental_strategy='append', full_refresh=false",
    "rebuilt": "tags=['nothing incremental']",
}
#: They change rows, which no parquet table of Spark's can.
NOT_ON_SPARK = ["keyed", "replaced", "merged"]


@pytest.fixture(scope="module")
def incremental(triton: Triton, serve: Callable[[str], str], module_project: Callable[..., DbtProject]) -> Incremental:
    """Build on day 1, on day 2, and anew; with a dry run before day 2."""
    upper = serve("upper")
    project = module_project()
    models = {name: one for name, one in MODELS.items() if project.warehouse == "duckdb" or name not in NOT_ON_SPARK}
    project.model("reviews", REVIEWS)
    project.inference_model("upper", triton.url, upper)
    for name, settings in models.items():
        columns = "{% if var('day', 1) == 2 %}, length(review) as characters {% endif %}" if name == "widened" else ""
        project.model(name, PREDICT.replace("SETTINGS", settings).replace("COLUMNS", columns))
    counted, days, rows, dry = {}, {}, {}, None
    for day, arguments in {"1": [], "2": [], "anew": ["--full-refresh"]}.items():
        if day == "2":
            variables = json.dumps({"day": 2, "dbt_triton_dry_run": True})
            dry = project.build("--select", "reviews appended rebuilt", "--vars", variables)
        before = triton.counters(upper)
        days[day] = project.build("--vars", json.dumps({"day": 1 if day == "1" else 2}), *arguments)
        counted[day] = triton.counters(upper) - before
        rows[day] = {name: project.query(f"select * from {name} order by day, id") for name in models}
    assert dry is not None
    return Incremental(project, dry, days, counted, rows)


def test_first_build_makes_the_table(incremental: Incremental) -> None:
    """On the first build dbt_triton.is_incremental() is false, and all rows are there."""
    assert all(rows == DAY_1 for rows in incremental.rows["1"].values())


def test_append_adds_the_new_rows_and_predicts_no_others(incremental: Incremental) -> None:
    """`append` keeps what is there; only the rows that is_incremental() lets through are sent."""
    assert incremental.rows["2"]["appended"] == DAY_1 + DAY_2
    assert incremental.days["2"].message("appended").startswith("ML_PREDICT 3 rows, ")
    assert incremental.days["2"].results["appended"]["adapter_response"]["rows_affected"] == 3
    # Each incremental model sends three rows; the rebuilt table has four distinct inputs.
    assert incremental.counted["2"].rows == (len(incremental.rows["2"]) - 1) * 3 + 4
    if incremental.project.warehouse == "duckdb":
        assert len(incremental.rows["2"]) == len(MODELS)
        assert incremental.days["2"].message("appended").startswith("ML_PREDICT 3 rows, 1 request,")


@pytest.mark.duckdb_only(
    "no parquet table of Spark's can change rows; tests/spark/test_incremental.py has what it refuses"
)
@pytest.mark.parametrize("name", NOT_ON_SPARK)
def test_unique_key_replaces_the_rows_that_changed(incremental: Incremental, name: str) -> None:
    """With a unique_key, by delete+insert or merge, a changed row takes the place of the old one."""
    assert incremental.rows["2"][name] == [DAY_1[0], DAY_1[2], *DAY_2]


def test_on_schema_change_adds_the_new_column(incremental: Incremental) -> None:
    """`on_schema_change: append_new_columns` widens the table; old rows have NULL there."""
    assert incremental.rows["2"]["widened"] == [(*row, None) for row in DAY_1] + [
        (*row, len(str(row[1]))) for row in DAY_2
    ]


def test_full_refresh_makes_the_table_anew(incremental: Incremental) -> None:
    """`--full-refresh` predicts every row again and replaces the table."""
    assert incremental.rows["anew"]["appended"] == DAY_1 + DAY_2
    if incremental.project.warehouse == "duckdb":
        assert incremental.rows["anew"]["merged"] == DAY_1 + DAY_2
    assert incremental.rows["2"]["rebuilt"] == incremental.rows["anew"]["rebuilt"] == DAY_1 + DAY_2


def test_full_refresh_spares_who_says_so(incremental: Incremental) -> None:
    """With `full_refresh=false` of its own, `--full-refresh` sends nothing for a model that has all rows."""
    assert incremental.rows["anew"]["spared"] == DAY_1 + DAY_2
    assert incremental.days["anew"].message("spared").startswith("ML_PREDICT 0 rows, 0 requests")


def test_nothing_is_left_beside_the_tables(incremental: Incremental) -> None:
    """After finished runs there are no stores, and no temporary tables in the file."""
    assert incremental.project.relations() == {"reviews", "upper", *incremental.rows["2"]}


def test_dry_run_says_what_a_build_would_send_and_sends_nothing(incremental: Incremental) -> None:
    """With `dbt_triton_dry_run: true` the console and run_results have rows, distinct inputs, requests and bytes."""
    figures = incremental.dry.figures("rebuilt")
    assert incremental.dry.message("rebuilt").startswith(
        "ML_PREDICT dry run: 6 rows, 1 of them NULL, 4 distinct inputs, 0 in the store, 4 to send in "
        f"{figures['requests']} request"
    )
    built = incremental.days["2"].figures("rebuilt")
    assert (figures["to_send"], figures["requests"], figures["bytes"]) == (
        built["rows_predicted"],
        built["requests"],
        built["bytes_sent"],
    )
    assert incremental.dry.figures("appended")["rows"] == 3  # what is_incremental() lets through
    made = [incremental.days["2"].figures(name)["requests"] for name in incremental.rows["2"]]
    assert incremental.counted["2"].requests == sum(made)


def test_microbatch_is_refused_and_told_where_it_works(incremental: Incremental) -> None:
    """`microbatch`, which dbt offers to materialized='incremental' alone, is refused, with the way that works."""
    incremental.project.model(
        "batched",
        PREDICT.replace("SETTINGS", "incremental_strategy='microbatch', event_time='day'").replace("COLUMNS", ""),
    )
    result = incremental.project.fails("--select", "batched")
    said = result.message("batched")
    assert "incremental_strategy='microbatch' cannot work with materialized='ml_predict'" in said
    # dbt-spark has no microbatch of its own that would call a Python model.
    by_python = "Write a dbt Python model with materialized='incremental'"
    assert {"duckdb": by_python, "spark": "Use append, insert_overwrite or merge"}[
        incremental.project.warehouse
    ] in said
