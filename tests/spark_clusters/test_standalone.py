"""A standalone cluster of two machines, as far as one machine can be two: loopback addresses."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support.spark_clusters import Cluster, standalone
from support.spark_steps import take_steps, write_project

DRIVER = """
import io, json, os, zipfile
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()

def look(batches):
    import os, time, importlib.util, pyarrow as pa
    for batch in batches:
        time.sleep(1)  # long enough for the other executor to take a part
    yield pa.RecordBatch.from_pylist([{
        "host": os.environ["SPARK_LOCAL_IP"],
        "token": os.environ.get("SHOP_TOKEN"),
        "product": importlib.util.find_spec("dbt_triton") is not None,
        "needs": all(importlib.util.find_spec(name) for name in ("pyarrow", "httptools", "orjson", "pydantic")),
    }])

schema = "host string, token string, product boolean, needs boolean"
looked = lambda: [row.asDict() for row in spark.range(100, numPartitions=4).mapInArrow(look, schema).collect()]
before = looked()
with zipfile.ZipFile("product.zip", "w") as product:
    product.writestr("dbt_triton/__init__.py", "")
spark.addArtifacts("product.zip", pyfile=True)
print(json.dumps({"before": before, "after": looked(), "driver": os.environ.get("SHOP_TOKEN")}))
"""


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster, None, None]:
    """A master and two workers."""
    with standalone(executor_environment={"SHOP_TOKEN": "of the executors"}) as running:
        yield running


@pytest.fixture(scope="module")
def told(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the tasks of two jobs saw."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.py").write_text(DRIVER)
    done = cluster.run("python", "driver.py", folder=folder)
    assert done.returncode == 0, done.stderr[-5000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_both_machines_work(told: dict[str, Any]) -> None:
    """The tasks of one job run on two addresses."""
    assert {seen["host"] for seen in told["before"]} == {"127.0.0.1", "127.0.0.2"}


def test_secret_is_the_executors_own(told: dict[str, Any]) -> None:
    """Executors have a variable that the driver can name and does not know."""
    assert {seen["token"] for seen in told["before"]} == {"of the executors"}
    assert told["driver"] is None


def test_product_is_not_on_the_executors(told: dict[str, Any]) -> None:
    """Executors have what the product needs, and the product only once a driver has sent it."""
    assert {(seen["needs"], seen["product"]) for seen in told["before"]} == {(True, False)}
    assert {(seen["needs"], seen["product"]) for seen in told["after"]} == {(True, True)}


def test_dbt_builds_on_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """dbt-spark's method session uses the cluster that the environment describes, with no word of it in the profile."""
    project = write_project(
        tmp_path / "shop",
        {"numbers": "{{ config(materialized='table', file_format='parquet') }} select id from range(10)"},
    )
    built, total, master = take_steps(
        cluster, project, ("dbt", "run"), ("sql", "select sum(id) from shop.numbers"), ("sql", "set spark.master")
    )
    assert built.error == ""
    assert total.rows == [[45]]
    assert master.rows == [["spark.master", cluster.url]]


def test_nothing_is_left() -> None:
    """When the context ends, nobody listens any more, and the folder is gone."""
    with standalone(workers=0) as running:
        port = int(running.url.rsplit(":", 1)[1])
        assert running.folder.is_dir()
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    assert not running.folder.exists()
