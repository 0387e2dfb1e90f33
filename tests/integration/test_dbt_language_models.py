"""Language models in dbt projects, as far as no prompt is sent: YAML, warnings, dry runs, the stub."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.dbt import DbtProject
from unit.language_models import VLLM_25_12, serving

YAML: dict[str, Any] = {
    "input": {"prompt": "STRING"},
    "output": {"mood": "STRING", "score": "DOUBLE", "topics": "STRING[]"},
    "provider": "triton",
    "model-name": "llm",
    "response-format": "json",
    "parameters": {"temperature": 0.5, "stop": ["\n\n", "it's"]},
    "request-parameters": {"tenant": "a"},
}
PREDICTED = """
    {{ config(materialized='ml_predict', meta={'ml_predict': {'cache': 'persistent', 'parameters': {'top_k': 5}}}) }}
    select * from {{ dbt_triton.ml_predict(ref('prompts'), ref('reader'), 'text', {'parameters': {'top_k': 6}}) }}
"""


def _project(project: DbtProject, endpoint: str, **options: Any) -> DbtProject:
    """Make a project with a language model in YAML and one that predicts."""
    meta = {"inference_model": YAML | {"endpoint": endpoint} | options}
    config = {"materialized": "inference_model", "meta": meta}
    project.write("models/models.yml", json.dumps({"models": [{"name": "reader", "config": config}]}))
    project.model("reader", "{{ dbt_triton.create_model() }}")
    project.model(
        "prompts", "{{ config(materialized='table') }} select 1 as id, 'ab' as text union all select 2, 'abc'"
    )
    project.model("predicted", PREDICTED)
    return project


def test_yaml_maps(project: DbtProject) -> None:
    """Parameters are a YAML map; the metadata row shows them, and dbt warns of what a user is to know."""
    with serving(VLLM_25_12) as endpoint:
        _project(project, endpoint)
        result = project.build("-s", "reader", "prompts")
        assert "reader: max_tokens is not set" in " ".join(result.printed.split())
        ((options,),) = project.query("select options from reader")
        assert json.loads(options)["parameters"] == {"temperature": 0.5, "stop": ["\n", "it's"]}
        assert json.loads(options)["request-parameters"] == {"tenant": "a"}
        result = project.build("-s", "predicted", "--vars", "{dbt_triton_dry_run: true}")
        said = " ".join(result.printed.split())
        assert "predicted: cache is persistent" in said
        assert result.figures("predicted")["prompt_bytes"] == len("ab" + "abc")


@pytest.mark.parametrize("key", ["max-tokens", "stop"])
def test_flink_names_in_yaml(project: DbtProject, key: str) -> None:
    """Flink's names stand in YAML like any option, and the statement that is shown hides none of them."""
    value = {"max-tokens": 64, "stop": ["END", ","]}[key]
    with serving(VLLM_25_12) as endpoint:
        options: dict[str, Any] = {"parameters": {}, key: value}
        _project(project, endpoint, **options).build("-s", "reader")
    ((said,),) = project.query("select options from reader")
    assert json.loads(said)[key] == value
    compiled = next(project.root.glob("target/compiled/**/reader.sql")).read_text(encoding="utf-8")
    assert "***" not in compiled


def test_line_feeds_in_yaml(project: DbtProject) -> None:
    """A line feed that dbt takes off a text of YAML is missed; as JSON it is there."""
    with serving(VLLM_25_12) as endpoint:
        result = _project(project, endpoint, parameters={}, stop=["\n"]).fails("-s", "reader")
        assert "stop: a text of it is empty; dbt takes a line feed off the end" in " ".join(result.printed.split())
        _project(project, endpoint, parameters={}, stop='["\\n"]').build("-s", "reader")
    ((said,),) = project.query("select options from reader")
    assert json.loads(said)["stop"] == ["\n"]


def test_stub(project: DbtProject) -> None:
    """A variable stubs a language model, whose columns then have values of their types."""
    _project(project, "http://127.0.0.1:9")
    project.build("--vars", "{dbt_triton_provider: stub}")
    rows = project.query("select mood, score, topics from predicted order by id")
    assert [[type(value) for value in row] for row in rows] == [[str, float, list]] * 2
