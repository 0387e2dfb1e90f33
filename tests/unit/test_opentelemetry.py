"""Spans and metrics by OpenTelemetry: the tree, the names, the headers on the wire, and what never is in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from unit.http_server import Answer, RecordingServer
from unit.kserve import Kept, UpperModel, batches_of, run_engine
from unit.watching import CALL, on_a_loop

from dbt_triton import instrumentation
from dbt_triton.client import TritonClient
from dbt_triton.errors import InferenceError
from dbt_triton.instrumentation import Invocation, call_for_tasks, call_observed
from dbt_triton.instrumentation.measures import METRICS, Kind
from dbt_triton.instrumentation.opentelemetry import OpenTelemetryHook
from dbt_triton.instrumentation.providers import Providers
from dbt_triton.instrumentation.sampler import RequestsSampler, requests_sampler
from dbt_triton.options import parse_options

_TRACE, _PARENT = "ab" * 16, "cd" * 8


class Exported:
    """What a hook has exported to memory."""

    def __init__(self, sampler: Any = None) -> None:
        self._exporter = InMemorySpanExporter()
        tracers = TracerProvider(sampler=sampler)
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.hook = OpenTelemetryHook(Providers(tracers, MeterProvider([self._reader]), own=False))

    @property
    def spans(self) -> dict[str, list[ReadableSpan]]:
        """The spans by the first word of their names."""
        found: dict[str, list[ReadableSpan]] = {}
        for span in self._exporter.get_finished_spans():
            found.setdefault(span.name.split(" ")[0], []).append(span)
        return found

    @property
    def metrics(self) -> dict[str, list[Any]]:
        """The points of each metric."""
        data: Any = self._reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for of_resource in [] if data is None else data.resource_metrics:
            for of_scope in of_resource.scope_metrics:
                found |= {metric.name: list(metric.data.data_points) for metric in of_scope.metrics}
        return found


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the environment of the test run says."""
    for name in ("TRACEPARENT", "TRACESTATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Invocation, "_current", None)


@pytest.fixture
def exported() -> Iterator[Exported]:
    """Install a hook that exports to memory."""
    found = Exported()
    instrumentation.install(found.hook)
    yield found
    instrumentation.uninstall(found.hook)


async def send(server: RecordingServer, *bodies: bytes, **options: str) -> None:
    """Send requests, one after the other, as a client does."""
    raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "retry-initial-backoff": "1ms", **options}
    async with TritonClient(parse_options(raw, "m")) as client:
        for body in bodies or (b'{"a":1}',):
            await client.infer(body, None, rows=3)


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return None if span.parent is None else span.parent.span_id


@on_a_loop
async def test_tree_and_headers(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spans are run > call > request, in the trace that started dbt, and each attempt carries its own span."""
    monkeypatch.setenv("TRACEPARENT", f"00-{_TRACE}-{_PARENT}-01")
    began = time.time_ns() - 10**9
    Invocation("an-invocation", "build", began).begin()
    call = replace(CALL, invocation_id="an-invocation")
    async with RecordingServer(Answer(503), Answer(200)) as server:
        for number in (1, 2):
            with call_observed(lambda number=number: replace(call, number=number)):  # type: ignore[misc]
                await send(server)
        sent = [received.headers("traceparent") for received in server.received]
    exported.hook.invocation_ended("an-invocation", succeeded=False)
    (run,), calls, requests = (exported.spans[name] for name in ("dbt", "ML_PREDICT", "POST"))
    assert (run.name, parent_of(run), run.start_time) == ("dbt build", int(_PARENT, 16), began)
    assert run.status.status_code == StatusCode.ERROR
    assert [parent_of(span) for span in calls] == [run.context.span_id] * 2
    assert [parent_of(span) for span in requests] == [calls[0].context.span_id] * 2 + [calls[1].context.span_id]
    assert {span.context.trace_id for span in (run, *calls, *requests)} == {int(_TRACE, 16)}
    ids = [f"{span.context.span_id:016x}" for span in requests]
    assert [[one.split("-")[1:3] for one in values] for values in sent] == [[[_TRACE, one]] for one in ids]


@on_a_loop
async def test_request_has_semantic_names(exported: Exported) -> None:
    """Spans and times of requests have the names that every dashboard for HTTP knows, an error its type."""
    async with RecordingServer(Answer(503, headers={"Retry-After": "0"}), Answer(200)) as server:
        with call_observed(lambda: CALL):
            await send(server, **{"model-version": "2"})
        port = int(server.url.rpartition(":")[2])
    failed, well = exported.spans["POST"]
    assert failed.kind == SpanKind.CLIENT
    assert failed.name == "POST /v2/models/{model}/versions/{version}/infer"
    of_both = {
        "http.request.method": "POST",
        "url.full": f"http://127.0.0.1:{port}/v2/models/m/versions/2/infer",
        "url.template": "/v2/models/{model}/versions/{version}/infer",
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.protocol.version": "1.1",
        "http.request.body.size": 7,
        "dbt_triton.inference_model": "classifier",
        "dbt_triton.model.name": "m",
        "dbt_triton.request.rows": 3,
    }
    of_failed = {"http.response.status_code": 503, "http.response.body.size": 0, "error.type": "503"}
    assert dict(failed.attributes or {}) == of_both | of_failed | {"dbt_triton.reason": "unavailable"}
    of_well = {"http.response.status_code": 200, "http.response.body.size": 2, "http.request.resend_count": 1}
    assert dict(well.attributes or {}) == of_both | of_well
    assert [span.status.status_code for span in (failed, well)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert [event.name for event in failed.events] == ["dbt_triton.retry_after"]
    points = exported.metrics["http.client.request.duration"]
    assert {point.attributes["http.response.status_code"]: point.count for point in points} == {503: 1, 200: 1}
    bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert {tuple(point.explicit_bounds) for point in points} == {bounds}
    assert [point.value for point in exported.metrics["dbt_triton.request.retries"]] == [1]


@on_a_loop
async def test_language_models_have_theirs(exported: Exported) -> None:
    """A request of a language model is also one by the conventions of generative models; no prompt is in it."""
    stream = b'data: {"text_output":"an answer"}\n\n'
    async with RecordingServer(Answer(200, stream, {"Content-Type": "text/event-stream"})) as server:
        raw = {"provider": "triton", "endpoint": server.url, "model-name": "llama"}
        with call_observed(lambda: CALL):
            async with TritonClient(parse_options(raw, "m"), route="generate") as client:
                await client.infer(b'{"text_input":"a prompt"}', None)
    (span,) = exported.spans["POST"]
    found = dict(span.attributes or {})
    assert found["gen_ai.operation.name"] == "text_completion"
    assert found["gen_ai.request.model"] == "llama"
    (point,) = exported.metrics["gen_ai.client.operation.duration"]
    assert point.attributes["gen_ai.provider.name"] == "triton"
    assert "a prompt" not in span.to_json()
    assert "an answer" not in span.to_json()


@on_a_loop
async def test_call_says_what_came_of_it(exported: Exported) -> None:
    """The span of a call has its rows by what came of them, its splits, and events; metrics have the same."""
    secret = "a row nobody may read"  # noqa: S105 - what a user's row may be
    model = UpperModel(judge=lambda texts: (400, f"cannot read {secret}") if secret in texts else None)
    with call_observed(lambda: CALL) as calling:
        await run_engine(model, batches_of(["a", secret, "b", "c"]), Kept())
        calling.end.rows, calling.end.reused = 9, 5
    (call,) = exported.spans["ML_PREDICT"]
    found = dict(call.attributes or {})
    assert found["db.system.name"] == "duckdb"
    assert (found["dbt_triton.node"], found["dbt_triton.call"]) == ("model.shop.n", 1)
    wanted = {"rows": 9, "rows.predicted": 3, "rows.reused": 5, "rows.failed": 1, "rows.failed.refused": 1}
    wanted |= {"requests": 5, "request.splits": 2, "retries": 0}
    assert {name: found[f"dbt_triton.{name}"] for name in wanted} == wanted
    assert [event.name for event in call.events] == ["dbt_triton.request.split"] * 2
    rows = {
        (point.attributes["dbt_triton.row.outcome"], point.attributes.get("error.type")): point.value
        for point in exported.metrics["dbt_triton.rows"]
    }
    assert rows == {("predicted", None): 3, ("reused", None): 5, ("failed", "refused"): 1}
    everything = "".join(span.to_json() for spans in exported.spans.values() for span in spans)
    assert secret not in everything + repr(exported.metrics)


def test_a_failed_call_has_a_type_and_no_text(exported: Exported) -> None:
    """A call that fails is an error by its reason; what was said of it is not in the span, since it may quote a row."""
    with pytest.raises(InferenceError), call_observed(lambda: CALL):
        raise InferenceError("the model says: my secret row")
    (call,) = exported.spans["ML_PREDICT"]
    assert call.status.status_code == StatusCode.ERROR
    assert dict(call.attributes or {})["error.type"] == "unavailable"
    assert "secret" not in call.to_json()
    (point,) = exported.metrics["dbt_triton.call.duration"]
    assert point.attributes["dbt_triton.call.outcome"] == "failed"
    assert "dbt_triton.call.last.success.time" not in exported.metrics


def test_a_task_of_another_process_goes_on(exported: Exported) -> None:
    """What a task of Spark does is within the call of the driver, by what the driver hands on."""
    with call_observed(lambda: CALL):
        told = call_for_tasks()
        assert told is not None
    with call_observed(lambda: replace(told, task=3)):
        pass
    call, task = exported.spans["ML_PREDICT"]
    assert task.name == "ML_PREDICT classifier task"
    assert parent_of(task) == call.context.span_id
    assert len(exported.metrics["dbt_triton.call.duration"]) == 1


def test_a_span_of_the_caller_is_the_parent(exported: Exported) -> None:
    """Where the process has a span of its own, as within an orchestrator, a call belongs to it."""
    tracer = TracerProvider().get_tracer("orchestrator")
    with tracer.start_as_current_span("task") as outer, call_observed(lambda: CALL):
        assert trace.get_current_span() is not outer
    (call,) = exported.spans["ML_PREDICT"]
    assert parent_of(call) == outer.get_span_context().span_id


@on_a_loop
async def test_requests_in_parallel_are_told_apart(exported: Exported) -> None:
    """With many requests in flight, each answer ends its own span, and every span ends."""
    statuses = [503 if number % 5 == 0 else 200 for number in range(100)]
    async with RecordingServer(*(Answer(status) for status in statuses), Answer(200)) as server:
        raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "retry-initial-backoff": "1ms"}
        with call_observed(lambda: CALL):
            async with TritonClient(parse_options(raw, "m")) as client:
                await asyncio.gather(*(client.infer(b'{"a":1}', None) for _ in range(80)))
        sent = [received.headers("traceparent")[0].split("-")[2] for received in server.received]
    spans = exported.spans["POST"]
    assert sorted(f"{span.context.span_id:016x}" for span in spans) == sorted(sent)
    assert sum((span.attributes or {}).get("error.type") == "503" for span in spans) == statuses[:100].count(503)


@pytest.mark.parametrize(("ratio", "low", "high"), [("0", 0, 0), ("0.5", 60, 140), ("1", 200, 200), ("x", 200, 200)])
def test_sampler_keeps_a_part_of_the_requests(ratio: str, low: int, high: int) -> None:
    """The sampler thins out requests within a run, which is one trace, and keeps the run and its calls."""
    exported = Exported(requests_sampler(ratio))
    instrumentation.install(exported.hook)

    async def main() -> None:
        async with RecordingServer(Answer(200)) as server:
            with call_observed(lambda: CALL):
                await send(server, *[b"{}"] * 200)
            assert all(received.headers("traceparent") for received in server.received)

    try:
        asyncio.run(main())
    finally:
        instrumentation.uninstall(exported.hook)
    assert low <= len(exported.spans.get("POST", [])) <= high
    assert len(exported.spans["ML_PREDICT"]) == 1
    (point,) = exported.metrics["http.client.request.duration"]
    assert point.count == 200
    assert isinstance(requests_sampler(None), RequestsSampler)


def test_metrics_are_named_by_the_conventions() -> None:
    """A metric is under a convention's name, or ours; each has a unit and says what it is."""
    for metric in METRICS:
        assert metric.name.startswith(("http.client.", "gen_ai.client.", "dbt_triton."))
        assert metric.unit
        assert metric.help
        assert bool(metric.bounds) == (metric.kind == Kind.HISTOGRAM)
