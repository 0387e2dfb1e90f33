"""Spans and metrics by OpenTelemetry: run > call > request. Imported where OpenTelemetry is turned on.

A run is a command of dbt, a call one ML_PREDICT of a node, a request one attempt of it over HTTP, whose ``traceparent``
Triton goes on from. Attributes are those of the semantic conventions where there is one. No error text is among them: a
server's words may quote a row.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dbt_triton import __version__
from dbt_triton.instrumentation.hooks import AttemptEnd, Call, CallEnd, CallObserver, Request, Target
from dbt_triton.instrumentation.invocation import Invocation
from dbt_triton.instrumentation.measures import (
    ERROR,
    METRICS,
    MODEL,
    NODE,
    NUMBER,
    OUTCOME,
    Attributes,
    Kind,
    MeasuredAttempt,
    MeasuredCall,
    Metric,
    failure_of,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider

    from dbt_triton.instrumentation.providers import Providers

SCOPE = "dbt_triton"
_W3C = TraceContextTextMapPropagator()
#: Where orchestrators put the span that they start dbt from.
_VARIABLES = {"traceparent": "TRACEPARENT", "tracestate": "TRACESTATE"}
#: So many splits of requests are events of their call's span; all of them are counted.
_MOST_SPLITS = 20
_ERROR = Status(StatusCode.ERROR)


class OpenTelemetryHook:
    """Makes spans, and measures.

    Args:
        providers: of tracers and meters: those of the process, or our own.
    """

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider=providers.tracers)
        self._sink = None if providers.meters is None else OpenTelemetrySink(providers.meters)
        self._runs: dict[str, Span] = {}
        self._lock = threading.Lock()

    def call(self, call: Call) -> CallObserver:
        """Begin the span of a call, in that of its run."""
        measured = None if self._sink is None else MeasuredCall(call, self._sink)
        parent = _W3C.extract(call.parent) if call.parent else self._parent(call)
        return _CallObserver(call, self._tracer, parent, measured)

    def invocation_ended(self, invocation_id: str, *, succeeded: bool) -> None:
        """End the span of a run."""
        with self._lock:
            run = self._runs.pop(invocation_id, None)
        if run is not None:
            run.set_attribute("dbt_triton.run.outcome", "succeeded" if succeeded else "failed")
            if not succeeded:
                run.set_status(_ERROR)
            run.end()

    def flush(self, seconds: float) -> None:
        """Export what there is, within so many seconds."""
        self._providers.flush(seconds)

    def close(self) -> None:
        """End what has not ended, as in a process that is told to go, and export it where the providers are ours."""
        for invocation_id in list(self._runs):
            self.invocation_ended(invocation_id, succeeded=False)
        self._providers.close()

    def _parent(self, call: Call) -> Context:
        """Return where a call belongs: in the run of dbt, or where this thread or the environment says."""
        here = otel_context.get_current()
        if trace.get_current_span(here).get_span_context().is_valid:
            return here
        invocation = Invocation.current()
        if not call.invocation_id or call.invocation_id != invocation.id:
            return parent_of_process()
        with self._lock:
            run = self._runs.get(call.invocation_id)
            if run is None:
                run = self._runs[call.invocation_id] = self._begin_run(invocation)
        return trace.set_span_in_context(run)

    def _begin_run(self, invocation: Invocation) -> Span:
        """Begin the span of a run, which began before its first call did."""
        parent = invocation.context
        if parent is None or not trace.get_current_span(parent).get_span_context().is_valid:
            parent = parent_of_process()
        attributes = {"dbt_triton.invocation_id": invocation.id, "dbt_triton.dbt.command": invocation.command}
        name = f"dbt {invocation.command}".strip()
        return self._tracer.start_span(name, parent, attributes=attributes, start_time=invocation.started)


def parent_of_process() -> Context:
    """Return the span that this process was started from, as the environment says it."""
    carrier = {name: os.environ[variable] for name, variable in _VARIABLES.items() if variable in os.environ}
    return _W3C.extract(carrier, otel_context.Context())


class _CallObserver:
    """The span of a call, or of what a task of Spark does of one."""

    def __init__(self, call: Call, tracer: trace.Tracer, parent: Context, measured: MeasuredCall | None) -> None:
        self._call = call
        self._tracer = tracer
        self._measured = measured
        self._failed: dict[str, int] = {}
        self._counts = dict.fromkeys(("requests", "retries", "request.splits", "bytes.sent", "bytes.received"), 0)
        self._of_run: dict[str, int] = {}
        self._of_targets: dict[int, tuple[str, dict[str, Any]]] = {}
        attributes: dict[str, str | int] = {
            "db.system.name": call.system,
            NODE: call.node,
            NUMBER: call.number,
            MODEL: call.inference_model,
            "dbt_triton.model.name": call.model_name,
            "dbt_triton.model.version": call.model_version,
            "dbt_triton.endpoint": ", ".join(call.endpoints),
        }
        if call.invocation_id:
            attributes["dbt_triton.invocation_id"] = call.invocation_id
        name = f"ML_PREDICT {call.inference_model}"
        if call.task is not None:
            name, attributes["dbt_triton.spark.task"] = f"{name} task", call.task
        self._span = tracer.start_span(name, parent, attributes=attributes)
        self._context = trace.set_span_in_context(self._span, parent)
        self._token = otel_context.attach(self._context)

    def attempt(self, request: Request) -> _Attempt:
        """Begin the span of a request."""
        counts = self._counts
        counts["requests"] += 1
        counts["retries"] += request.resends > 0
        counts["bytes.sent"] += request.size
        found = self._of_targets.get(id(request.target))
        if found is None:
            found = self._of_targets[id(request.target)] = self._of_target(request.target)
        name, fixed = found
        attributes = {**fixed, "http.request.body.size": request.size, "dbt_triton.request.rows": request.rows}
        if request.resends:
            attributes["http.request.resend_count"] = request.resends
        span = self._tracer.start_span(name, self._context, SpanKind.CLIENT, attributes)
        measured = None if self._measured is None else self._measured.attempt(request)
        return _Attempt(self, span, self._context, measured)

    def received(self, size: int) -> None:
        """Count the bytes of an answer."""
        self._counts["bytes.received"] += size

    def event(self, name: str, attributes: Mapping[str, str | int | float]) -> None:
        """Add an event to the span of the call; failed rows are counted by their reason."""
        if self._measured is not None:
            self._measured.event(name, attributes)
        if name == "rows.failed":
            reason = str(attributes["reason"])
            self._failed[reason] = self._failed.get(reason, 0) + int(attributes["rows"])
            return
        if name == "run.ended":
            self._of_run = {key: int(value) for key, value in attributes.items()}
            return
        if name == "request.split":
            self._counts["request.splits"] += 1
            if self._counts["request.splits"] > _MOST_SPLITS:
                return
        self._span.add_event(f"dbt_triton.{name}", {_event_key(key): value for key, value in attributes.items()})

    def carrier(self) -> Mapping[str, str]:
        """Return the headers that let another process go on from here."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self._context)
        return carrier

    def ended(self, end: CallEnd) -> None:
        """End the span of the call."""
        otel_context.detach(self._token)
        # A run that ended early has left no figures, and tasks of Spark have sent what nothing here has counted.
        told = {
            "requests": end.requests,
            "retries": end.retries,
            "bytes.sent": end.bytes_sent,
            "bytes.received": end.bytes_received,
        }
        found: dict[str, str | int] = {
            "dbt_triton.rows": end.rows,
            "dbt_triton.rows.predicted": max(end.predicted, self._of_run.get("rows", 0)),
            "dbt_triton.rows.reused": end.reused,
            "dbt_triton.rows.failed": max(end.failed, sum(self._failed.values())),
            **{f"dbt_triton.{name}": max(count, told.get(name, 0)) for name, count in self._counts.items()},
            **({"dbt_triton.requests.limit": self._of_run["limit"]} if self._of_run else {}),
            **({"gen_ai.usage.output_tokens": self._of_run["tokens"]} if self._of_run.get("tokens") else {}),
            OUTCOME: end.outcome,
            **{f"dbt_triton.rows.failed.{reason}": rows for reason, rows in self._failed.items()},
            **({ERROR: end.error} if end.error else {}),
        }
        self._span.set_attributes(found)
        if end.outcome != "succeeded":
            self._span.set_status(_ERROR)
        self._span.end()
        if self._measured is not None:
            self._measured.ended(end)

    def _of_target(self, target: Target) -> tuple[str, dict[str, Any]]:
        """Return the name of a request's span, and what all requests to a server have."""
        attributes: dict[str, Any] = {
            "http.request.method": "POST",
            "url.full": target.url,
            "url.template": target.template,
            "server.address": target.host,
            "server.port": target.port,
            "network.protocol.version": "1.1",
            MODEL: self._call.inference_model,
            # Kept as long as its id is a key.
            "dbt_triton.model.name": target.model_name,
        }
        if target.generates:
            attributes |= {
                "gen_ai.operation.name": "text_completion",
                "gen_ai.provider.name": "triton",
                "gen_ai.request.model": target.model_name,
            }
        return f"POST {target.template}", attributes


class _Attempt:
    """The span of one attempt. It is the current one while the request is sent, so that logs name it."""

    __slots__ = ("_call", "_measured", "_span", "_token", "headers")

    def __init__(self, call: _CallObserver, span: Span, context: Context, measured: MeasuredAttempt | None) -> None:
        self._call = call
        self._span = span
        self._measured = measured
        inside = trace.set_span_in_context(span, context)
        self.headers: dict[str, str] = {}
        _W3C.inject(self.headers, inside)
        self._token = otel_context.attach(inside)

    def ended(self, end: AttemptEnd) -> None:
        """End the span."""
        otel_context.detach(self._token)
        self._call.received(end.size)
        span = self._span
        if span.is_recording():
            if end.status is not None:
                span.set_attribute("http.response.status_code", end.status)
                span.set_attribute("http.response.body.size", end.size)
            if end.retry_after is not None:
                span.add_event("dbt_triton.retry_after", {"dbt_triton.seconds": end.retry_after})
            error = failure_of(end)
            if error:
                span.set_attributes({ERROR: error, "dbt_triton.reason": end.error})
                span.set_status(_ERROR)
        span.end()
        if self._measured is not None:
            self._measured.ended(end)


class OpenTelemetrySink:
    """Gives values to instruments of a meter."""

    def __init__(self, meters: MeterProvider) -> None:
        meter = meters.get_meter(SCOPE, __version__)
        self._takers: dict[str, Any] = {}
        for metric in METRICS:
            if metric.kind == Kind.HISTOGRAM:
                histogram = meter.create_histogram(
                    metric.name, metric.unit, metric.help, explicit_bucket_boundaries_advisory=metric.bounds
                )
                self._takers[metric.name] = histogram.record
            elif metric.kind == Kind.COUNTER:
                self._takers[metric.name] = meter.create_counter(metric.name, metric.unit, metric.help).add
            else:
                self._takers[metric.name] = meter.create_gauge(metric.name, metric.unit, metric.help).set

    def take(self, metric: Metric, value: float, attributes: Attributes) -> None:
        """Take one value."""
        self._takers[metric.name](value, attributes)

    def call_ended(self) -> None:
        """Leave it to the reader of the meters, which exports now and then."""


def _event_key(key: str) -> str:
    """Name an attribute of an event."""
    return {"reason": ERROR, "server": "dbt_triton.server"}.get(key, f"dbt_triton.{key}")
