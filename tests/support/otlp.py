"""A collector of OpenTelemetry on this machine: it takes OTLP over HTTP, as protobuf or JSON, and keeps what comes."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import orjson
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class ReceivedSpan:
    """One span, its ids in hexadecimal digits; ``service`` made it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[str]
    is_error: bool
    start: int
    end: int


@dataclass(frozen=True)
class ReceivedMetric:
    """One metric with its points: the attributes and the value, or the count of a histogram."""

    name: str
    unit: str
    points: list[tuple[dict[str, Any], float]] = field(default_factory=list)


class Collector:
    """Listens on a free port; use it as a context manager."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.metrics: list[ReceivedMetric] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body, is_json="json" in self.headers["Content-Type"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT names."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, path: str, body: bytes, *, is_json: bool) -> None:
        """Keep what an exporter sends."""
        if path.endswith("/v1/traces"):
            spans = _parsed(ExportTraceServiceRequest(), body, is_json=is_json)
            self.spans += list(_spans(spans))
        else:
            metrics = _parsed(ExportMetricsServiceRequest(), body, is_json=is_json)
            self.metrics += list(_metrics(metrics))

    def wait_for(self, is_there: Callable[[list[ReceivedSpan]], object]) -> None:
        """Wait until what has come is enough; fail when it does not come."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_there(list(self.spans)):
            assert time.monotonic() < until, [span.name for span in self.spans]
            time.sleep(0.05)


def _parsed(message: Any, body: bytes, *, is_json: bool) -> Any:
    if not is_json:
        message.ParseFromString(body)
        return message
    # OTLP's JSON writes ids in hexadecimal digits, where protobuf's has base64.
    return json_format.ParseDict(_with_base64(orjson.loads(body)), message, ignore_unknown_fields=True)


def _with_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64(one) for one in value]
    if isinstance(value, dict):
        ids = {"traceId", "spanId", "parentSpanId"}
        return {key: _base64(one) if key in ids else _with_base64(one) for key, one in value.items()}
    return value


def _base64(digits: str) -> str:
    import base64  # noqa: PLC0415

    return base64.b64encode(bytes.fromhex(digits)).decode()


def _spans(request: Any) -> Iterable[ReceivedSpan]:
    for of_resource in request.resource_spans:
        service = _attributes(of_resource.resource.attributes).get("service.name", "")
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield ReceivedSpan(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _attributes(span.attributes),
                    [event.name for event in span.events],
                    span.status.code == 2,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                )


def _metrics(request: Any) -> Iterable[ReceivedMetric]:
    for of_resource in request.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                kind = metric.WhichOneof("data")
                points = []
                for point in getattr(metric, kind).data_points:
                    value = point.count if kind == "histogram" else getattr(point, point.WhichOneof("value"))
                    points.append((_attributes(point.attributes), float(value)))
                yield ReceivedMetric(metric.name, metric.unit, points)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
