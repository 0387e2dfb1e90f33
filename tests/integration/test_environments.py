"""An inference model is a node of the DAG: --defer and state:modified, in four dbt commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from support.dbt import RUN_LOG, DbtProject
from support.proxy import RecordingProxy

pytestmark = pytest.mark.duckdb_only("--defer and state:modified are decided in dbt's graph, without a warehouse")

TOKEN = "literal-token"  # noqa: S105 - a test's own


@pytest.mark.slow
def test_defer_uses_the_model_of_the_other_environment(
    serve: Callable[[str], str], proxy: RecordingProxy, project: DbtProject
) -> None:
    """With --defer a predicting model runs in dev on production's inference model and its token, not built in dev."""
    target = {"type": "duckdb", "path": str(project.database), "threads": 1}
    outputs = {"prod": {**target, "schema": "prod"}, "dev": {**target, "schema": "dev"}}
    project.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": outputs}}))
    upper = serve("upper")
    project.model("reviews", "{{ config(materialized='table') }}\nselect 1 as id, 'good' as review")
    project.inference_model("classifier", proxy.url, upper, auth_token=TOKEN)
    project.model(
        "classified",
        "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT(TABLE {{ ref('reviews') }}, "
        "MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
    )
    project.build("--target", "prod")
    manifest = json.loads((project.root / "target" / "manifest.json").read_text())
    assert set(manifest["parent_map"]["model.shop.classified"]) == {"model.shop.reviews", "model.shop.classifier"}
    shutil.copytree(project.root / "target", project.root / "state")
    proxy.clear()

    result = project.dbt("run", "--target", "dev", "-s", "classified", "--defer", "--state", "state")
    assert result.code == 0, result.printed
    assert [exchange.request.all("Authorization") for exchange in proxy.inferences] == [[f"Bearer {TOKEN}"]]
    assert project.query("from dev.classified") == [(1, "good", "GOOD")]
    made = project.query("select table_name from information_schema.tables where table_schema = 'dev'")
    assert {row[0] for row in made} - RUN_LOG == {"classified"}

    project.inference_model("classifier", proxy.url, upper, auth_token=TOKEN, batch_size="16")
    modified = project.dbt("ls", "-s", "state:modified+", "--state", "state", "--target", "prod", "--quiet")
    assert modified.code == 0, modified.printed
    assert modified.output.split() == ["shop.classified", "shop.classifier"]
