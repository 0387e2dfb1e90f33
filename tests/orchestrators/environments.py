"""A virtual environment for each orchestrator: each brings a hundred packages, of other versions than the tests'."""

from __future__ import annotations

import tomllib
from pathlib import Path

from support.dbt import REPOSITORY
from support.environments import environment

REQUIREMENTS = {
    "airflow": ["apache-airflow", "astronomer-cosmos"],
    "dagster": ["dagster", "dagster-dbt"],
    "prefect": ["prefect-dbt"],
}
_HERE = Path(__file__).parent


def programs_of(name: str) -> Path:
    """Make the environment of an orchestrator, or use it as it is. Returns the folder of its programs."""
    constraints = _HERE / f"constraints-{name}.txt"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made_of = constraints.read_text() + repr((str(REPOSITORY), project["dependencies"]))
    return environment(name, made_of, ("-c", str(constraints), *REQUIREMENTS[name], "-e", str(REPOSITORY)))
