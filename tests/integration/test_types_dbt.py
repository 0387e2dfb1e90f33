"""Arrays, classes and sequences through the real dbt: YAML and contracts. One build."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.dbt import DbtProject
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only(
    "dbt takes part in nothing of it but YAML; the other test_types_* are about arrays and sequences on Spark"
)


@pytest.mark.slow
def test_arrays_and_sequences_in_yaml(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """YAML declares arrays and sequences as SQL does, and a contract on an array holds."""
    vector, totals, classes = serve("identity_vector"), serve("running_total_oldest"), serve("classes")
    meta: dict[str, object] = {"provider": "triton", "endpoint": triton.url}
    inference_models: dict[str, dict[str, object]] = {
        "embedder": {
            "input": {"in_fp32": "ARRAY<FLOAT>"},
            "output": {"out_fp32": "FLOAT[3]"},
            "model-name": vector,
        },
        "totals": {
            "input": {"amount": "BIGINT"},
            "output": {"total": "BIGINT"},
            "model-name": totals,
            "sequence-by": ["region", "customer"],
            "order-by": "day desc",
        },
        "classifier": {
            "input": {"scores": "FLOAT[4]"},
            "output": {"label": "STRING", "score": "FLOAT"},
            "model-name": classes,
            "classification": 1,
            "tensor.label": "PROBABILITIES",
            "tensor.score": "PROBABILITIES",
        },
    }
    models = [
        {"name": name, "config": {"materialized": "inference_model", "meta": {"inference_model": meta | definition}}}
        for name, definition in inference_models.items()
    ]
    contracted = {
        "name": "embedded",
        "config": {"contract": {"enforced": True}},
        "columns": [{"name": "id", "data_type": "bigint"}, {"name": "embedding", "data_type": "float[3]"}],
    }
    project.write("models/models.yml", json.dumps({"models": [*models, contracted]}))
    for name in inference_models:
        project.model(name, "{{ dbt_triton.create_model() }}")
    predicting = "{{ config(materialized='ml_predict') }}\n"
    project.model(
        "embedded",
        predicting + "select id, out_fp32 as embedding from ML_PREDICT("
        "TABLE (select i as id, [i, i + 0.5, '-0.0'::float]::float[] as x from range(5) t(i)), "
        "MODEL {{ ref('embedder') }}, DESCRIPTOR(x))",
    )
    project.model(
        "summed",
        predicting + "select * from ML_PREDICT(TABLE (select i % 2 as region, i % 3 as customer, i as day, i as amount "
        "from range(60) t(i)), MODEL {{ ref('totals') }}, DESCRIPTOR(amount))",
    )
    project.model(
        "classified",
        predicting + "select label, score from ML_PREDICT(TABLE (select [0, 0.5, 0.25, 0]::float[] as x), "
        "MODEL {{ ref('classifier') }}, DESCRIPTOR(x))",
    )
    result = project.build()
    assert result.figures("summed")["requests"] == 60
    assert project.query("select typeof(embedding), embedding from embedded order by id limit 1") == [
        ("FLOAT[3]", (0.0, 0.5, 0.0))
    ]
    assert project.query("select count(*) from embedded where cast(embedding[3] as varchar) = '-0.0'") == [(5,)]
    assert project.query("from classified") == [("fi:sh", 0.5)]
    wrong = "sum(amount) over (partition by region, customer order by day desc) as expected"
    assert project.query(f"from (select *, {wrong} from summed) where total <> expected") == []
    assert project.query("select count(*) from summed") == [(60,)]
