"""What test_airflow.py runs in Airflow's environment: the tasks of the watched DAG, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd() / "orchestration"))

import airflow_dag
from cosmos.operators.watcher import DbtConsumerWatcherSensor, DbtProducerWatcherOperator

tasks = {
    task.task_id: {
        "runs_dbt": isinstance(task, DbtProducerWatcherOperator),
        "waits": isinstance(task, DbtConsumerWatcherSensor),
        "class": type(task).__mro__[0].__name__,
    }
    for task in airflow_dag.watched.tasks
}
Path("tasks.json").write_text(json.dumps(tasks))
