"""A Spark Connect server: the driver is elsewhere, and the client has no JVM."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from support.spark_clusters import Cluster, connect_server
from support.spark_steps import take_steps, write_project

DRIVER = """
import importlib.util
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()

def look(batches):
    import importlib.util, pyarrow as pa
    for batch in batches:
        pass
    yield pa.RecordBatch.from_pylist([{"product": importlib.util.find_spec("dbt_triton") is not None}])

spark.addTag("shop")
print(type(spark).__module__, spark.getTags(), spark.interruptTag("shop"))
print([row.product for row in spark.range(10, numPartitions=2).mapInArrow(look, "product boolean").collect()])
try:
    print(spark.sparkContext)
except Exception as error:
    print("no sparkContext:", type(error).__name__)
"""


@pytest.fixture(scope="module")
def server() -> Generator[Cluster, None, None]:
    """A Connect server."""
    with connect_server() as running:
        yield running


def test_client_is_a_connect_client(server: Cluster, tmp_path: Path) -> None:
    """A client has tags and can interrupt what it tagged, but no sparkContext; tasks lack the product."""
    (tmp_path / "driver.py").write_text(DRIVER)
    done = server.run("python", "driver.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.splitlines() == [
        "pyspark.sql.connect.session {'shop'} []",
        "[False, False]",
        "no sparkContext: PySparkAttributeError",
    ]


def test_dbt_builds_on_the_server(server: Cluster, tmp_path: Path) -> None:
    """dbt-spark's method session uses the server that SPARK_REMOTE names, and tables outlive the client."""
    models = {"numbers": "{{ config(materialized='table', file_format='parquet') }} select id from range(10)"}
    project = write_project(tmp_path / "shop", models)
    (built,) = take_steps(server, project, ("dbt", "run"))
    assert built.error == ""
    (total,) = take_steps(server, project, ("sql", "select sum(id) from shop.numbers"))
    assert total.rows == [[45]]
