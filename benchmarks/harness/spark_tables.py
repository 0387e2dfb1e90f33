"""A local Spark session, and what every client reads and writes: a column of numbers or of texts in Parquet files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.workload import REVIEW_PATTERN


@dataclass(frozen=True)
class Kind:
    """One kind of values.

    Args:
        name: for people.
        model: what is asked.
        tensors: the names of its input and of its output.
        datatype: of both.
        sql: Spark's type of both.
        flink: the type of both in CREATE MODEL.
        values: SQL of distinct values for the numbers ``id``.
        batch_size: rows a request.
    """

    name: str
    model: str
    tensors: tuple[str, str]
    datatype: str
    sql: str
    flink: str
    values: str
    batch_size: int


NUMBERS = Kind("FP64", "number", ("NUMBER", "SAME"), "FP64", "double", "DOUBLE", "cast(id as double) / 7", 1024)
TEXTS = Kind(
    *("texts of 45 bytes", "label", ("INPUT_TEXT", "OUTPUT_TEXT"), "BYTES", "string", "STRING"),
    *(f"format_string('{REVIEW_PATTERN}', id)", 64),
)
#: 16 bytes, as the keys of the product are.
_KEY = "unhex(md5(cast(id as string))) as ml_key"
SLEEPING = Kind("FP64", "sleeping", NUMBERS.tensors, "FP64", "double", "DOUBLE", NUMBERS.values, 64)


@dataclass(frozen=True)
class Source:
    """So many rows of one kind, in a folder of Parquet files, as many as tasks read them."""

    kind: Kind
    rows: int
    path: str


def spark_is_installed() -> bool:
    """Say whether there is a pyspark, and a Java for it."""
    return importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None


@contextmanager
def spark_session(folder: Path, cores: int) -> Generator[Any, None, None]:
    """Start Spark in this process, with so many tasks at once."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - not everybody has it

    # Tasks are processes of their own, and import what stands beside this program.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.local.dir": str(folder),
        "spark.sql.ansi.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{cores},4]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def make_source(spark: Any, folder: Path, kind: Kind, rows: int, tasks: int) -> Source:  # noqa: ANN401 - untyped
    """Write the rows that every client reads: ``value``, and ``ml_key``, by which a prediction can be told its row."""
    path = str(folder / f"{kind.model}-{rows}-{tasks}")
    spark.range(0, rows, 1, tasks).selectExpr(_KEY, f"{kind.values} as value").write.mode("overwrite").parquet(path)
    return Source(kind, rows, path)
