"""A driver that takes many steps in one process, and so in one Spark session: dbt commands and SQL statements.

``python spark_steps.py STEPS.json TOLD.json``, which :func:`take_steps` runs. It runs in environments that have nothing
of the tests, so it imports nothing of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.spark_clusters import Cluster


@dataclass(frozen=True)
class Told:
    """What one step led to.

    Args:
        rows: of a SQL statement.
        error: of a step that failed; "" of others.
        nodes: status and message of each node of a dbt command, by the node's name.
    """

    rows: list[list[Any]]
    error: str
    nodes: dict[str, list[str]]


def take_steps(cluster: Cluster, project: Path, *steps: Sequence[str]) -> list[Told]:
    """Take steps in one driver process.

    Args:
        cluster: where.
        project: the dbt project's folder.
        steps: ``("dbt", "build", …)``, or ``("sql", "select …")``.
    """
    written, told = project / "steps.json", project / "told.json"
    told.unlink(missing_ok=True)
    written.write_text(json.dumps(steps), encoding="utf-8")
    # -P: the folder of this file has a dbt.py of its own.
    done = cluster.run("python", "-P", __file__, str(written), str(told), folder=project)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return [Told(**step) for step in json.loads(told.read_text(encoding="utf-8"))]


def write_project(folder: Path, models: Mapping[str, str], **profile: str) -> Path:
    """Write a dbt-spark project, which uses the session that the environment describes.

    Args:
        folder: is made.
        models: SQL by the model's name.
        profile: settings added to the profile's target.
    """
    (folder / "models").mkdir(parents=True)
    target = {"type": "spark", "method": "session", "host": "NA", "schema": "shop", "threads": 1, **profile}
    profiles = {"shop": {"target": "dev", "outputs": {"dev": target}}}
    (folder / "profiles.yml").write_text(json.dumps(profiles))
    (folder / "dbt_project.yml").write_text(json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop"}))
    for name, sql in models.items():
        (folder / "models" / f"{name}.sql").write_text(sql)
    return folder


def _take(step: Sequence[str]) -> dict[str, Any]:
    kind, *rest = step
    return _dbt(rest) if kind == "dbt" else _sql(rest[0])


def _dbt(arguments: list[str]) -> dict[str, Any]:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - an import of seconds, which not every driver needs

    done = dbtRunner().invoke([*arguments, "--profiles-dir", ".", "--quiet"])
    nodes = {
        result.node.name: [str(result.status), str(result.message)] for result in getattr(done.result, "results", [])
    }
    failed = [f"{name}: {message}" for name, (status, message) in nodes.items() if status in {"error", "fail"}]
    error = "" if done.success else str(done.exception or "; ".join(failed) or "dbt failed")
    return {"rows": [], "error": error, "nodes": nodes}


def _sql(statement: str) -> dict[str, Any]:
    from pyspark.sql import SparkSession  # noqa: PLC0415

    try:
        rows = [list(row) for row in SparkSession.builder.getOrCreate().sql(statement).collect()]
    except Exception as error:  # noqa: BLE001 - what Spark says is what a test asks for
        return {"rows": [], "error": str(error), "nodes": {}}
    return {"rows": rows, "error": "", "nodes": {}}


if __name__ == "__main__":
    taken = [_take(step) for step in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    Path(sys.argv[2]).write_text(json.dumps(taken, default=str), encoding="utf-8")
