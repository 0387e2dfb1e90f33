"""A dbt project on Spark with every door, against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator

import pytest
from support.dbt import DbtResult
from support.spark import SparkProject
from support.triton import Triton

_REVIEWS = "select * from values (1, 'fine'), (2, 'dull'), (3, null), (4, 'it''s'), (5, 'fine') as t(id, review)"
_CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('upper_') }}, DESCRIPTOR(review))"
_PYTHON = """
    import dbt_triton

    def model(dbt, session):
        dbt.config(materialized="table", submission_method="dbt_triton", file_format="parquet")
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper_"), "review")
"""
_LOUD = [(1, "FINE"), (2, "DULL"), (3, None), (4, "IT'S"), (5, "FINE")]


@pytest.fixture(scope="module")
def project(
    module_project: Callable[[], SparkProject], triton: Triton
) -> Generator[tuple[SparkProject, DbtResult, DbtResult]]:
    """A project that was built twice."""
    with triton.serving("upper") as upper:
        project = module_project()
        order = {"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}
        # A comment behind each statement, as some warehouses need it; what Spark reads as text to the end must bear it.
        comment = {
            "comment": "{{ node.name if node }} isn't; -- ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c))",
            "append": True,
        }
        settings = {
            "name": "shop",
            "version": "1.0.0",
            "profile": "shop",
            "dispatch": [order],
            "query-comment": comment,
        }
        project.write("dbt_project.yml", json.dumps(settings))
        project.model("reviews", "{{ config(materialized='table', file_format='parquet') }} " + _REVIEWS)
        project.inference_model("upper_", triton.url, upper, cache="persistent")
        project.model("loud", "{{ config(materialized='ml_predict') }} select id, output from " + _CALL)
        project.write("models/in_python.py", _PYTHON)
        yield project, project.build(), project.build()


def test_every_door(project: tuple[SparkProject, DbtResult, DbtResult]) -> None:
    """SQL and Python models give the same table, also in a project whose query comment stands behind each statement."""
    built, first, again = project
    for table in ("loud", "in_python"):
        assert built.query(f"select id, output from {table} order by id") == _LOUD, table
    assert first.figures("loud")["rows_predicted"] == 3
    assert again.figures("loud")["rows_predicted"] == 0
