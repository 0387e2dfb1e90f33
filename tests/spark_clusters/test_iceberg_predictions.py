"""ML_PREDICT into Iceberg tables with prediction stores on Iceberg, on the oldest Spark that is supported."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from support.dbt import RUN_LOG
from support.spark_iceberg import iceberg_session
from support.spark_steps import Told, take_steps, write_project
from support.triton import Counters, Triton, counted

UPPER = """
{{{{ config(materialized='inference_model') }}}}
CREATE MODEL upper_ INPUT (`input` STRING) OUTPUT (`output` STRING)
WITH ('provider' = 'triton', 'endpoint' = '{url}', 'model-name' = '{model}', 'batch-size' = '1',
      'max-retries' = '0', 'cache' = 'persistent', 'cache-version' = '{{{{ var("weights", "one") }}}}',
      'retry-errors' = '{{{{ var("retry", "false") }}}}', 'on-error' = '{{{{ var("on_error", "fail") }}}}')
"""
REVIEWS = """
{{ config(materialized='table', file_format='iceberg') }}
select * from values {{ var("reviews", "(1, 'fine'), (2, 'dull'), (3, null), (4, 'fine')") }} as t(id, review)
"""
MOODS = """
{{ config(materialized='ml_predict', file_format='iceberg') }}
select id, output as mood{{ var("also", "") }}
from ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('upper_') }}, DESCRIPTOR(review))
"""
MERGED = """
{{ config(materialized='ml_predict', file_format='iceberg', unique_key='id') }}
select id, output as mood
from ML_PREDICT(
  (select id, review from {{ ref('reviews') }} {% if dbt_triton.is_incremental() %} where id > 2 {% endif %}),
  MODEL {{ ref('upper_') }}, DESCRIPTOR(review)
)
"""
# Beside Iceberg tables of the session's catalog; in one of Iceberg's own it is one of them, whatever is said.
PLAIN = MOODS.replace("iceberg", "parquet")
STORED = "select ml_kind, count(*) from shop.{}__ml_predictions group by 1 order by 1"
READ = "select count(*), min(mood), max(mood) from shop.moods"


def _vars(**variables: str) -> tuple[str, str]:
    return "--vars", json.dumps(variables)


#: The steps after this one are for the slow tests.
_LAST_STEP = "merged"
#: Whatever is tested of the session's catalog; the first does no more than `make test` has time for.
_SLOW = [pytest.param(catalog, marks=pytest.mark.spark_slow) for catalog in ("hive", "own")]
IN_SHORT = pytest.mark.parametrize("told", ["short", *_SLOW], indirect=True, scope="module")
AT_LENGTH = pytest.mark.parametrize("told", _SLOW, indirect=True, scope="module")


def _steps(metrics: str) -> dict[str, tuple[str, ...]]:
    five = "(1, 'fine'), (2, 'dull'), (3, 'new'), (4, 'fine'), (5, 'newer')"
    more = "(1, 'fine'), (2, 'dull'), (3, 'new'), (5, 'newer')"
    broken = "(1, 'fine'), (2, 'REFUSE it'), (3, 'other')"
    moods = ("dbt", "build", "-s", "reviews", "upper_", "moods")
    count = ("get", metrics)
    return {
        "before": count,
        "first": ("dbt", "build"),
        "first rows": ("sql", "select id, mood from shop.moods order by id"),
        "plain rows": ("sql", "select id, mood from shop.plain order by id"),
        "formats": ("sql", "describe extended shop.moods"),
        "store format": ("sql", "describe extended shop.moods__ml_predictions"),
        "plain store format": ("sql", "describe extended shop.plain__ml_predictions"),
        "after first": count,
        "again": ("dbt", "build"),
        "after again": count,
        "failing": (*moods, *_vars(also=", if(id = 3, raise_error('as asked for'), 0) as checked")),
        "after failing": ("sql", READ),
        "commits before": ("sql", "select count(*) from shop.moods.snapshots"),
        "replaced": ("reading", READ, *moods, *_vars(reviews=five)),
        "commits": ("sql", "select count(*) from shop.moods.snapshots"),
        "more": ("dbt", "build", *_vars(reviews=more)),
        "after more": count,
        "merged": ("sql", "select id, mood from shop.merged order by id"),
        "broken": (*moods, "plain", *_vars(reviews=broken)),
        "stored": ("sql", STORED.format("moods")),
        "plain stored": ("sql", STORED.format("plain")),
        "after broken": count,
        "broken again": (*moods, "plain", *_vars(reviews=broken)),
        "after broken again": count,
        "retried": (*moods, "plain", *_vars(reviews=broken, retry="true")),
        "after retried": count,
        "as null": (*moods, "plain", *_vars(reviews=broken, on_error="null")),
        "nulls": ("sql", "select id, mood from shop.moods order by id"),
        "other weights": (*moods, "plain", *_vars(weights="two")),
        "fingerprints": ("sql", "select count(distinct ml_fingerprint), count(*) from shop.moods__ml_predictions"),
        "plain fingerprints": ("sql", "select count(distinct ml_fingerprint) from shop.plain__ml_predictions"),
        "tables": ("sql", "show tables in shop"),
        "cleared": ("dbt", "run-operation", "clear_predictions"),
        "tables after": ("sql", "show tables in shop"),
    }


@pytest.fixture(scope="module")
def told(
    request: pytest.FixtureRequest, triton: Triton, tmp_path_factory: pytest.TempPathFactory
) -> Generator[dict[str, Any]]:
    """What became of each step; one process takes them all."""
    is_short = request.param == "short"
    catalog = "hive" if is_short else request.param
    with triton.serving("upper") as upper, iceberg_session(catalog) as session:
        models = {
            "upper_": UPPER.format(url=triton.url, model=upper),
            "reviews": REVIEWS,
            "moods": MOODS,
            "merged": MERGED,
            "plain": PLAIN,
        }
        project = write_project(tmp_path_factory.mktemp("iceberg") / "shop", models)
        steps = _steps(triton.metrics_url)
        if is_short:
            names = list(steps)
            steps = {name: steps[name] for name in names[: names.index(_LAST_STEP) + 1]}
        found = dict(zip(steps, take_steps(session, project, *steps.values()), strict=True))
        files = [str(path) for path in session.folder.rglob("*.parquet")]
        yield {"model": upper, "catalog": catalog, "files": files, **found}


def sent(told: dict[str, Any], before: str, after: str) -> Counters:
    """Return what the server counted between two steps."""
    return counted(told[after].text, told["model"]) - counted(told[before].text, told["model"])


def provider(told: Told) -> str:
    """Return the format of a table that was described."""
    return next(str(row[1]) for row in told.rows if row[0] == "Provider")


@IN_SHORT
def test_two_statements(told: dict[str, Any]) -> None:
    """Spark 3.5 builds both statements; table and store are of the format that is asked for, or of the catalog's."""
    right = [[1, "FINE"], [2, "DULL"], [3, None], [4, "FINE"]]
    assert told["first"].error == ""
    assert told["first rows"].rows == told["plain rows"].rows == right
    assert provider(told["formats"]) == provider(told["store format"]) == "iceberg"
    assert provider(told["plain store format"]) == ("iceberg" if told["catalog"] == "own" else "parquet")
    # Two inputs of each of three models.
    assert sent(told, "before", "after first").rows == 6


@IN_SHORT
def test_second_build_sends_nothing(told: dict[str, Any]) -> None:
    """With a persistent cache a second build sends nothing."""
    assert told["again"].error == ""
    assert sent(told, "after first", "after again").rows == 0


@IN_SHORT
def test_failing_query_loses_nothing(told: dict[str, Any]) -> None:
    """Where the query of a table fails, the table has the rows of before."""
    assert "as asked for" in told["failing"].error
    assert told["after failing"].error == ""
    assert told["after failing"].rows == [[4, "DULL", "FINE"]]


@IN_SHORT
def test_readers_always_see_a_table(told: dict[str, Any]) -> None:
    """A table is replaced by one commit: who reads all the time never sees none, or half of one."""
    assert told["replaced"].error == ""
    assert told["replaced"].seen == [[[4, "DULL", "FINE"]], [[5, "DULL", "NEWER"]]]
    assert told["commits"].rows[0][0] == told["commits before"].rows[0][0] + 1


@IN_SHORT
def test_merge(told: dict[str, Any]) -> None:
    """A model with a unique_key changes the rows that it has, and adds new ones."""
    assert told["more"].error == ""
    assert told["merged"].rows == [[1, "FINE"], [2, "DULL"], [3, "NEW"], [4, "FINE"], [5, "NEWER"]]


@AT_LENGTH
def test_failed_run_is_resumed(told: dict[str, Any]) -> None:
    """What was answered is kept, and what was refused is not sent again, unless retry-errors says so."""
    for name in ("broken", "broken again", "retried"):
        assert "the model refuses REFUSE it" in told[name].error
    # Each of the two models sends what is new, one answered and one refused; the server counts both.
    assert sent(told, "after more", "after broken").rows == 4
    kinds = {kind: count for kind, count in told["stored"].rows if kind != "figures"}
    assert kinds == {"ok": 5, "permanent": 1}
    assert dict(told["plain stored"].rows) == kinds
    assert sent(told, "after broken", "after broken again").rows == 0
    assert sent(told, "after broken again", "after retried").rows == 2


@AT_LENGTH
def test_failures_as_null(told: dict[str, Any]) -> None:
    """With on-error a refused row has NULL, and the others have their predictions."""
    assert told["as null"].error == ""
    assert told["nulls"].rows == [[1, "FINE"], [2, None], [3, "OTHER"]]


@AT_LENGTH
def test_other_fingerprints_are_forgotten(told: dict[str, Any]) -> None:
    """A successful build forgets the predictions of other weights, in a store of Iceberg as in one of files."""
    assert told["other weights"].error == ""
    assert told["fingerprints"].rows == [[1, 2]]
    assert told["plain fingerprints"].rows == [[1]]


@AT_LENGTH
def test_nothing_is_left(told: dict[str, Any]) -> None:
    """Beside the tables there are their stores alone, until they are cleared; a dropped one leaves no file."""
    names = {"reviews", "upper_", "moods", "merged", "plain"}
    stores = {f"{name}__ml_predictions" for name in ("moods", "merged", "plain")}
    assert {row[1] for row in told["tables"].rows} - RUN_LOG == names | stores
    assert told["cleared"].error == ""
    assert {row[1] for row in told["tables after"].rows} - RUN_LOG == names
    assert not [path for path in told["files"] if "__ml_predictions" in path or "__dbt_" in path]
