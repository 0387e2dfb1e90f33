"""The example project as a Prefect flow: ``python orchestration/prefect_flow.py``.

Every dbt node becomes a task run of the flow. One process runs one ``dbt build``: DuckDB lets one process at a time
write to a file. Nothing is cached by Prefect, so that a new version of a served model is noticed by each run.
"""

import json
import os
from pathlib import Path

from prefect import flow
from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings

PROJECT = Path(__file__).resolve().parents[1]


@flow(name="movie-reviews")
def movie_reviews() -> None:
    """Build the project; a node that fails, fails the flow."""
    arguments = ["build"]
    if endpoint := os.environ.get("TRITON_URL"):
        arguments += ["--vars", json.dumps({"dbt_triton_endpoint": endpoint})]
    PrefectDbtRunner(settings=PrefectDbtSettings(project_dir=PROJECT, profiles_dir=PROJECT)).invoke(arguments)


if __name__ == "__main__":
    movie_reviews()
