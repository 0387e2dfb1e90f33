"""Settings of a wrong kind in a dbt project: each is refused by the first build, before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("settings are read, and refused, without a warehouse")]

PREDICT = """
    {{ config(materialized='ml_predict', SETTINGS) }}
    select * from ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('stub') }}, DESCRIPTOR(review))
"""
#: Settings of a predicting model, and what is said of them; nothing where they work.
SETTINGS = {
    "strategy": ("incremental_strategy='wrong'", "get_incremental_wrong_sql"),
    "own_strategy": ("incremental_strategy='mine'", None),
    "key": ("unique_key='nosuch'", "nosuch"),
    "second_key": ("incremental_strategy='merge', unique_key=['id', 'nosuch']", "nosuch"),
    "good_key": ("unique_key=['id', 'review']", None),
    "expression": ('unique_key="id || review"', None),
    "text": ("meta={'ml_predict': 'on-error=null'}", "must be a map of options"),
    "list": ("meta={'ml_predict': ['a']}", "must be a map of options"),
    "number": ("meta={'ml_predict': 5}", "must be a map of options"),
}
BASE = {"input": {"a": "STRING"}, "output": {"o": "STRING"}, "provider": "stub", "stub.o": "x"}
#: Values of meta.inference_model, and what is said of them.
META: dict[str, tuple[Any, str | None]] = {
    "fine": (BASE, None),
    "meta_text": ("abc", "must be a map"),
    "meta_list": (["a"], "must be a map"),
    "meta_number": (5, "must be a map"),
    "comment_number": (BASE | {"comment": 5}, "comment must be a text"),
    "comment_map": (BASE | {"comment": {"a": 1}}, "comment must be a text"),
    "no_comment": (BASE | {"comment": None, "name": None}, None),
    "name_list": (BASE | {"name": ["x"]}, "name must be a text"),
    "no_type": (BASE | {"input": {"a": None}}, "input column a has no SQL type"),
    "number_type": (BASE | {"input": {"a": 5}}, "input column a has no SQL type"),
    "empty_column": (BASE | {"input": {"": "STRING"}}, "INPUT has a column with an empty name"),
    "many_requests": (BASE | {"max-concurrent-operations": 999_999_999}, "less than or equal to 10000"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> DbtResult:
    """Build all of them once."""
    project = DbtProject(tmp_path_factory.mktemp("settings") / "project")
    project.model("reviews", "{{ config(materialized='table') }} select 1 as id, 'good' as review")
    project.model(
        "stub",
        "{{ config(materialized='inference_model') }} CREATE MODEL stub INPUT (a STRING) OUTPUT (o STRING) "
        "WITH ('provider' = 'stub', 'stub.o' = 'x')",
    )
    project.write(
        "macros/mine.sql",
        "{% macro get_incremental_mine_sql(arg_dict) %}{{ get_incremental_append_sql(arg_dict) }}{% endmacro %}",
    )
    for name, (settings, _) in SETTINGS.items():
        project.model(name, PREDICT.replace("SETTINGS", settings))
    listed = []
    for name, (meta, _) in META.items():
        project.model(name, "{{ dbt_triton.create_model() }}")
        config = {"materialized": "inference_model", "meta": {"inference_model": meta}}
        listed.append({"name": name, "config": config})
    project.write("models/settings.yml", json.dumps({"version": 2, "models": listed}))
    return project.fails()


@pytest.mark.parametrize("name", [*SETTINGS, *META])
def test_the_first_build_says_what_is_wrong(built: DbtResult, name: str) -> None:
    """A setting that no build could use is refused by the first one, in words and not as a bug; others work."""
    expected = (SETTINGS | META)[name][1]
    said = built.message(name)
    assert built.status(name) == ("success" if expected is None else "error"), said
    assert expected is None or expected in said
    assert "bug" not in said
