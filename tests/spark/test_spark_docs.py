"""The files that docs/spark.md ("spark.md") shows, as they stand."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from support.dbt import REPOSITORY
from support.spark import SparkProject

from dbt_triton.warehouses.spark.shipping import NEEDED

PAGE = (REPOSITORY / "docs" / "spark.md").read_text(encoding="utf-8")
_FILES = re.compile(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_files_of_the_page(spark_project: SparkProject) -> None:
    """The profile and the Python model of the page build as they are shown."""
    files = dict(_FILES.findall(PAGE))
    assert files.keys() == {"profiles.yml", "models/long_reviews.py"}
    for path, text in files.items():
        spark_project.write(path, text)
    spark_project.schema = "shop"
    reviews = "select 1 as id, 'good' as review union all select 2, 'a review of more than twenty characters'"
    spark_project.model("reviews", f"{{{{ config(materialized='table') }}}}\n{reviews}")
    spark_project.build()
    assert spark_project.query("select id from long_reviews") == [(2,)]


def test_versions_of_the_page() -> None:
    """The versions that the page names are those that are declared and looked for."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    dbt_spark, pyspark = (Requirement(line).specifier for line in extras["spark"])
    lowest = [next(bound.version for bound in bounds if bound.operator == ">=") for bounds in (dbt_spark, pyspark)]
    assert f"dbt-spark {lowest[0]} or newer" in PAGE
    assert f"pyspark {lowest[1]} to" in PAGE
    for name, version in NEEDED.items():
        assert f"{name} {version}" in " ".join(PAGE.split())
