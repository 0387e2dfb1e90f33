"""The same on Spark Connect: a server in a process of its own, and dbt with SPARK_REMOTE."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from support.dbt import REPOSITORY
from support.spark import SparkProject, connect_server, has_java

pytestmark = pytest.mark.skipif(not has_java(), reason="Spark needs Java, and there is none on the path")


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a server."""
    with connect_server(tmp_path_factory.mktemp("connect")) as address:
        yield address


_NOT_FOUND = (
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `nothere` cannot be found. "
    "Verify the spelling and correctness of the schema and catalog."
)
_SCRIPT = """
import threading, time
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.spark import jobs, shipping
from dbt_triton.warehouses.spark.session import SparkWarehouse
from dbt_triton.warehouses.spark.submission import open_session

spark = open_session({"spark.sql.ansi.enabled": "false"})
arguments = {"unique_id": "model.shop.predicted"}

def said(ask):
    try:
        ask()
    except WarehouseError as error:
        return str(error)

warehouse = SparkWarehouse(spark, arguments)
assert warehouse.is_connect
warehouse.set_result({"text": "${env:HOME} it's \\\\ 'token'"})
print(warehouse.rows(f"select result from dbt_triton_result_{warehouse.node}"))
warehouse.sql("create table things using parquet as select 1 as a")
warehouse.take_note("it's ${x}", "things")
print(warehouse.is_table(["things"]), warehouse.is_table(["nothere"]), warehouse.refused_store("`nothere`"))
print(warehouse.rows("show tblproperties things ('dbt_triton.built_of')")[0]["value"])
print(said(lambda: warehouse.rows("select * from nothere")))
print(said(lambda: warehouse.rows("select raise_error('a. b')")))

shipping.prepare_executors(warehouse, tasks=2)

def where(batches):
    import dbt_triton.engine, pyarrow
    for _ in batches:
        yield pyarrow.RecordBatch.from_pydict({"file": [dbt_triton.engine.__file__]})

file = spark.range(0, 1, 1, 1).mapInArrow(where, "file string").collect()[0][0]
print(shipping.package_zip().name in file)

def bad(batches):
    for batch in batches:
        if batch.num_rows:
            raise ValueError("bad one")
        yield batch

print(said(lambda: warehouse.asked(spark.range(2).mapInArrow(bad, "id bigint").collect)))

def slow(batches):
    for batch in batches:
        time.sleep(60)
        yield batch

with jobs.running(spark, warehouse.node) as running:
    warehouse = SparkWarehouse(spark, arguments)
    threading.Timer(2, running.cancel).start()
    begun = time.monotonic()
    print(said(lambda: warehouse.asked(spark.range(2).mapInArrow(slow, "id bigint").collect)))
    print(time.monotonic() - begun < 30, spark.getTags() == {warehouse.tag})
print(spark.getTags())
"""


def test_a_session_of_connect(remote: str, tmp_path: Path) -> None:
    """Results, errors, notes, the package on its way, and cancelling work without a SparkContext."""
    environment = SparkProject(tmp_path / "project").command()[1]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=tmp_path,
        env=environment | {"SPARK_REMOTE": remote, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        """[{'result': '{"text": "${env:HOME} it\\'s \\\\\\\\ \\'token\\'"}'}]""",
        "True False None",
        "it's ${x}",
        _NOT_FOUND,
        "[USER_RAISED_EXCEPTION] a. b",
        "True",
        "ValueError: bad one",
        "the run was interrupted",
        "True True",
        "set()",
    ]
    assert "JVM stacktrace" not in done.stderr
    assert "catalogImplementation" not in done.stderr


def test_python_models_of_connect(remote: str, tmp_path: Path) -> None:
    """A user's Python model runs on the server, by the same profile, with SPARK_REMOTE."""
    project = SparkProject(tmp_path / "project", schema="over_connect")
    project.write(
        "models/squares.py",
        """
        def model(dbt, session):
            dbt.config(materialized="table", submission_method="dbt_triton")
            return session.range(3).selectExpr("id", "id * id as square")
        """,
    )
    project.model("total", "{{ config(materialized='table') }} select sum(square) as s from {{ ref('squares') }}")
    result = project.dbt_apart("build", SPARK_REMOTE=remote)
    assert result.code == 0, result.printed
    shown = project.dbt_apart("show", "--inline", "select s from {{ ref('total') }}", SPARK_REMOTE=remote)
    assert "5" in shown.output
