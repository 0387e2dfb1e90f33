"""The package on its way to executors, and the check of what they have."""

from __future__ import annotations

import platform
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.spark import shipping
from dbt_triton.warehouses.spark.session import SparkWarehouse

_ARGUMENTS = {"unique_id": "model.shop.predicted"}


@pytest.fixture
def python(spark: Any, tmp_path: Path) -> Generator[Path]:
    """Another Python for the workers, to be written by the test."""
    before = spark.sparkContext.pythonExec
    path = tmp_path / "python"
    spark.sparkContext.pythonExec = str(path)
    yield path
    spark.sparkContext.pythonExec = before


def write_python(path: Path, command: str) -> None:
    """Write a program that is called as Python is, in a folder where the repository is not."""
    path.write_text(f'#!/bin/sh\ncd {path.parent}\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def test_a_local_spark_has_all_of_it(spark: Any) -> None:
    """Executors with the environment of dbt pass the check, and a local Spark needs nothing sent."""
    shipping.prepare_executors(SparkWarehouse(spark, _ARGUMENTS))
    shipping.check_executors(SparkWarehouse(spark, _ARGUMENTS), 2)


def test_what_is_missing_is_said(spark: Any, python: Path) -> None:
    """Before a row is sent, one error names all that executors lack, where, and the command that mends it."""
    # Without site-packages there is the standard library only.
    write_python(python, f"{sys.executable} -S")
    with pytest.raises(WarehouseError) as caught:
        shipping.prepare_executors(SparkWarehouse(spark.newSession(), _ARGUMENTS), tasks=2)
    said = str(caught.value)
    assert said.startswith("Spark's executors cannot run the engine. on ")
    assert f"(Python {platform.python_version()}, {sys.executable})" in said
    for name, lowest in shipping.NEEDED.items():
        assert f"{name} is missing" in said, said
        assert f"'{name}>={lowest}'" in said
    assert said.count("pyarrow is missing") == 1
    assert "\n" not in said


def test_the_zip_is_what_executors_import(spark: Any, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the master is a cluster, tasks import the package from what was sent, not another one that is there."""
    write_python(python, sys.executable)  # workers that have imported nothing yet
    session = spark.newSession()
    monkeypatch.setattr(shipping, "_is_local", lambda _: False)
    warehouse = SparkWarehouse(session, _ARGUMENTS)
    shipping.prepare_executors(warehouse, tasks=2)
    shipping.prepare_executors(warehouse, tasks=2)

    def where(batches: Any) -> Any:
        import pyarrow as pa  # noqa: PLC0415 - in the task

        import dbt_triton.engine  # noqa: PLC0415 - in the task

        for _ in batches:
            yield pa.RecordBatch.from_pydict({"file": [dbt_triton.engine.__file__]})

    ((file,),) = session.range(0, 1, 1, 1).mapInArrow(where, "file string").collect()
    assert shipping.package_zip().name in file
