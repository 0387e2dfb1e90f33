"""A task of Spark that is watched, without Spark: its spans are within the driver's call, and leave its process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.otlp import Collector
from support.waves import FakeTriton, refused
from unit.test_spark_bridge import TEXTS, _batches, _model, _rows, _task

from dbt_triton import instrumentation
from dbt_triton.instrumentation import Call, call_for_tasks, call_observed, setup
from dbt_triton.warehouses.spark.bridge import run_task

CALL = Call("model.shop.n", 1, "m", "m", "latest", ("http://h",), "spark", "an-invocation")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Collector]:
    """Listen, and let the environment of this process turn both instrumentations on."""
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    with Collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv(setup.PROMETHEUS_FILE, str(tmp_path / "dbt_triton.prom"))
        setup.turn_on()
        yield found
        setup.turn_off()


def test_task_goes_on_from_the_call(collector: Collector, tmp_path: Path) -> None:
    """Requests are within the task, the task within the driver's call; a row that failed is counted by its reason."""
    fake = FakeTriton(lambda rows, _n: refused(400, "bad text 7") if "text 7" in rows else None)
    with call_observed(lambda: CALL) as calling:
        told = pickle.loads(pickle.dumps(call_for_tasks()))  # noqa: S301 - as Spark ships it
        with fake.serving() as url:
            rows, figures = _rows(run_task(_task(_model(url), call=told), _batches(TEXTS)))
        calling.end.predicted = figures.stats.rows
    assert len(rows) == len(TEXTS)
    instrumentation.flush(5.0)
    collector.wait_for(lambda spans: any(span.name == "ML_PREDICT m" for span in spans))
    (call,) = [span for span in collector.spans if span.name == "ML_PREDICT m"]
    (task,) = [span for span in collector.spans if span.name == "ML_PREDICT m task"]
    requests = [span for span in collector.spans if span.name.startswith("POST")]
    assert (task.parent_id, task.attributes["dbt_triton.spark.task"]) == (call.span_id, 0)
    assert len(requests) == figures.stats.requests == task.attributes["dbt_triton.requests"]
    assert {span.parent_id for span in requests} == {task.span_id}
    assert task.attributes["dbt_triton.rows.failed.refused"] == 1
    text = (tmp_path / "dbt_triton.prom").read_text()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    rows_of = {
        one.labels["dbt_triton_row_outcome"]: one.value for one in samples if one.name == "dbt_triton_rows_total"
    }
    assert rows_of == {"predicted": 94, "failed": 1}
    assert sum(one.value for one in samples if one.name.endswith("request_duration_seconds_count")) == len(requests)


def test_spans_of_a_task_are_there_when_it_ends(collector: Collector) -> None:
    """Spark ends its workers without a word: what a task has to tell is with the collector by its end."""
    with call_observed(lambda: CALL):
        told = call_for_tasks()
        with FakeTriton().serving() as url:
            _rows(run_task(_task(_model(url), call=told), _batches(TEXTS)))
        assert "ML_PREDICT m task" in {span.name for span in collector.spans}


def test_a_task_that_nobody_watches_says_nothing(collector: Collector) -> None:
    """Where the driver is not watched, its tasks are not either, and nothing of them is exported."""
    setup.turn_off()
    with FakeTriton().serving() as url:
        rows, _ = _rows(run_task(_task(_model(url), call=call_for_tasks()), _batches(TEXTS)))
    assert len(rows) == len(TEXTS)
    assert collector.spans == []
