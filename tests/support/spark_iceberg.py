"""Iceberg tables: a Spark 3.5 with Iceberg's own jar, in a virtual environment that is made at the first run.

PyPI has Iceberg's runtime for Spark 3.5 in ``snowpark-connect-deps-iceberg``, without the Jackson that it was built
with: its classes ask for ``org.apache.iceberg.shaded.com.fasterxml.jackson``. Spark's own Jackson, under that name,
takes its place.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.dbt import REPOSITORY
from support.environments import environment
from support.spark_clusters import Cluster, driver_settings, write_settings

_CONSTRAINTS = REPOSITORY / "tests" / "spark_clusters" / "constraints-spark-3.5.txt"
_REQUIREMENTS = ("dbt-spark", "pandas", "pyspark", "setuptools", "snowpark-connect-deps-iceberg")
#: What pip says where a registry is not reached, or has no such package.
_NOT_HAD = "No matching distribution found"

_JACKSON_JARS = ("jackson-annotations", "jackson-core", "jackson-databind")
_JACKSON = "com/fasterxml/jackson"
_SHADED = f"org/apache/iceberg/shaded/{_JACKSON}"

#: Of the constants of a class file (JVM specification, 4.4): bytes after the tag, by the tag.
_CONSTANT_SIZES = {
    3: 4,
    4: 4,
    5: 8,
    6: 8,
    7: 2,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 4,
    15: 3,
    16: 2,
    17: 4,
    18: 4,
    19: 2,
    20: 2,
}
_TEXT, _TWO_PLACES = 1, (5, 6)


@contextmanager
def iceberg_session(catalog: str = "hive") -> Generator[Cluster, None, None]:
    """Describe a local Spark 3.5 with Iceberg tables.

    Args:
        catalog: ``hive`` and ``hadoop`` are the session's own catalog, with Iceberg tables beside others, which the
            metastore or the folders themselves tell of; ``own`` is one of Iceberg tables only, in the metastore.
    """
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="dbt-triton-iceberg-") as name:
        folder = Path(name)
        settings = {
            **driver_settings(folder),
            "spark.master": "local[2]",
            "spark.driver.extraClassPath": ":".join(map(str, _jars(programs))),
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            # A metastore that Spark has made on Derby lacks the tables of Hive's locks: a commit would wait for them.
            "spark.hadoop.iceberg.engine.hive.lock-enabled": "false",
        }
        if catalog == "own":
            settings["spark.sql.defaultCatalog"] = "lake"
            settings["spark.sql.catalog.lake"] = "org.apache.iceberg.spark.SparkCatalog"
            settings["spark.sql.catalog.lake.type"] = "hive"
            # Nobody has made the metastore when Iceberg asks for it.
            settings["spark.hadoop.datanucleus.schema.autoCreateAll"] = "true"
            settings["spark.hadoop.hive.metastore.schema.verification"] = "false"
        else:
            settings["spark.sql.catalog.spark_catalog"] = "org.apache.iceberg.spark.SparkSessionCatalog"
            settings["spark.sql.catalog.spark_catalog.type"] = catalog
        if catalog == "hadoop":
            settings["spark.sql.catalog.spark_catalog.warehouse"] = str(folder / "warehouse")
        variables = {
            "SPARK_CONF_DIR": str(write_settings(folder, settings)),
            "PYSPARK_PYTHON": str(programs / "python"),
            "PYTHONPATH": os.environ.get("PYTHONPATH", str(REPOSITORY)),
        }
        yield Cluster("local[2]", folder, variables, programs)


def _programs() -> Path:
    """Make the environment, or use it as it is; skip the test where its packages cannot be had."""
    product = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    try:
        return environment(
            "spark-3.5", _CONSTRAINTS.read_text() + repr(product), ("-c", str(_CONSTRAINTS), *_REQUIREMENTS, *product)
        )
    except AssertionError as error:
        if _NOT_HAD in str(error):
            pytest.skip(f"the packages of {_CONSTRAINTS.name} cannot be had here: {str(error)[-500:]}")
        raise


def _jars(programs: Path) -> tuple[Path, Path]:
    """Return Iceberg's jar, and the one with Jackson under Iceberg's name, which is made once."""
    packages = programs.parent / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (runtime,) = (packages / "snowpark_connect_deps_iceberg" / "jars").glob("iceberg-spark-runtime-3.5_2.12-*.jar")
    jackson = programs.parent / "iceberg-jackson.jar"
    if not jackson.exists():
        made = jackson.with_suffix(f".{os.getpid()}")
        write_shaded([next((packages / "pyspark" / "jars").glob(f"{jar}-2.*.jar")) for jar in _JACKSON_JARS], made)
        made.replace(jackson)
    return runtime, jackson


def write_shaded(jars: list[Path], target: Path) -> None:
    """Write Jackson's classes of some jars into one jar, under the name that Iceberg has for them."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as shaded:
        for jar in jars:
            with zipfile.ZipFile(jar) as plain:
                for name in plain.namelist():
                    if name.startswith(_JACKSON) and name.endswith(".class"):
                        shaded.writestr(name.replace(_JACKSON, _SHADED, 1), renamed(plain.read(name)))


def renamed(class_file: bytes) -> bytes:
    """Return a class file in which each text that names Jackson's package, with / or with dots, has Iceberg's name."""
    count = struct.unpack_from(">H", class_file, 8)[0]
    parts, end = [class_file[:10]], 10
    for start, end in _constants(class_file, count):
        constant = class_file[start:end]
        if constant[0] == _TEXT:
            text = constant[3:]
            for separator in ("/", "."):
                old, new = (name.replace("/", separator).encode() for name in (_JACKSON, _SHADED))
                text = text.replace(old, new)
            constant = constant[:1] + struct.pack(">H", len(text)) + text
        parts.append(constant)
    return b"".join([*parts, class_file[end:]])


def _constants(class_file: bytes, count: int) -> Iterator[tuple[int, int]]:
    """Yield where each constant starts and ends; there are ``count - 1`` places for them."""
    position, place = 10, 1
    while place < count:
        tag = class_file[position]
        size = 2 + struct.unpack_from(">H", class_file, position + 1)[0] if tag == _TEXT else _CONSTANT_SIZES[tag]
        yield position, position + 1 + size
        position += 1 + size
        place += 2 if tag in _TWO_PLACES else 1
