"""The tests with Spark: one process, and one session for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from support.spark import SparkProject, has_java

_NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave all of them out where there is no Java, and give each the time that a start of Spark takes."""
    no_java = pytest.mark.skip(reason="Spark needs Java, and there is none on the path")
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.timeout(600))
        if not has_java() and "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(no_java)


@pytest.fixture
def spark_project(spark: Any, tmp_path: Path) -> Generator[SparkProject]:
    """An empty project whose dbt commands run in this process, on its session."""
    project = SparkProject(tmp_path / "project", spark, schema=f"spark_shop_{next(_NUMBERS)}")
    yield project
    project.drop()


@pytest.fixture(scope="module")
def module_project(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[[], SparkProject]]:
    """Makes projects that last for a module, for tests that look at one build."""
    made: list[SparkProject] = []

    def make() -> SparkProject:
        made.append(
            SparkProject(tmp_path_factory.mktemp("project") / "shop", spark, schema=f"spark_module_{next(_NUMBERS)}")
        )
        return made[-1]

    yield make
    for project in made:
        project.drop()
