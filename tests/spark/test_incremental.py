"""Incremental predicting models on Spark."""

from __future__ import annotations

from typing import Any

import pytest
from support.spark import SparkProject
from support.spark_macros import FakeSteps, model_config, steps

__all__ = ["steps"]
DAYS = "select 1 as id, 'a' as day union all select 2, 'b'"


def _rows(project: SparkProject) -> list[tuple[Any, ...]]:
    return sorted(project.query("select * from predicted"))


def test_append(spark_project: SparkProject, steps: FakeSteps) -> None:
    """What is new in the input is added, by a SELECT that reads its own table; --full-refresh makes the table anew."""
    new = "{% if dbt_triton.is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}"
    for rows in (3, 5):
        spark_project.model(
            "predicted",
            model_config(incremental_strategy="append") + f"select id from (select id from range({rows})) {new}",
        )
        result = spark_project.build()
    assert result.results["predicted"]["adapter_response"]["rows_affected"] == 2
    assert _rows(spark_project) == [(number,) for number in range(5)]
    assert steps.arguments("predict")["target"] is None
    steps.left["predict"] = {"build_sql": "select raise_error('out of luck') as id"}
    spark_project.fails()
    assert _rows(spark_project) == [(number,) for number in range(5)]
    steps.left["predict"] = {"build_sql": "select 9L as id"}
    spark_project.build("--full-refresh")
    assert _rows(spark_project) == [(9,)]
    assert spark_project.relations() == {"predicted"}


def test_insert_overwrite(spark_project: SparkProject, steps: FakeSteps) -> None:
    """Partitions that have new rows are replaced, the others stay, and the session overwrites as it did before."""
    assert steps.calls == []
    config = model_config(incremental_strategy="insert_overwrite", partition_by=["day"])
    for sql in (DAYS, "select 3 as id, 'b' as day union all select 4, 'c'"):
        spark_project.model("predicted", config + sql)
        spark_project.build()
    assert _rows(spark_project) == [(1, "a"), (3, "b"), (4, "c")]
    assert spark_project.spark.conf.get("spark.sql.sources.partitionOverwriteMode").lower() == "static"
    spark_project.model("predicted", f"{config} select raise_error('out of luck') as id, 'a' as day")
    spark_project.fails()
    assert _rows(spark_project) == [(1, "a"), (3, "b"), (4, "c")]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"incremental_strategy": "merge", "unique_key": "id"}, "incremental_strategy='merge' needs a file_format"),
        ({"unique_key": "id"}, "unique_key, which means merge, needs a file_format that Spark can change rows of"),
        ({"incremental_strategy": "delete+insert", "unique_key": "id"}, "is not one of dbt-spark, which has append"),
        ({"incremental_strategy": "insert_overwrite"}, "needs partition_by"),
        ({"incremental_strategy": "insert_overwrite", "partition_by": "day", "file_format": "iceberg"}, "statically"),
        ({"incremental_strategy": "microbatch"}, "cannot work with materialized='ml_predict'"),
    ],
)
def test_refused_strategies(spark_project: SparkProject, steps: FakeSteps, config: dict[str, Any], said: str) -> None:
    """A strategy that Spark has not, or not for such a table, is one sentence before anything is done."""
    spark_project.model("predicted", model_config(**config) + DAYS)
    assert said in spark_project.fails().message("predicted")
    assert steps.calls == []


def test_schema_changes(spark_project: SparkProject, steps: FakeSteps) -> None:
    """on_schema_change is dbt-spark's own: columns are added, or ignored, or refused before a row is added."""
    assert steps.calls == []
    for change, rows in (
        ("append_new_columns", [(1, None), (1, "x")]),
        ("ignore", [(1,), (1,)]),
        ("fail", [(1,)]),
    ):
        config = model_config(incremental_strategy="append", on_schema_change=change)
        spark_project.model("predicted", f"{config} select 1 as id")
        spark_project.build("--full-refresh")
        spark_project.model("predicted", f"{config} select 1 as id, 'x' as more")
        assert (spark_project.dbt("build").code == 0) == (change != "fail")
        assert (
            sorted(spark_project.query("select * from predicted"), key=str) == rows
            or sorted(spark_project.query("select * from predicted"), key=str, reverse=True) == rows
        )
