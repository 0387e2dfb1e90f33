"""Airflow, with Astronomer Cosmos: the example's DAGs."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .conftest import Example
from .environments import programs_of


def _dags_test(example: Example, **environment: str) -> CompletedProcess[str]:
    """Run the DAG with one task."""
    dag_file = str(example.root / "orchestration" / "airflow_dag.py")
    return _airflow(example, "airflow", "dags", "test", "movie_reviews", "--dagfile-path", dag_file, **environment)


def _airflow(example: Example, *command: str, **environment: str) -> CompletedProcess[str]:
    """Run a command of Airflow, whose home is in the project's."""
    home = example.home / "airflow"
    return example.run(
        programs_of("airflow"),
        *command,
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(example.root / "orchestration"),
        AIRFLOW__CORE__LOAD_EXAMPLES="false",
        AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT="300",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__COSMOS__ENABLE_TELEMETRY="false",
        AIRFLOW__COSMOS__CACHE_DIR=str(home / "cosmos"),
        **environment,
    )


@pytest.fixture(scope="module")
def deployed(example: Example) -> Example:
    """The example with Airflow's database, and the manifest that a deployment makes."""
    (example.home / "airflow").mkdir()
    for command in (("airflow", "db", "migrate"), ("dbt", "parse", "--profiles-dir", ".")):
        done = _airflow(example, *command)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return example


def test_dag_builds_the_project(deployed: Example) -> None:
    """`airflow dags test` ends well, though a row failed that may, and the tables are in the warehouse."""
    done = _dags_test(deployed)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert deployed.query("select count(*), count(predicted_sentiment) from classified_snippets") == [(10605, 10605)]
    assert deployed.query("select count(*) from guarded where ml_error is not null") == [(1,)]


def test_failed_row_fails_the_task_where_the_model_says_so(deployed: Example) -> None:
    """With on-error = fail the run of the DAG fails, and the log has our message."""
    done = _dags_test(deployed, STRICT="yes")
    assert "the model refuses REFUSE this" in done.stdout + done.stderr
    assert done.returncode != 0


def test_watched_dag_runs_one_dbt_process(deployed: Example) -> None:
    """In WATCHER mode one task runs dbt; those of the nodes, the inference model's too, only wait for it."""
    script = Path(__file__).parent / "airflow_tasks.py"
    done = _airflow(deployed, "python", str(script))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    tasks = json.loads((deployed.root / "tasks.json").read_text())
    assert [name for name, task in tasks.items() if task["runs_dbt"]] == ["dbt_producer_watcher"]
    assert "classified_reviews.run" in tasks
    assert "triton_sentiment_classifier_run" in tasks
