"""Prefect, with prefect-dbt: the example's flow."""

from __future__ import annotations

import shutil
from subprocess import CompletedProcess

import httpx
import pytest

from .conftest import Example
from .environments import programs_of

# The server that Prefect starts for a flow alone is slow to start on a busy machine.
SETTINGS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
}


@pytest.fixture(scope="module")
def first(example: Example) -> CompletedProcess[str]:
    """The first run of the flow."""
    return _run(example)


def _run(example: Example, **environment: str) -> CompletedProcess[str]:
    return example.run(programs_of("prefect"), "python", "orchestration/prefect_flow.py", **SETTINGS, **environment)


def _served_rows(example: Example, model: str) -> int:
    """Return how many rows the server has predicted with a model."""
    text = httpx.get(example.server.metrics_url, trust_env=False).text
    lines = [line for line in text.splitlines() if line.startswith("nv_inference_count{") and f'"{model}"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def test_flow_builds_the_project(first: CompletedProcess[str], example: Example) -> None:
    """The flow ends well, though a row failed that may, and the tables are in the warehouse."""
    assert first.returncode == 0, first.stdout[-5000:] + first.stderr[-5000:]
    assert example.query("select count(*), count(predicted_sentiment) from classified_snippets") == [(10605, 10605)]
    assert example.query("select count(*) from guarded where ml_error is not null") == [(1,)]


def test_nothing_hides_a_new_version_of_the_model(first: CompletedProcess[str], example: Example) -> None:
    """When the server has a new version, the same flow, with nothing edited, predicts with it."""
    assert first.returncode == 0
    repository = example.server.model_repository / "upper"
    before = example.query("select shouted from guarded where id = 1")
    assert before == [("FINE",)]
    shutil.copytree(repository / "1", repository / "2")
    source = (repository / "2" / "model.py").read_text()
    assert "text.upper()" in source
    (repository / "2" / "model.py").write_text(source.replace("text.upper()", "text.title()"))
    example.server.stop()
    example.server.start()
    second = _run(example)
    assert second.returncode == 0, second.stdout[-5000:] + second.stderr[-5000:]
    assert example.query("select shouted from guarded where id = 1") == [("Fine",)]
    assert _served_rows(example, "movie-review-sentiment") > 0


def test_failed_row_fails_the_flow_where_the_model_says_so(first: CompletedProcess[str], example: Example) -> None:
    """With on-error = fail the flow fails, with our message."""
    assert first.returncode == 0
    failed = _run(example, STRICT="yes")
    assert failed.returncode != 0
    assert "the model refuses REFUSE this" in failed.stdout + failed.stderr
