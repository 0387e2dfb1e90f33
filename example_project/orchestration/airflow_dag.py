"""The example project as Airflow DAGs, by Astronomer Cosmos: put this folder into Airflow's DAGs folder.

Cosmos starts a dbt process for each node by default, and DuckDB lets one process at a time write to a file. Both DAGs
here run one ``dbt build``: ``movie_reviews`` as one task, ``movie_reviews_watched`` with a task for each node, which
waits for what the build says of the node.

Run ``dbt parse`` when you deploy: Airflow reads this file often, and the manifest saves it a dbt process each time.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG
from cosmos import DbtBuildLocalOperator, DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, LoadMode

PROJECT = Path(__file__).resolve().parents[1]
# Cosmos runs dbt in a copy of the project, so a relative path of the DuckDB file would be lost with it.
ENVIRONMENT = {"DBT_TRITON_DEMO_DB": os.environ.get("DBT_TRITON_DEMO_DB", str(PROJECT / "example.duckdb"))}
VARIABLES = {}
if "TRITON_URL" in os.environ:
    ENVIRONMENT["TRITON_URL"] = os.environ["TRITON_URL"]
    VARIABLES["dbt_triton_endpoint"] = os.environ["TRITON_URL"]
PROFILE = ProfileConfig(
    profile_name="example_project", target_name="dev", profiles_yml_filepath=PROJECT / "profiles.yml"
)
SCHEDULE = "@daily"
EVERY_NIGHT = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,  # a second run would meet the first one's lock on the file
}

with DAG(dag_id="movie_reviews", schedule=SCHEDULE, **EVERY_NIGHT):
    DbtBuildLocalOperator(
        task_id="dbt_build",
        project_dir=PROJECT,
        profile_config=PROFILE,
        vars=VARIABLES,
        env=ENVIRONMENT,
        append_env=True,
    )

watched = DbtDag(
    dag_id="movie_reviews_watched",
    schedule=SCHEDULE,
    project_config=ProjectConfig(
        PROJECT, manifest_path=PROJECT / "target" / "manifest.json", env_vars=ENVIRONMENT, dbt_vars=VARIABLES
    ),
    profile_config=PROFILE,
    render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST),
    execution_config=ExecutionConfig(execution_mode=ExecutionMode.WATCHER),
    **EVERY_NIGHT,
)
