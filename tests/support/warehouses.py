"""Places in the warehouse that a test run has chosen: for steps without dbt, and for dbt projects."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.dbt import DbtProject
from support.session import Session, Steps
from support.spark import SparkProject
from support.spark_steps_session import SparkSteps

_NUMBERS = itertools.count(1)


@contextmanager
def spark_schema(spark: Any) -> Generator[str]:
    """Make a schema that is the current one meanwhile, and drop it with what is in it."""
    name = f"test_{next(_NUMBERS)}"
    before = spark.catalog.currentDatabase()
    spark.sql(f"create schema {name}")
    spark.catalog.setCurrentDatabase(name)
    try:
        yield name
    finally:
        spark.catalog.setCurrentDatabase(before)
        spark.sql(f"drop schema {name} cascade")


@contextmanager
def new_steps(warehouse: str, request: pytest.FixtureRequest) -> Generator[Steps]:
    """Make an empty place for steps.

    Args:
        warehouse: ``duckdb`` or ``spark``.
        request: of a fixture; Spark is started at the first time.
    """
    if warehouse == "duckdb":
        with Session() as steps:
            yield steps
    else:
        spark = request.getfixturevalue("spark")
        with spark_schema(spark) as schema:
            yield SparkSteps(spark, schema)


@contextmanager
def projects(warehouse: str, request: pytest.FixtureRequest, folder: Path) -> Generator[Callable[..., DbtProject]]:
    """Return what makes dbt projects, each in a folder of its own.

    Args:
        warehouse: ``duckdb`` or ``spark``.
        request: of a fixture; Spark is started at the first time.
        folder: for their folders.
    """
    made: list[SparkProject] = []

    def make(**settings: Any) -> DbtProject:
        number = next(_NUMBERS)
        if warehouse == "duckdb":
            return DbtProject(folder / f"project_{number}", **settings)
        spark = request.getfixturevalue("spark")
        made.append(SparkProject(folder / f"project_{number}", spark, schema=f"shop_{number}", **settings))
        return made[-1]

    yield make
    for project in made:
        project.drop()
