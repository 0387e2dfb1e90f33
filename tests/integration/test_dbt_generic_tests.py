"""The generic tests as dbt runs them, on tables that no server has predicted: where they stand, and what dbt shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult

pytestmark = pytest.mark.duckdb_only("tests/spark/test_still_good.py has all of them on Spark, in two builds")

#: id, prediction, label, ml_error, price: of 20 rows 2 have failed, and 3 have no label.
ROWS = [
    (
        number,
        None if number % 10 == 0 else "bad" if number % 3 == 0 else "good",
        None if number % 7 == 0 and number != 0 else "bad" if number % 4 == 0 else "good",
        "timed out" if number % 10 == 0 else None,
        number / 4,
    )
    for number in range(1, 21)
]
MOOD = {"input": "ref('mood')", "format": "sql", "rows": "select 'good' as said"}
REVIEWS = {
    "input": "ref('reviews')",
    "format": "sql",
    "rows": "select 'a' as review, 'good' as label union all select 'b', 'bad' union all select null, 'good'",
}
CALL = "TABLE {{ ref('reviews') }}, MODEL {{ ref('mood') }}, DESCRIPTOR(label), DESCRIPTOR(review)"


def _test(name: str, test: str, arguments: dict[str, Any], **config: Any) -> dict[str, Any]:
    """Return a test as the YAML of a model has it."""
    return {f"dbt_triton.{test}": {"name": name, "arguments": arguments, **({"config": config} if config else {})}}


AT_MODEL = [
    _test("ratio_of_all", "max_failed_ratio", {"at_most": 0.1}),
    _test("ratio_is_less", "max_failed_ratio", {"at_most": 0.05}, severity="warn"),
    _test("ratio_where", "max_failed_ratio", {"at_most": 0}, where="id % 10 <> 0"),
    _test("drift_of_numbers", "max_drift", {"predicted": "price", "baseline": "ref('before')"}, error_if="> 100000"),
    _test("drift_where", "max_drift", {"predicted": "price", "baseline": "ref('predictions')"}, where="id <= 20"),
    _test("old", "prediction_freshness", {"count": 1, "timestamp": "at"}),
    _test("old_enough", "prediction_freshness", {"count": 1, "timestamp": "at"}, error_if=">= 2", warn_if=">= 1"),
    _test("fresh", "prediction_freshness", {"count": 100, "period": "minute", "timestamp": "at"}),
    _test("never", "prediction_freshness", {"count": 1}),
    _test("wrong_ratio", "min_accuracy", {"actual": "label", "predicted": "from", "at_least": 80}),
    _test("no_column", "min_accuracy", {"actual": "label", "at_least": 0.8}),
]
AT_COLUMN = [
    _test("ratio_of_sent", "max_failed_ratio", {"at_most": 0.05}),
    _test("accurate", "min_accuracy", {"actual": "label", "at_least": 0.4}),
    _test("inaccurate", "min_accuracy", {"actual": "label", "at_least": 0.9}, store_failures=True),
    _test("too_few_labels", "min_accuracy", {"actual": "label", "at_least": 0, "at_least_rows": 1000}),
    _test("drift_of_classes", "max_drift", {"at_most": 0.1, "baseline": "ref('before')", "baseline_column": "mood"}),
    _test("no_earlier_run", "max_drift", {}),
]
OF_NOTHING = [
    _test("ratio_of_none", "max_failed_ratio", {"at_most": 0}),
    _test("accuracy_of_none", "min_accuracy", {"actual": "label", "predicted": "from", "at_least": 1}),
    _test("drift_of_none", "max_drift", {"predicted": "price", "baseline": "ref('before')"}),
    _test("never_at_all", "prediction_freshness", {"count": 1, "timestamp": "at"}),
]


def _thousandths(before: Sequence[float], now: Sequence[float]) -> int:
    """Return the population stability index of rows by bin, as dbt shows it."""
    shares = [(max(b / sum(before), 0.0001), max(n / sum(now), 0.0001)) for b, n in zip(before, now, strict=True)]
    return int(1000 * sum((n - b) * math.log(n / b) for b, n in shares))


#: By test: what dbt says, and the number that it shows.
EXPECTED: dict[str, tuple[str, int | None]] = {
    "ratio_of_all": ("pass", 0),
    "ratio_is_less": ("warn", 2),
    "ratio_where": ("pass", 0),
    "ratio_of_sent": ("fail", 2),
    "accurate": ("pass", 0),
    "inaccurate": ("fail", 10),
    "too_few_labels": ("fail", 10),
    "drift_of_classes": ("fail", _thousandths([10, 10, 0], [6, 12, 2])),
    # All of them are below the first quantile of the baseline.
    "drift_of_numbers": ("warn", _thousandths([2] * 10, [20] + [0] * 9)),
    "drift_where": ("pass", 0),
    "no_earlier_run": ("pass", 0),
    "old": ("fail", 1),
    "old_enough": ("warn", 1),
    "fresh": ("pass", 0),
    "never": ("fail", 999_999),
    "ratio_of_none": ("pass", 0),
    "accuracy_of_none": ("pass", 0),
    "drift_of_none": ("pass", 0),
    "never_at_all": ("fail", 999_999),
}


@pytest.fixture(scope="module")
def project(module_project: Callable[..., DbtProject]) -> DbtProject:
    """A project of tables, whose column of predictions has a name that SQL reserves, and of a model to evaluate."""
    project = module_project()
    order = {"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}
    project.write(
        "dbt_project.yml", json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": [order]})
    )
    values = ", ".join("(" + ", ".join("null" if value is None else repr(value) for value in row) + ")" for row in ROWS)
    project.model(
        "predictions",
        f"""{{{{ config(materialized='table') }}}} select id, prediction as {project.quote("from")}, label, ml_error,
        cast(price as double) as price, current_timestamp - interval '90' minute as at
        from (values {values}) as t(id, prediction, label, ml_error, price)""",
    )
    project.model(
        "before",
        "{{ config(materialized='table') }} select case when id % 2 = 0 then 'bad' else 'good' end as mood, "
        "price + 10 as price from {{ ref('predictions') }}",
    )
    project.model("nothing", "{{ config(materialized='table') }} select * from {{ ref('predictions') }} where 1 = 0")
    project.model("reviews", "select 'never built' as review, 'good' as label")
    project.model(
        "mood",
        "{{ config(materialized='inference_model') }}\nCREATE MODEL mood INPUT (review STRING) OUTPUT (said STRING) "
        "WITH ('provider' = 'stub')",
    )
    said = "'classification', MAP['predicted', 'said']"
    head = "{{ config(materialized='ml_predict') }} select accuracy, rows_evaluated from "
    project.model("verbatim", f"{head} ML_EVALUATE({CALL}, {said})")
    project.model("untold", f"{head} ML_EVALUATE({CALL})")
    project.model(
        "by_macro",
        head + "{{ dbt_triton.ml_evaluate(ref('reviews'), ref('mood'), 'label', 'review', 'classification', "
        "{'predicted': 'said'}) }}",
    )
    column = {"name": "from", "quote": True, "data_tests": AT_COLUMN}
    models = [
        {"name": "predictions", "data_tests": AT_MODEL, "columns": [column]},
        {"name": "nothing", "data_tests": OF_NOTHING},
    ]
    unit_tests = [
        {
            "name": f"{model}_is_measured",
            "model": model,
            "given": [REVIEWS, MOOD],
            "expect": {"rows": [{"accuracy": 1 / 3, "rows_evaluated": 3}]},
        }
        for model in ("verbatim", "by_macro", "untold")
    ]
    project.write("models/models.yml", json.dumps({"models": models, "unit_tests": unit_tests}))
    return project


@pytest.fixture(scope="module")
def tested(project: DbtProject) -> DbtResult:
    """Every test, on tables that are built before."""
    built = project.dbt("run", "-s", "predictions", "before", "nothing")
    assert built.code == 0, built.printed
    result = project.dbt("test")
    assert "[WARNING]" not in result.printed
    return result


@pytest.mark.parametrize("test", EXPECTED)
def test_what_dbt_shows(tested: DbtResult, test: str) -> None:
    """A test passes with 0, and its number is what `warn_if` and `error_if` are compared with; `where` chooses rows."""
    found = tested.results[test]
    assert (found["status"], found["failures"]) == EXPECTED[test], found


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("wrong_ratio", "min_accuracy: at_least is a ratio from 0 to 1, not 80"),
        ("no_column", "min_accuracy needs the column of predictions: write `predicted`"),
        ("untold", "write the task and the OUTPUT column into the call"),
    ],
)
def test_wrong_arguments(tested: DbtResult, test: str, words: str) -> None:
    """An argument that cannot be is one sentence."""
    assert tested.status(test) == "error"
    assert words in tested.message(test)


def test_unit_tests_of_ml_evaluate(tested: DbtResult) -> None:
    """In dbt's unit tests the fixture of the inference model is what is measured, in SQL and by the macro."""
    assert tested.status("verbatim") == "pass", tested.printed
    assert tested.status("by_macro") == "pass"


def test_what_is_stored(project: DbtProject, tested: DbtResult) -> None:
    """With store_failures the table of a test has its figures."""
    assert tested.status("inaccurate") == "fail"
    stored = project.query("select labelled_rows, right_rows, at_least from main_dbt_test__audit.inaccurate")
    assert stored == [(18, 8, 0.9)]


def test_before_anything_is_built(new_project: Callable[..., DbtProject], project: DbtProject) -> None:
    """`dbt compile` renders every test that has no wrong argument, though no table is there."""
    fresh = new_project()
    for file in (project.root / "models").iterdir():
        if file.stem not in {"by_macro", "untold", "verbatim", "mood", "reviews"}:
            fresh.write(f"models/{file.name}", file.read_text())
    models = json.loads((fresh.root / "models" / "models.yml").read_text())["models"]
    models[0]["data_tests"] = AT_MODEL[:-2]
    fresh.write("models/models.yml", json.dumps({"models": models}))
    result = fresh.dbt("compile")
    assert result.code == 0, result.printed
