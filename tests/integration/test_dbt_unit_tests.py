"""dbt's own unit tests on predicting models: no server runs in this file, and no relation is built before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult

REVIEWS = {
    "input": "ref('reviews')",
    "format": "sql",
    "rows": "select 1 as id, 'fine' as review union all select 2, 'dull' union all select 3, null",
}
ONE_ANSWER = {"input": "ref('mood')", "format": "sql", "rows": "select 'glad' as mood"}
BY_INPUT = {
    "input": "ref('mood')",
    "format": "sql",
    "rows": "select 'fine' as review, 'glad' as mood union all select 'dull', 'sad'",
}
SCORES = {"input": "ref('score')", "format": "sql", "rows": "select 0.5 as score, 'too long' as ml_error"}
GLAD: list[dict[str, Any]] = [{"id": 1, "feeling": "glad"}, {"id": 2, "feeling": "glad"}, {"id": 3, "feeling": None}]
MOODS: list[dict[str, Any]] = [{"id": 1, "feeling": "glad"}, {"id": 2, "feeling": "sad"}, {"id": 3, "feeling": None}]

VERBATIM = """
    {{ config(materialized='ml_predict') }}
    -- ML_PREDICT(in a comment)
    /* it's /* ML_PREDICT( */ a comment */
    with imported as (select * from {{ ref('reviews') }})
    select id, mood as feeling, 'ML_PREDICT(in a text)' as said
    from LATERAL TABLE(
        ML_PREDICT(TABLE imported, MODEL {{ ref('mood') }}, DESCRIPTOR(review), MAP['batch-size', '2'])
    )
    where E'it\\'s ML_PREDICT(' = $q$it's ML_PREDICT($q$;
"""
#: Its comments do not nest, its backslashes escape, and it has no `$q$`; a double quote begins a text.
VERBATIM_OF_SPARK = VERBATIM.replace(
    "/* it's /* ML_PREDICT( */ a comment */", "/* it's ML_PREDICT( a comment */"
).replace("where E'it\\'s ML_PREDICT(' = $q$it's ML_PREDICT($q$", "where 'it\\'s ML_PREDICT(' = \"it's ML_PREDICT(\"")
NESTED = """
    {{ config(materialized='ml_predict') }}
    select id, mood as feeling, score, ml_error from ml_predict(
        ARGS => descriptor(`id`, "mood"), MODEL => model {{ ref('score') }},
        INPUT => ml_predict((select * from {{ ref('reviews') }}), model {{ ref('mood') }}, descriptor(review)))
"""
MACRO = """
    {{ config(materialized='ml_predict') }}
    select id, mood as feeling from {{ dbt_triton.ml_predict(ref('reviews'), ref('mood'), 'review') }}
"""
SCORE = """
    {{ config(materialized='inference_model') }}
    CREATE MODEL score INPUT (id INT COMMENT 'the id', mood VARCHAR(9)) OUTPUT (score FLOAT)
    WITH ('provider' = 'triton', 'endpoint' = 'http://127.0.0.1:9', 'model-name' = 'score', 'on-error' = 'null')
"""
MOOD = {
    "name": "mood",
    "config": {
        "materialized": "inference_model",
        "meta": {
            "inference_model": {
                "input": {"text": "STRING"},
                "output": {"mood": "STRING"},
                "provider": "triton",
                "endpoint": "http://127.0.0.1:9",
                "model-name": "mood",
            }
        },
    },
}


def _test(name: str, model: str, given: list[dict[str, str]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "model": model, "given": [REVIEWS, *given], "expect": {"rows": rows}}


def _project(project: DbtProject, *, dispatch: bool) -> DbtProject:
    if dispatch:
        order = {"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}
        settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": [order]}
        project.write("dbt_project.yml", json.dumps(settings))
    project.model("reviews", "select 1 as id, 'never built' as review")
    project.model("mood", "{{ dbt_triton.create_model() }}")
    project.model("score", SCORE)
    project.model("verbatim", VERBATIM if project.warehouse == "duckdb" else VERBATIM_OF_SPARK)
    project.model("nested", NESTED if project.warehouse == "duckdb" else NESTED.replace('"mood"', "`mood`"))
    project.model("by_macro", MACRO)
    tests = [
        _test("macro_one_answer", "by_macro", [ONE_ANSWER], GLAD),
        _test("macro_by_input", "by_macro", [BY_INPUT], MOODS),
        _test(
            "verbatim_one_answer", "verbatim", [ONE_ANSWER], [{**row, "said": "ML_PREDICT(in a text)"} for row in GLAD]
        ),
        _test("verbatim_by_input", "verbatim", [BY_INPUT], MOODS),
        _test("verbatim_wrong", "verbatim", [BY_INPUT], GLAD),
        _test(
            "nested_calls",
            "nested",
            [BY_INPUT, SCORES],
            [
                {"id": 1, "feeling": "glad", "score": 0.5, "ml_error": "too long"},
                {"id": 2, "feeling": "sad", "score": 0.5, "ml_error": "too long"},
                {"id": 3, "feeling": None, "score": None, "ml_error": None},
            ],
        ),
    ]
    project.write("models/models.yml", json.dumps({"models": [MOOD], "unit_tests": tests}))
    return project


@pytest.fixture(scope="module")
def tested(module_project: Callable[..., DbtProject]) -> DbtResult:
    """All unit tests, run in a project of which nothing is built."""
    project = _project(module_project(), dispatch=True)
    return project.dbt("test", "--select", "test_type:unit")


@pytest.mark.parametrize(
    "test",
    [
        "by_macro::macro_one_answer",
        "by_macro::macro_by_input",
        "verbatim::verbatim_one_answer",
        "verbatim::verbatim_by_input",
        "nested::nested_calls",
    ],
)
def test_fixture_of_the_inference_model_is_the_stub(tested: DbtResult, test: str) -> None:
    """What `given` says of the inference model is predicted: for every row, or for the rows with its values."""
    assert f"PASS {test} " in tested.output, tested.printed


def test_wrong_expectation_fails(tested: DbtResult) -> None:
    """A unit test whose expectation does not hold fails, with dbt's own comparison."""
    assert "FAIL 1 verbatim::verbatim_wrong " in tested.output
    assert "glad→sad" in tested.output
    assert tested.code == 1


def test_macro_needs_no_setting_and_verbatim_sql_needs_the_dispatch_line(project: DbtProject) -> None:
    """Without the dispatch line in dbt_project.yml the macro's unit tests run, and those of verbatim SQL cannot."""
    _project(project, dispatch=False)
    result = project.dbt("test", "--select", "test_type:unit")
    assert "PASS by_macro::macro_one_answer " in result.output, result.printed
    assert "PASS by_macro::macro_by_input " in result.output
    assert "ERROR verbatim::verbatim_by_input " in result.output
