"""Columns that differ by their case only, as a session of Spark has them that tells them apart."""

from __future__ import annotations

import pytest

from dbt_triton.step.call_inputs import CallInputs
from dbt_triton.warehouses.spark.dialect import SparkDialect


def _inputs(*names: str) -> CallInputs:
    return CallInputs([(name, "string") for name in names], SparkDialect(), "line 1", [])


@pytest.mark.parametrize("written", ["text", "TEXT"])
def test_a_name_that_is_written_as_it_is_means_that_column(written: str) -> None:
    """Whatever stands behind it, the column that is sent is the one that the user wrote."""
    inputs = _inputs("id", "text", "TEXT")
    assert inputs.column(written) == written
    assert inputs.problems == []


def test_a_name_that_may_be_two_columns_is_a_problem() -> None:
    """None of the two is taken by chance."""
    inputs = _inputs("text", "TEXT")
    inputs.column("Text", "order-by")
    assert inputs.problems == ["line 1, order-by: Text may be text or TEXT, columns of the input; write which"]


def test_a_name_in_another_case_means_the_only_column_of_it() -> None:
    """SQL does not tell them apart, and neither do we."""
    inputs = _inputs("id", "Text")
    assert inputs.column("TEXT") == "Text"
    assert inputs.problems == []
