"""How a table on Spark takes the place of the old one, and what a run that was killed leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.spark import SparkProject
from support.spark_macros import FakeSteps, model_config, steps

__all__ = ["steps"]
PREDICTED = model_config()
ROWS = "select 1 as id, 'glad' as mood union all select 2, 'sad'"
OLD_TIME, YOUNG_TIME = "20200101000000_abcd", "29990101000000_abcd"


@pytest.fixture
def project(spark_project: SparkProject, steps: FakeSteps) -> SparkProject:
    """A project with one predicting model, which is built."""
    assert steps.calls == []
    spark_project.model("predicted", PREDICTED + ROWS)
    spark_project.build()
    return spark_project


def _rows(project: SparkProject, table: str = "predicted") -> list[tuple[Any, ...]]:
    return sorted(project.query(f"select * from {table}"))


def _run(project: SparkProject, sql: str) -> None:
    project.spark.sql(sql.replace("$", f"{project.schema}."))


def _rows_of_files(folder: Path) -> int:
    files = [file for file in folder.rglob("*.parquet") if not file.name.startswith(".")]
    return sum(pq.read_metadata(file).num_rows for file in files)


def test_new_columns_and_rows(project: SparkProject) -> None:
    """A table is made anew, with other columns too, and nothing stands beside it afterwards."""
    project.model("predicted", PREDICTED + "select 3 as id, 0.5D as score")
    project.build()
    assert _rows(project) == [(3, 0.5)]
    assert project.relations() == {"predicted"}


def test_failing_query(project: SparkProject) -> None:
    """A query that fails while the table is made leaves the old table, and the next build is as if it had not been."""
    project.model("predicted", PREDICTED + "select raise_error('out of luck') as id")
    assert "out of luck" in project.fails().message("predicted")
    assert _rows(project) == [(1, "glad"), (2, "sad")]
    project.model("predicted", PREDICTED + "select 4 as id")
    project.build()
    assert _rows(project) == [(4,)]
    assert project.relations() == {"predicted"}


@pytest.mark.parametrize("old", [f"predicted__dbt_old_{YOUNG_TIME}", "predicted__dbt_old"])
def test_killed_between_the_renames(project: SparkProject, steps: FakeSteps, old: str) -> None:
    """A run that was killed between the renames costs nothing: the old table is back, whatever the next run does."""
    _run(project, f"alter table $predicted rename to ${old}")
    _run(project, f"create table $predicted__dbt_tmp_{OLD_TIME} using parquet as select 9 as id")
    steps.left["predict"] = {"error": "the server is away"}
    assert "the server is away" in project.fails().message("predicted")
    assert _rows(project) == [(1, "glad"), (2, "sad")]

    _run(project, f"alter table $predicted rename to ${old}")
    del steps.left["predict"]
    project.model("predicted", PREDICTED + "select 5 as id")
    assert "is the old one again" in project.build().output
    assert _rows(project) == [(5,)]
    assert project.relations() == {"predicted"}


def test_killed_run_of_an_incremental_model(project: SparkProject) -> None:
    """A model that was compiled as if its table were missing is made anew: the table that is back doubles no row."""
    project.model(
        "predicted",
        model_config(incremental_strategy="append") + "select * from (select 1 as id union all select 2) "
        "{% if dbt_triton.is_incremental() %} where id > 1 {% endif %}",
    )
    project.build("--full-refresh")
    _run(project, f"alter table $predicted rename to $predicted__dbt_old_{YOUNG_TIME}")
    project.build()
    assert _rows(project) == [(1,), (2,)]
    project.build()
    assert _rows(project) == [(1,), (2,), (2,)]


def test_what_killed_runs_leave(project: SparkProject) -> None:
    """Tables that killed runs have left are dropped; what another run may be about to use, and others' tables, stay."""
    stays = {
        "predicted",
        f"predicted__dbt_old_{YOUNG_TIME}",
        "predicted__dbt_tmp_mine",
        f"predicted2__dbt_tmp_{OLD_TIME}",
    }
    goes = {f"predicted__dbt_old_{OLD_TIME}", f"predicted__dbt_tmp_{OLD_TIME}", f"predicted__dbt_tmp_{YOUNG_TIME}"}
    for name in (stays | goes) - {"predicted"}:
        _run(project, f"create table ${name} using parquet as select 9 as id")
    project.build()
    assert project.relations() == stays
    assert _rows(project) == [(1, "glad"), (2, "sad")]


def test_view_in_the_way(project: SparkProject, steps: FakeSteps) -> None:
    """A view of the table's name gives way once the table is made, and stays where that fails."""
    _run(project, "drop table $predicted")
    _run(project, "create view $predicted as select 7 as id")
    steps.left["predict"] = {"build_sql": "select raise_error('out of luck') as id"}
    project.fails()
    assert _rows(project) == [(7,)]
    del steps.left["predict"]
    project.build()
    assert _rows(project) == [(1, "glad"), (2, "sad")]


def test_folder_in_the_way(spark_project: SparkProject, steps: FakeSteps) -> None:
    """The empty folder that a failed CREATE TABLE AS leaves is not in the way of a first build."""
    spark_project.model("predicted", "{{ config(materialized='table') }} select raise_error('no') as id")
    spark_project.fails()
    spark_project.model("predicted", PREDICTED + ROWS)
    spark_project.build()
    assert _rows(spark_project) == [(1, "glad"), (2, "sad")]
    assert "predict" in steps.names


def test_location_root(spark_project: SparkProject, steps: FakeSteps) -> None:
    """With a location_root, too, the old table is whole until the new one is; then its files go."""
    assert steps.calls == []
    folder = spark_project.root / "location"
    config = model_config(location_root=str(folder), partition_by="mood")
    for value in range(3):
        spark_project.model("predicted", f"{config} select {value} as id, 'glad' as mood")
        if value == 2:
            left = f"predicted__dbt_tmp_{OLD_TIME}"
            location = folder / left
            _run(spark_project, f"create table ${left} using parquet location '{location}' as select 9 as id")
        spark_project.build()
        assert _rows(spark_project) == [(value, "glad")]
    assert _rows_of_files(folder) == 1
    spark_project.model("predicted", f"{config} select raise_error('out of luck') as id, 'glad' as mood")
    spark_project.fails()
    assert _rows(spark_project) == [(2, "glad")]
    assert spark_project.relations() == {"predicted"}


def test_alias_in_capitals(spark_project: SparkProject, steps: FakeSteps) -> None:
    """An alias in capitals, which the catalog keeps in small letters, is found again."""
    assert steps.calls == []
    spark_project.model("predicted", model_config(alias="Predicted_Moods") + ROWS)
    for _ in range(2):
        spark_project.build()
    _run(spark_project, "alter table $predicted_moods rename to $predicted_moods__dbt_old")
    spark_project.build()
    assert _rows(spark_project, "predicted_moods") == [(1, "glad"), (2, "sad")]
    assert spark_project.relations() == {"predicted_moods"}


def test_without_a_file_format(project: SparkProject) -> None:
    """Without a file_format a table is of Spark's own format, also where it would be one of Hive's text (Spark 3.5)."""
    project.write("dbt_project.yml", '{"name": "shop", "version": "1.0.0", "profile": "shop"}')
    config = model_config(file_format=None)
    project.model("predicted", config + "select timestamp_ntz'2026-01-01 12:00:00' as t, '\\\\N' as text")
    project.spark.conf.set("spark.sql.legacy.createHiveTableByDefault", "true")
    try:
        project.build()
    finally:
        project.spark.conf.unset("spark.sql.legacy.createHiveTableByDefault")
    described = {row[0]: row[1] for row in project.query("describe extended predicted")}
    assert described["Provider"] == "parquet"
    assert project.query("select text from predicted") == [("\\N",)]
