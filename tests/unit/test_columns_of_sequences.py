"""Columns of options that the input does not have, in the SQL of each warehouse."""

from __future__ import annotations

from typing import Any

import pytest
from support.waves import define

from dbt_triton.step.call_inputs import CallInputs
from dbt_triton.warehouses.duckdb.warehouse import DuckDBDialect
from dbt_triton.warehouses.spark.dialect import SparkDialect

_TYPES = {DuckDBDialect: "VARCHAR", SparkDialect: "string"}


@pytest.mark.parametrize("dialect", _TYPES)
@pytest.mark.parametrize("misspelt", [(), ("sequence-by",), ("order-by",), ("sequence-by", "order-by")], ids=str)
def test_a_misspelt_column_is_one_problem(dialect: Any, misspelt: tuple[str, ...]) -> None:
    """Each is told with the nearest column, and a dialect is asked for none that is not there."""
    right = {"sequence-by": "customer", "order-by": "at_second"}
    options = right | {option: right[option][:-1] for option in misspelt}
    model = define("INPUT (amount BIGINT) OUTPUT (total BIGINT)", {"endpoint": "http://t", "model-name": "m"} | options)
    inputs = CallInputs([(name, _TYPES[dialect]) for name in right.values()], dialect(), "line 1", [])
    made = {"sequence-by": inputs.sequence_by(model), "order-by": inputs.order_by(model)}
    assert [problem.split(" It has")[0] for problem in inputs.problems] == [
        f"line 1, {option}: the input has no column {options[option]}; did you mean {right[option]}?"
        for option in misspelt
    ]
    assert bool(made["sequence-by"]) == ("sequence-by" not in misspelt)
