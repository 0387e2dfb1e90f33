"""`dbt-triton report` on Spark: the run log is read there, too, with the same rows on the page."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta

import pytest
from support.spark import SparkProject
from support.upper_server import upper_server

from dbt_triton.report.page import page
from dbt_triton.report.read import RunLog, read_run_log

_REVIEWS = "select id, concat('review ', id % 4) as review from range(0, 10) as t(id)"
_CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('classifier') }}, DESCRIPTOR(review))"


@pytest.fixture(scope="module")
def read(module_project: Callable[[], SparkProject]) -> Generator[Callable[..., RunLog]]:
    """Reads the run log of a project that was built once."""
    with upper_server() as server:
        project = module_project()
        project.model("reviews", "{{ config(materialized='table') }} " + _REVIEWS)
        project.inference_model("classifier", server.url, "upper", binary_data="false")
        project.model("predicted", "{{ config(materialized='ml_predict') }} select * from " + _CALL)
        assert project.dbt("build").code == 0
        arguments = ["--project-dir", str(project.root), "--profiles-dir", str(project.root)]
        since = datetime.now(UTC) - timedelta(hours=1)
        yield lambda node=None, more=(): read_run_log([*arguments, *more], since, node)


def test_run_on_the_page(read: Callable[..., RunLog]) -> None:
    """What a build on Spark has written is read by its adapter: figures, times and profiles."""
    log = read()
    (row,) = log.rows
    assert (row.node, row.outcome, row.rows, row.distinct_rows) == ("model.shop.predicted", "succeeded", 10, 4)
    assert row.started_at is not None
    assert abs(datetime.now(UTC) - row.started_at) < timedelta(minutes=15)
    assert row.predicted is not None
    assert set(row.predicted) == {"output"}
    assert page(log, datetime.now(UTC)).headline.text == "All well: the last run made its prediction"


def test_choices(read: Callable[..., RunLog]) -> None:
    """A name narrows it, and a table that is not there is said, as on DuckDB."""
    assert len(read("Predicted").rows) == 1
    assert list(read("predicte_").rows) == []
    assert not read(more=["--vars", "{dbt_triton_runs_name: no_such_table}"]).exists
