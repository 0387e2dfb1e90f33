"""The example project as Dagster assets: ``dagster dev -f orchestration/dagster_assets.py``.

Every dbt node is an asset, so the lineage goes from the inference model to the tables that it predicts. One
``dbt build`` makes all that was selected: DuckDB lets one process at a time write to a file.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, Definitions, Output
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

project = DbtProject(project_dir=Path(__file__).resolve().parents[1])
# `dagster dev` parses the project; elsewhere, run `dagster-dbt project prepare-and-package` when you deploy.
project.prepare_if_dev()


def ml_predict_figures(run_results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each ml_predict model says of its run (rows, requests, retries, bytes, seconds), by unique_id."""
    figures = {}
    for result in run_results["results"]:
        response = result["adapter_response"]
        if str(response.get("_message", "")).startswith("ML_PREDICT"):
            said = json.loads(response["code"])
            figures[result["unique_id"]] = {f"ml_predict/{name}": figure for name, figure in said.items()}
    return figures


@dbt_assets(manifest=project.manifest_path, project=project)
def movie_reviews(context: AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
    """Build what was selected, and put the figures of each prediction into the metadata of its asset."""
    arguments = ["build"]
    if endpoint := os.environ.get("TRITON_URL"):
        arguments += ["--vars", json.dumps({"dbt_triton_endpoint": endpoint})]
    # The figures are in run_results.json, which dbt writes at its end: so the events wait until then.
    invocation = dbt.cli(arguments, context=context, raise_on_error=False)
    events = list(invocation.stream())
    figures = ml_predict_figures(invocation.get_artifact("run_results.json")) if events else {}
    for event in events:
        if isinstance(event, Output):
            unique_id = event.metadata["unique_id"].value
            yield event.with_metadata({**event.metadata, **figures.get(unique_id, {})})
        else:
            yield event
    # What was built is materialized above, whatever else failed.
    if error := invocation.get_error():
        raise error


defs = Definitions(assets=[movie_reviews], resources={"dbt": DbtCliResource(project_dir=project)})
