"""Steps on Spark from end to end, against a real server."""

from __future__ import annotations

from typing import Any

import pytest
from support.spark_steps_session import SparkSteps
from support.triton import Triton


@pytest.fixture
def steps(spark: Any, schema: str) -> SparkSteps:
    """The steps of models in a schema of the test's own."""
    return SparkSteps(spark, schema)


def test_two_statements(steps: SparkSteps, triton: Triton) -> None:
    """CREATE MODEL and ML_PREDICT give a table with the predictions, equal inputs sent once, NULL not at all."""
    steps.table("reviews", "select * from values (1, 'fine'), (2, 'dull'), (3, null), (4, 'fine') as t(id, review)")
    with triton.serving("upper") as upper:
        _two(steps, triton, upper)


def _two(steps: SparkSteps, triton: Triton, upper: str) -> None:
    steps.create_model(
        "upper_", "INPUT (`input` STRING) OUTPUT (`output` STRING)", {"endpoint": triton.url, "model-name": upper}
    )
    rows = steps.build(
        "out", "select id, output from ML_PREDICT(TABLE reviews, MODEL upper_, DESCRIPTOR(review))", ["upper_"]
    )
    assert sorted(rows) == [(1, "FINE"), (2, "DULL"), (3, None), (4, "FINE")]
    assert steps.figures["rows"] == 4
    assert steps.figures["rows_predicted"] == 2
    counted = steps.dry_run(
        "select id, output from ML_PREDICT(TABLE reviews, MODEL upper_, DESCRIPTOR(review))", ["upper_"]
    )
    assert counted["to_send"] == 2
    assert counted["requests"] >= 1
