"""A real build that is watched: dbt and a real Triton in one trace, the file for Prometheus, and logs as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.dbt import DbtProject, DbtResult
from support.otlp import Collector, ReceivedSpan
from support.triton import MODELS

from dbt_triton.server import TritonServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("hooks are told by the same code; tests/unit/test_observed_tasks.py has Spark's tasks"),
]

ROWS, BATCH = 60, 10
TRACE, PARENT = "ab" * 16, "cd" * 8
TOKEN = "token-that-nobody-may-read"  # noqa: S105 - made up
_PYTHON_MODEL = """
import dbt_triton

def model(dbt, session):
    return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "review")
"""


@dataclass(frozen=True)
class Watched:
    """What a build has left."""

    result: DbtResult
    spans: list[ReceivedSpan]
    metrics: set[str]
    file: Path
    invocation_id: str

    def named(self, start: str) -> list[ReceivedSpan]:
        """Return the spans whose name begins so."""
        return [span for span in self.spans if span.name.startswith(start)]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Generator[Watched]:
    """Build once, with a collector for dbt and for Triton."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(MODELS / "upper", folder / "models" / "upper")
    with Collector() as collector:
        traced = ["mode=opentelemetry", f"opentelemetry,url={collector.url}/v1/traces", "rate=1", "level=TIMESTAMPS"]
        traced.append("opentelemetry,bsp_schedule_delay=100")
        arguments = [part for setting in traced for part in ("--trace-config", setting)]
        with TritonServer(folder / "models", extra_args=arguments) as triton:
            project = DbtProject(folder / "project", threads=2)
            project.write("seeds/reviews.csv", "id,review\n" + "".join(f"{n},private-{n}\n" for n in range(ROWS)))
            options = {"batch_size": str(BATCH), "auth_token": "${SHOP_TOKEN}"}
            project.inference_model("upper", triton.url, "upper", **options)
            project.model(
                "predicted",
                "{{ config(materialized='ml_predict') }} select id, output from "
                "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('upper') }}, DESCRIPTOR(review))",
            )
            project.write("models/in_python.py", _PYTHON_MODEL)
            result = project.build(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                TRACEPARENT=f"00-{TRACE}-{PARENT}-01",
                DBT_TRITON_PROMETHEUS_FILE=str(folder / "dbt_triton.prom"),
                DBT_TRITON_LOG="debug",
                DBT_TRITON_LOG_FORMAT="json",
                SHOP_TOKEN=TOKEN,
            )
            requests = 2 * ROWS // BATCH
            collector.wait_for(lambda spans: sum(span.name == "InferRequest" for span in spans) >= requests)
        metrics = {metric.name for metric in collector.metrics}
        said = json.loads((project.root / "target" / "run_results.json").read_text())["metadata"]["invocation_id"]
        yield Watched(result, collector.spans, metrics, folder / "dbt_triton.prom", said)


def test_one_trace_from_the_orchestrator_to_the_model(watched: Watched) -> None:
    """The spans are run > call > request > what Triton did of it, all in the trace that started dbt."""
    (run,) = watched.named("dbt build")
    calls, requests, served = (watched.named(start) for start in ("ML_PREDICT upper", "POST ", "InferRequest"))
    assert {span.trace_id for span in watched.spans} == {TRACE}
    assert run.parent_id == PARENT
    assert run.attributes["dbt_triton.invocation_id"] == watched.invocation_id
    assert {span.attributes["dbt_triton.node"] for span in calls} == {"model.shop.predicted", "model.shop.in_python"}
    assert {span.parent_id for span in calls} == {run.span_id}
    assert len(requests) == 2 * ROWS // BATCH
    assert {span.parent_id for span in requests} == {span.span_id for span in calls}
    assert sorted(span.parent_id for span in served) == sorted(span.span_id for span in requests)
    assert run.start <= min(span.start for span in calls)
    assert run.end >= max(span.end for span in calls)
    assert not any(span.is_error for span in (run, *calls, *requests))


def test_figures_are_those_of_the_run(watched: Watched) -> None:
    """A call's span, the file and dbt's own figures say the same."""
    figures = watched.result.figures("predicted")
    (call,) = [span for span in watched.named("ML_PREDICT") if span.attributes["dbt_triton.node"].endswith("predicted")]
    assert call.attributes["dbt_triton.rows.predicted"] == figures["rows_predicted"] == ROWS
    assert call.attributes["dbt_triton.requests"] == figures["requests"]
    assert call.attributes["dbt_triton.bytes.sent"] == figures["bytes_sent"]
    assert call.attributes["dbt_triton.bytes.received"] == figures["bytes_received"]
    samples = [one for family in text_string_to_metric_families(watched.file.read_text()) for one in family.samples]
    rows = [one for one in samples if one.name == "dbt_triton_rows_total"]
    assert {one.labels["dbt_triton_node"]: one.value for one in rows} == {
        "model.shop.predicted": ROWS,
        "model.shop.in_python": ROWS,
    }
    (count,) = [one.value for one in samples if one.name == "http_client_request_duration_seconds_count"]
    assert count == 2 * ROWS // BATCH
    assert {"http.client.request.duration", "dbt_triton.rows", "dbt_triton.call.duration"} <= watched.metrics


def test_every_line_of_standard_error_is_json(watched: Watched) -> None:
    """Each line is an object that says the node, the invocation and the span; dbt's own output is as it was."""
    lines = [json.loads(line) for line in watched.result.errors.splitlines()]
    posts = [line for line in lines if line["message"].startswith("POST ")]
    assert len(posts) == 2 * ROWS // BATCH
    assert {line["invocation_id"] for line in posts} == {watched.invocation_id}
    assert {line["node"] for line in posts} == {"model.shop.predicted", "model.shop.in_python"}
    assert {line["model"] for line in posts} == {"upper"}
    assert {line["trace_id"] for line in posts} == {TRACE}
    assert {line["span_id"] for line in posts} == {span.span_id for span in watched.named("POST ")}
    assert "Completed successfully" in watched.result.output


def test_no_row_and_no_secret_is_told(watched: Watched) -> None:
    """No text of a row, in either direction, and no token is in a span, a metric or a log."""
    everything = repr(watched.spans) + watched.file.read_text() + watched.result.errors
    for text in ("private-1", "PRIVATE-1", TOKEN):
        assert text not in everything
