"""What is measured, by which name, and when: the same for OpenTelemetry and for Prometheus.

Names are those of OpenTelemetry's semantic conventions where these have one, else our own under ``dbt_triton``.
Prometheus writes them as OpenTelemetry's rule has it: `prometheus_name`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from dbt_triton.instrumentation.hooks import NO_HEADERS, AttemptEnd, Call, CallEnd, Request

Attributes = Mapping[str, str | int]

#: HTTP's semantic conventions name these bounds, in seconds.
_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: Those of generative models.
_GENERATION_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_CALL_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800)
_OK = 200
_ERROR_STATUS = 400


class Kind(Enum):
    """How values of a metric become one."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Args:
        name: OpenTelemetry's.
        kind: how its values become one.
        unit: as UCUM writes it.
        help: what it is.
        bounds: of a histogram.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    bounds: tuple[float, ...] = ()


REQUEST_SECONDS = Metric(
    "http.client.request.duration", Kind.HISTOGRAM, "s", "Duration of HTTP client requests.", _HTTP_SECONDS
)
GENERATION_SECONDS = Metric(
    "gen_ai.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Duration of requests to language models.",
    _GENERATION_SECONDS,
)
RETRIES = Metric("dbt_triton.request.retries", Kind.COUNTER, "{request}", "Attempts after the first of a request.")
SPLITS = Metric(
    "dbt_triton.request.splits", Kind.COUNTER, "{request}", "Requests that failed, and were sent again in parts."
)
OUTAGES = Metric(
    "dbt_triton.server.outages", Kind.COUNTER, "{outage}", "How often a server was away, and rows waited or went on."
)
CALL_SECONDS = Metric("dbt_triton.call.duration", Kind.HISTOGRAM, "s", "Duration of ML_PREDICT calls.", _CALL_SECONDS)
ROWS = Metric("dbt_triton.rows", Kind.COUNTER, "{row}", "Distinct rows, by what came of them.")
BYTES = Metric("dbt_triton.io", Kind.COUNTER, "By", "Bytes of the bodies of requests and answers.")
LAST_ROWS = Metric("dbt_triton.call.last.rows", Kind.GAUGE, "{row}", "Rows of the input of a node's last call.")
LAST_SECONDS = Metric("dbt_triton.call.last.duration", Kind.GAUGE, "s", "Duration of a node's last call.")
LAST_ENDED = Metric(
    "dbt_triton.call.last.end.time", Kind.GAUGE, "s", "When a node's last call ended, in seconds since 1970."
)
LAST_SUCCESS = Metric(
    "dbt_triton.call.last.success.time",
    Kind.GAUGE,
    "s",
    "When a node's last call that succeeded ended, in seconds since 1970.",
)

METRICS = (
    REQUEST_SECONDS,
    GENERATION_SECONDS,
    RETRIES,
    SPLITS,
    OUTAGES,
    CALL_SECONDS,
    ROWS,
    BYTES,
    LAST_ROWS,
    LAST_SECONDS,
    LAST_ENDED,
    LAST_SUCCESS,
)

#: What the names of attributes are.
MODEL, NODE, NUMBER = "dbt_triton.inference_model", "dbt_triton.node", "dbt_triton.call"
OUTCOME, ROW_OUTCOME = "dbt_triton.call.outcome", "dbt_triton.row.outcome"
ERROR = "error.type"
_UNITS = {"s": "_seconds", "By": "_bytes"}


def prometheus_name(metric: Metric) -> str:
    """Return the name that a collector of OpenTelemetry gives a metric when Prometheus reads it.

    The suffix ``_total`` of counters, and ``_bucket``, ``_sum`` and ``_count`` of histograms, are the text format's.
    """
    return metric.name.replace(".", "_") + _UNITS.get(metric.unit, "")


def prometheus_label(attribute: str) -> str:
    """Return the name of an attribute as a label."""
    return attribute.replace(".", "_")


class Sink(Protocol):
    """Takes values: counters add, gauges are set, histograms record."""

    def take(self, metric: Metric, value: float, attributes: Attributes) -> None:
        """Take one value."""
        ...

    def call_ended(self) -> None:
        """Note that a call has ended: a good moment to hand values on."""
        ...


def failure_of(end: AttemptEnd) -> str:
    """Return the ``error.type`` of an attempt: the status where that is one of an error, else the reason."""
    if end.status is not None and end.status >= _ERROR_STATUS:
        return str(end.status)
    return end.error


class MeasuredCall:
    """Makes values of what comes of one call.

    Args:
        call: that is watched.
        sink: takes the values.
    """

    def __init__(self, call: Call, sink: Sink) -> None:
        self._call = call
        self._sink = sink
        self._predicted = self._sent = self._received = 0
        self._of_model: dict[str, str | int] = {MODEL: call.inference_model}
        self._of_node: dict[str, str | int] = {NODE: call.node, MODEL: call.inference_model}
        #: Attributes are made once for each server, status and error.
        self._of_attempts: dict[tuple[str, int, int | None, str], tuple[Attributes, Attributes]] = {}

    def attempt(self, request: Request) -> MeasuredAttempt:
        """Begin to measure an attempt."""
        if request.resends:
            self._sink.take(RETRIES, 1, self._of_model)
        return MeasuredAttempt(self, request)

    def attempt_ended(self, request: Request, end: AttemptEnd) -> None:
        """Take the time of an attempt."""
        target = request.target
        self._sent += request.size
        self._received += end.size
        key = (target.host, target.port, end.status, end.error)
        attributes = self._of_attempts.get(key)
        if attributes is None:
            attributes = self._of_attempts[key] = self._attributes(request, end)
        self._sink.take(REQUEST_SECONDS, end.seconds, attributes[0])
        if target.generates:
            self._sink.take(GENERATION_SECONDS, end.seconds, attributes[1])

    def event(self, name: str, attributes: Mapping[str, str | int | float]) -> None:
        """Count what else happens."""
        if name == "run.ended":
            self._predicted += int(attributes["rows"])
        elif name == "request.split":
            self._sink.take(SPLITS, 1, {**self._of_model, ERROR: str(attributes["reason"])})
        elif name in {"breaker.opened", "server.left_out"}:
            self._sink.take(OUTAGES, 1, {**self._of_model, ERROR: str(attributes["reason"])})
        elif name == "rows.failed":
            failed = {**self._of_node, ROW_OUTCOME: "failed", ERROR: str(attributes["reason"])}
            self._sink.take(ROWS, attributes["rows"], failed)  # type: ignore[arg-type]

    def carrier(self) -> Mapping[str, str]:
        """Return nothing: what another process measures is its own."""
        return NO_HEADERS

    def ended(self, end: CallEnd) -> None:
        """Take what came of the call; a task of Spark is a part of one, and counts what it has sent itself."""
        for direction, size in (("transmit", self._sent), ("receive", self._received)):
            if size:
                self._sink.take(BYTES, size, {**self._of_model, "network.io.direction": direction})
        if self._call.task is None:
            self._take_call(end)
        self._sink.call_ended()

    def _take_call(self, end: CallEnd) -> None:
        take, now = self._sink.take, time.time()
        error = {ERROR: end.error} if end.error else {}
        # Not by node: a histogram of each would be most of the file of a large project.
        take(CALL_SECONDS, end.seconds, {**self._of_model, OUTCOME: end.outcome, **error})
        # Where a run ended early, only the engine knows; where tasks of Spark have sent, only the driver.
        for outcome, rows in (("predicted", max(self._predicted, end.predicted)), ("reused", end.reused)):
            if rows:
                take(ROWS, rows, {**self._of_node, ROW_OUTCOME: outcome})
        of_call: dict[str, str | int] = {**self._of_node, NUMBER: self._call.number}
        take(LAST_ROWS, end.rows, of_call)
        take(LAST_SECONDS, end.seconds, of_call)
        take(LAST_ENDED, now, of_call)
        if end.outcome == "succeeded":
            take(LAST_SUCCESS, now, of_call)

    def _attributes(self, request: Request, end: AttemptEnd) -> tuple[Attributes, Attributes]:
        target, error = request.target, failure_of(end)
        server: dict[str, str | int] = {"server.address": target.host, "server.port": target.port}
        failed: dict[str, str | int] = {ERROR: error} if error else {}
        status: dict[str, str | int] = {} if end.status is None else {"http.response.status_code": end.status}
        http = {"http.request.method": "POST", **server, **status, **failed, **self._of_model}
        generation = {
            "gen_ai.operation.name": "text_completion",
            "gen_ai.provider.name": "triton",
            "gen_ai.request.model": target.model_name,
            **server,
            **failed,
            **self._of_model,
        }
        return http, generation


class MeasuredAttempt:
    """Measures one attempt."""

    __slots__ = ("_call", "_request")

    headers = NO_HEADERS

    def __init__(self, call: MeasuredCall, request: Request) -> None:
        self._call = call
        self._request = request

    def ended(self, end: AttemptEnd) -> None:
        """Take its time."""
        self._call.attempt_ended(self._request, end)
