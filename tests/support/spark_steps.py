"""A driver that takes many steps in one process, and so in one Spark session: dbt commands and SQL statements.

``python spark_steps.py STEPS.json TOLD.json``, which :func:`take_steps` runs. It runs in environments that have nothing
of the tests, so it imports nothing of them.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.spark_clusters import Cluster


#: Many steps take a minute, and ten where others use the machine.
_TIMEOUT_SECONDS = 1500.0
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Told:
    """What one step led to.

    Args:
        rows: of a SQL statement.
        error: of a step that failed; "" of others.
        nodes: status and message of each node of a dbt command, by the node's name.
        figures: of the predicting models of a dbt command, by the node's name.
        text: that a URL answered.
        seen: what the reader of ``reading`` saw: each result or error once, in the order in which they came.
    """

    rows: list[list[Any]] = field(default_factory=list)
    error: str = ""
    nodes: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    text: str = ""
    seen: list[Any] = field(default_factory=list)


def take_steps(cluster: Cluster, project: Path, *steps: Sequence[str], **variables: str) -> list[Told]:
    """Take steps in one driver process.

    Args:
        cluster: where.
        project: the dbt project's folder.
        steps: ``("dbt", "build", …)``, ``("sql", "select …")``, ``("get", "http://…")``, or ``("reading", "select …",
            "dbt", …)``, a step while which another thread asks the same again and again.
        variables: further variables of the process's environment.
    """
    written, told = project / "steps.json", project / "told.json"
    told.unlink(missing_ok=True)
    written.write_text(json.dumps(steps), encoding="utf-8")
    # -P: the folder of this file has a dbt.py of its own.
    done = cluster.run(
        "python", "-P", __file__, str(written), str(told), folder=project, timeout=_TIMEOUT_SECONDS, **variables
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return [Told(**step) for step in json.loads(told.read_text(encoding="utf-8"))]


def write_project(folder: Path, models: Mapping[str, str], **profile: str) -> Path:
    """Write a dbt-spark project that lists the package, and uses the session that the environment describes.

    Args:
        folder: is made.
        models: SQL by the model's name, or Python where the name ends in ``.py``.
        profile: settings added to the profile's target.
    """
    (folder / "models").mkdir(parents=True)
    # What `dbt deps` makes of `local:`, in no time.
    (folder / "dbt_packages").mkdir()
    (folder / "dbt_packages" / "dbt_triton").symlink_to(_REPOSITORY, target_is_directory=True)
    (folder / "packages.yml").write_text(json.dumps({"packages": [{"local": str(_REPOSITORY)}]}))
    target = {"type": "spark", "method": "session", "host": "NA", "schema": "shop", "threads": 1, **profile}
    profiles = {"shop": {"target": "dev", "outputs": {"dev": target}}}
    (folder / "profiles.yml").write_text(json.dumps(profiles))
    (folder / "dbt_project.yml").write_text(json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop"}))
    for name, sql in models.items():
        (folder / "models" / (name if name.endswith(".py") else f"{name}.sql")).write_text(sql)
    return folder


def _take(step: Sequence[str]) -> dict[str, Any]:
    kind, *rest = step
    if kind == "reading":
        return _reading(rest[0], rest[1:])
    if kind == "get":
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(rest[0], timeout=60) as answer:
            return {"text": answer.read().decode()}
    return _dbt(rest) if kind == "dbt" else _sql(rest[0])


def _dbt(arguments: list[str]) -> dict[str, Any]:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - an import of seconds, which not every driver needs

    done = dbtRunner().invoke([*arguments, "--profiles-dir", ".", "--quiet"])
    # Those of an operation have no node.
    results = [result for result in getattr(done.result, "results", []) if hasattr(result, "node")]
    nodes = {result.node.name: [str(result.status), str(result.message)] for result in results}
    figures = {result.node.name: _figures(str(result.adapter_response.get("code"))) for result in results}
    failed = [f"{name}: {message}" for name, (status, message) in nodes.items() if status in {"error", "fail"}]
    error = "" if done.success else str(done.exception or "; ".join(failed) or "dbt failed")
    return {"error": error, "nodes": nodes, "figures": {name: found for name, found in figures.items() if found}}


def _figures(code: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(code)
    except ValueError:  # of another kind of model
        return {}
    return found


def _sql(statement: str) -> dict[str, Any]:
    from pyspark.sql import SparkSession  # noqa: PLC0415

    try:
        return {"rows": [list(row) for row in SparkSession.builder.getOrCreate().sql(statement).collect()]}
    except Exception as error:  # noqa: BLE001 - what Spark says is what a test asks for
        return {"error": str(error)}


def _reading(query: str, step: Sequence[str]) -> dict[str, Any]:
    """Take a step, while another thread reads."""
    seen: list[Any] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            found = _sql(query)
            if (what := found.get("error") or found["rows"]) not in seen:
                seen.append(what)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        return {**_take(step), "seen": seen}
    finally:
        over.set()
        reader.join()


if __name__ == "__main__":
    taken = [_take(step) for step in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    Path(sys.argv[2]).write_text(json.dumps(taken, default=str), encoding="utf-8")
