"""The generic tests and the metrics on Spark, whose session is far from UTC: two nights, one after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import pytest
from support.dbt import DbtResult
from support.spark import SparkProject
from support.upper_server import upper_server

#: So many of 20 reviews are `a` in each of the two nights; the others are `b`, and one is NULL.
NIGHTS = (10, 4)


def _test(name: str, test: str, arguments: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {f"dbt_triton.{test}": {"name": name, "arguments": arguments, **({"config": config} if config else {})}}


TESTS = [
    _test("drift", "max_drift", {"predicted": "said", "at_most": 0.1}),
    _test("drift_of_numbers", "max_drift", {"predicted": "length", "baseline": "ref('lengths')"}),
    _test("fresh", "prediction_freshness", {"count": 10, "period": "minute"}),
    _test("old", "prediction_freshness", {"count": 0.001, "period": "minute"}, severity="warn"),
    _test("old_column", "prediction_freshness", {"count": 1, "timestamp": "at"}, severity="warn"),
    _test("failed", "max_failed_ratio", {"at_most": 0}),
    _test("accurate", "min_accuracy", {"predicted": "said", "actual": "truth", "at_least": 0.99}, severity="warn"),
]


@pytest.fixture(scope="module")
def nights(spark: Any, module_project: Callable[[], SparkProject]) -> Generator[tuple[SparkProject, list[DbtResult]]]:
    """A project that is built twice, with another mix of reviews."""
    zone = spark.conf.get("spark.sql.session.timeZone")
    with upper_server() as server:
        spark.conf.set("spark.sql.session.timeZone", "Pacific/Auckland")
        project = module_project()
        project.model(
            "reviews",
            "{{ config(materialized='table') }} select id, case when id = 0 then null when id <= {{ var('night') }} "
            "then 'a' else 'b' end as review from range(0, 20) as t(id)",
        )
        project.model(
            "lengths", "{{ config(materialized='table') }} select id / 4.0 as length from range(0, 100) as t(id)"
        )
        project.inference_model("classifier", server.url, "upper", binary_data="false")
        project.model(
            "predicted",
            "{{ config(materialized='ml_predict') }} select id, output as said, cast(id + 0.5 as double) as length, "
            "case when id < 5 then 'A' end as truth, current_timestamp - interval '90' minute as at "
            "from ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
        )
        project.model(
            "measured",
            "{{ config(materialized='table') }} select m.* from "
            "{{ dbt_triton.evaluate(ref('predicted'), 'said', 'truth', 'classification', where='id < 5') }} as m",
        )
        project.write("models/models.yml", json.dumps({"models": [{"name": "predicted", "data_tests": TESTS}]}))
        yield project, [project.dbt("build", "--vars", json.dumps({"night": night})) for night in NIGHTS]
    spark.conf.set("spark.sql.session.timeZone", zone)


def test_drift_since_the_run_before(nights: tuple[SparkProject, list[DbtResult]]) -> None:
    """The first night has nothing to compare with; in the second, the index is that of the two mixes, with NULL."""
    _, (first, second) = nights
    assert first.status("drift") == "pass", first.printed
    before, now = ([1, night, 19 - night] for night in NIGHTS)
    assert (second.status("drift"), second.results["drift"]["failures"]) == ("fail", _psi(before, now))


def _psi(before: Sequence[float], now: Sequence[float]) -> int:
    """Return the population stability index of rows by bin in thousandths, as dbt shows it."""
    shares = [(max(b / sum(before), 0.0001), max(n / sum(now), 0.0001)) for b, n in zip(before, now, strict=True)]
    return int(1000 * sum((n - b) * math.log(n / b) for b, n in shares))


def test_the_other_tests(nights: tuple[SparkProject, list[DbtResult]]) -> None:
    """Each of them passes or warns, with the number that DuckDB has: ages in whole periods, failed and wrong rows."""
    _, (_, result) = nights
    baseline = np.arange(100) / 4
    edges = np.quantile(baseline, np.arange(1, 10) / 10)
    sides = [np.searchsorted(edges, side, side="right") for side in (baseline, np.arange(20) + 0.5)]
    expected = {
        "drift_of_numbers": ("fail", _psi(*(np.bincount(side, minlength=10).tolist() for side in sides))),
        "fresh": ("pass", 0),
        "old": ("warn", 1),
        "old_column": ("warn", 1),
        "failed": ("pass", 0),
        "accurate": ("warn", 1),
    }
    assert {name: (result.status(name), result.results[name]["failures"]) for name in expected} == expected


def test_metrics(nights: tuple[SparkProject, list[DbtResult]]) -> None:
    """The macro's metrics are a row, and Flink's map."""
    project, _ = nights
    columns = "rows, rows_evaluated, rows_without_prediction, accuracy, result['Recall']"
    assert project.query(f"select {columns} from measured") == [(5, 5, 1, 0.8, 0.8)]
