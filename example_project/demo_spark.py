"""The demo on Apache Spark: where the tables are, and how they are read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
import yaml
from demo_tables import Read

PROJECT = Path(__file__).resolve().parent
TARGET = "spark"


def what_is_missing() -> str | None:
    """Return a sentence that says what to install, or None."""
    missing = []
    if find_spec("pyspark") is None or find_spec("dbt.adapters.spark") is None:
        missing.append("the extra `spark` (pip install -c constraints.txt -e '.[spark]')")
    home = os.environ.get("JAVA_HOME")
    if shutil.which(f"{home}/bin/java" if home else "java") is None:
        missing.append(f"Java 17 or newer ({f'JAVA_HOME is {home}' if home else 'java is not on the PATH'})")
    return f"The demo on Spark needs {' and '.join(missing)}." if missing else None


def environment() -> dict[str, str]:
    """Return the environment variables that Spark and the target of profiles.yml read, paths absolute."""
    folder = Path(os.environ.get("DBT_TRITON_DEMO_SPARK") or PROJECT / "spark").absolute()
    return {
        "DBT_TRITON_DEMO_SPARK": str(folder),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(PROJECT / "spark_conf"),
    }


@contextmanager
def reader() -> Generator[Read, None, None]:
    """Yield what reads a query, in a Spark session of its own."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where it is installed

    os.environ.update(environment())
    builder = SparkSession.builder.enableHiveSupport()
    for name, value in _settings().items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.catalog.setCurrentDatabase("example")

    def read(query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        frame = spark.sql(query)
        return frame.columns, [tuple(row) for row in frame.collect()]

    try:
        yield read
    finally:
        spark.stop()


def _settings() -> dict[str, str]:
    """Return the session's settings, as the target of profiles.yml has them."""
    profiles = yaml.safe_load((PROJECT / "profiles.yml").read_text("utf-8"))
    settings = profiles["example_project"]["outputs"][TARGET]["server_side_parameters"]
    read = {"env_var": os.environ.get}
    return {name: jinja2.Template(str(value)).render(read) for name, value in settings.items()}
