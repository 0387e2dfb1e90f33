"""Prefect, with prefect-dbt: the example's flow."""

from __future__ import annotations

import shutil
from subprocess import CompletedProcess

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


@pytest.fixture(scope="module")
def second(first: CompletedProcess[str], example: Example) -> CompletedProcess[str]:
    """The same flow once more: the server has a new version of a model, and one more model of dbt cannot be built."""
    assert first.returncode == 0, first.stdout[-5000:] + first.stderr[-5000:]
    assert example.query("select shouted from guarded where id = 1") == [("FINE",)]
    repository = example.server.model_repository / "upper"
    shutil.copytree(repository / "1", repository / "2")
    source = (repository / "2" / "model.py").read_text()
    assert "text.upper()" in source
    (repository / "2" / "model.py").write_text(source.replace("text.upper()", "text.title()"))
    example.server.stop()
    example.server.start()
    return _run(example, STRICT="yes")


def test_flow_builds_the_project(first: CompletedProcess[str], example: Example) -> None:
    """The flow ends well, though a row failed that may, and the tables are in the warehouse."""
    assert first.returncode == 0, first.stdout[-5000:] + first.stderr[-5000:]
    assert example.query("select count(*), count(predicted_sentiment) from classified_snippets") == [(10605, 10605)]
    assert example.query("select count(*) from guarded where ml_error is not null") == [(1,)]


def test_nothing_hides_a_new_version_of_the_model(second: CompletedProcess[str], example: Example) -> None:
    """When the server has a new version, the same flow, with nothing edited, predicts with it."""
    assert example.query("select shouted from guarded where id = 1") == [("Fine",)], second.stdout[-5000:]


def test_failed_row_fails_the_flow_where_the_model_says_so(second: CompletedProcess[str]) -> None:
    """With on-error = fail the flow fails, with our message."""
    assert second.returncode != 0
    assert "the model refuses REFUSE this" in second.stdout + second.stderr
