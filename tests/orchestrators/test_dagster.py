"""Dagster, with dagster-dbt: the example's assets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.dbt import REPOSITORY

from .conftest import Example
from .environments import programs_of

RUNS = Path(__file__).parent / "dagster_runs.py"


@pytest.fixture(scope="module")
def told(example: Example) -> dict[str, Any]:
    """What Dagster recorded of two runs."""
    # `dagster dev` sets it, and the example parses the project then.
    done = example.run(programs_of("dagster"), "python", str(RUNS), DAGSTER_IS_DEV_CLI="1", STRICT="yes")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    result: dict[str, Any] = json.loads((example.root / "told.json").read_text())
    return result


def test_assets_materialize(told: dict[str, Any], example: Example) -> None:
    """Every node of the project is materialized, its data tests are asset checks, and the table is in the warehouse."""
    run = told["lenient"]
    assert run["success"], run["errors"]
    assert run["materialized"].keys() == told["lineage"].keys() - {"strict"}
    assert run["checks"] > 20
    assert run["failed_checks"] == []
    assert example.query("select count(*), count(predicted_sentiment) from classified_snippets") == [(10605, 10605)]


def test_lineage(told: dict[str, Any]) -> None:
    """The inference model is an asset upstream of what it predicts, beside the input."""
    assert told["lineage"]["classified_reviews"] == ["movie_reviews", "triton_sentiment_classifier"]
    assert told["lineage"]["review_accuracy"] == ["classified_snippets"]


def test_snippet_is_that_of_the_example() -> None:
    """The lines that docs/orchestrators.md shows are lines of the example that is run here."""
    page = (REPOSITORY / "docs" / "orchestrators.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(shown) == 1
    example = (REPOSITORY / "example_project" / "orchestration" / "dagster_assets.py").read_text(encoding="utf-8")
    lines = {line.strip() for line in example.splitlines()}
    assert [line for line in shown[0].splitlines() if line.strip() not in lines] == []


def test_figures(told: dict[str, Any]) -> None:
    """The figures of a prediction are metadata of its asset, and no others have any."""
    figures = told["lenient"]["materialized"]["classified_snippets"]
    assert figures["ml_predict/rows_predicted"] > 10_000
    assert figures["ml_predict/requests"] >= figures["ml_predict/rows_predicted"] / 64
    assert figures["ml_predict/rows_failed"] == 0
    assert told["lenient"]["materialized"]["review_accuracy"] == {}


def test_failed_row_is_no_failed_run(told: dict[str, Any]) -> None:
    """With on-error = null a failed row is a figure, and the run succeeds."""
    assert told["lenient"]["materialized"]["guarded"]["ml_predict/rows_failed"] == 1


def test_failed_row_fails_the_run_where_the_model_says_so(told: dict[str, Any]) -> None:
    """With on-error = fail the run fails, with our message, and what else was built is materialized all the same."""
    run = told["strict"]
    assert not run["success"]
    assert any("the model refuses REFUSE this" in error for error in run["errors"]), run["errors"]
    assert list(run["materialized"]) == ["refused"]
