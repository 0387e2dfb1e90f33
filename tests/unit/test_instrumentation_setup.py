"""What turns an instrumentation on, and what does not: nothing is exported by surprise, and nothing fails a build."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.otlp import Collector

from dbt_triton.instrumentation import setup
from dbt_triton.instrumentation.providers import END_SECONDS

_VARIABLES = [name for name in os.environ if name.startswith(("OTEL_", "DBT_TRITON_"))] + ["TRACEPARENT"]
#: A call of ours, in a process of its own, which prints what is imported.
_CODE = """
import sys, time
{before}
from dbt_triton.instrumentation import Call, call_observed, setup
from dbt_triton.instrumentation.logs import configure_logging
configure_logging()
setup.turn_on()
with call_observed(lambda: Call("model.p.n", 1, "im", "m", "latest", ("http://h",), "duckdb")):
    pass
print(*sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk.trace")))
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the environment of the test run says."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


def run(before: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a call in a process whose environment has these variables."""
    environment = {key: value for key, value in os.environ.items() if key not in _VARIABLES}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "NO_PROXY": "*"} | variables
    command = [sys.executable, "-c", _CODE.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=60)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Listen."""
    with Collector() as found:
        yield found


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, False, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, False, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "DBT_TRITON_OPENTELEMETRY": "false"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "TRUE"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False, False),
        ({"DBT_TRITON_OPENTELEMETRY": "True"}, True, True),
        ({"DBT_TRITON_OPENTELEMETRY": "true", "OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_SERVICE_NAME": "dbt", "OTEL_EXPORTER_OTLP_HEADERS": "a=b"}, False, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_a_signal_goes_only_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, traces: bool, metrics: bool
) -> None:
    """Each signal is exported only where a variable names its exporter or its address, or our own says so."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    wanted = setup.wanted()
    assert (wanted.traces, wanted.metrics) == (traces, metrics)


def test_nothing_is_exported_by_surprise() -> None:
    """With the SDK installed and no variable set, it is not even imported."""
    done = run()
    assert done.stdout.strip() == ""
    assert done.stderr == ""


def test_endpoint_turns_it_on(collector: Collector) -> None:
    """The standard variable for the address of a collector is enough; spans and metrics are there at the end."""
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=f"00-{'ab' * 16}-{'cd' * 8}-01")
    assert done.stderr == ""
    (span,) = collector.spans
    assert (span.name, span.service, span.trace_id, span.parent_id) == (
        "ML_PREDICT im",
        "dbt",
        "ab" * 16,
        "cd" * 8,
    )
    assert "dbt_triton.call.duration" in {metric.name for metric in collector.metrics}


def test_parent_that_is_not_sampled_is_followed(collector: Collector) -> None:
    """Where the orchestrator's trace is not sampled, ours is not either: sampling is the SDK's."""
    run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=f"00-{'ab' * 16}-{'cd' * 8}-00")
    assert collector.spans == []
    assert collector.metrics != []


@pytest.mark.parametrize(
    ("sampler", "spans"), [("always_off", 0), ("always_on", 1), ("dbt_triton_requests", 1), ("nothing_such", 0)]
)
def test_sampler_of_the_environment(collector: Collector, sampler: str, spans: int) -> None:
    """OTEL_TRACES_SAMPLER is obeyed; one that is not installed turns spans off with a warning, and fails nothing."""
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER=sampler, OTEL_SERVICE_NAME="night shift")
    assert [span.service for span in collector.spans] == ["night shift"] * spans
    assert ("nothing_such" in done.stderr) == (sampler == "nothing_such")


def test_sdk_of_the_process_is_used(collector: Collector) -> None:
    """Where the process has configured OpenTelemetry, as `opentelemetry-instrument` does, its exporters get ours."""
    before = f"""
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider(resource=Resource.create({{"service.name": "the process"}}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter({collector.url + "/v1/traces"!r})))
trace.set_tracer_provider(provider)
"""
    done = run(before, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert [span.service for span in collector.spans] == ["the process"]
    assert done.stderr == ""
    run(before, DBT_TRITON_OPENTELEMETRY="false")
    assert len(collector.spans) == 1


@pytest.mark.parametrize("kind", ["refused", "hangs"])
def test_collector_that_is_away_fails_nothing(kind: str) -> None:
    """A collector that refuses, or hangs, delays the end by a short bounded time, and is told by one line."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "hangs":
            listening.listen()
        started = time.monotonic()
        # dbt, or what it imports, has a handler for everybody's warnings, as this has.
        before = "import logging; logging.basicConfig()"
        done = run(before, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert time.monotonic() - started < END_SECONDS + 5
    assert done.stderr.count("do not reach their collector") == (kind == "refused")
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    "address",
    [
        "{collector}/of/a-path-of-SECRET",
        "{collector}/v1?token=a-query-of-SECRET",
        "http://user:the-password-SECRET@127.0.0.1:99999",
        "ftp://127.0.0.1/a-path-of-SECRET",
    ],
)
def test_secrets_of_a_collector_are_not_logged(address: str) -> None:
    """What is sent to a collector, and how it is addressed, is in no line of the log, though it is repeated."""

    class Repeating(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401, f"Bad {self.headers['Authorization']} at {self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Repeating) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = address.format(collector=f"http://127.0.0.1:{server.server_address[1]}")
        headers = "Authorization=Bearer%20the-token-SECRET,x-plain=SECRET-too"
        # Its tries would take as long as an exporter has.
        done = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_HEADERS=headers,
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
            DBT_TRITON_LOG="debug",
        )
        server.shutdown()
    assert "OpenTelemetry: " in done.stderr
    assert "SECRET" not in done.stdout + done.stderr


@pytest.mark.parametrize("broken", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "prometheus_client"])
def test_what_is_not_installed_is_named(tmp_path: Path, broken: str) -> None:
    """Who asks for what is not installed reads what to install, and the build goes on."""
    before = f"import sys; sys.modules[{broken!r}] = None"
    done = run(before, DBT_TRITON_OPENTELEMETRY="true", DBT_TRITON_PROMETHEUS_FILE=str(tmp_path / "x.prom"))
    extra = "prometheus" if broken == "prometheus_client" else "opentelemetry"
    assert f"pip install 'dbt-triton[{extra}]'" in done.stderr


def test_a_file_that_cannot_be_named_fails_nothing() -> None:
    """A home that this machine does not have is told, and the build goes on."""
    done = run(DBT_TRITON_PROMETHEUS_FILE="~nobody-of-that-name/x.prom")
    assert "DBT_TRITON_PROMETHEUS_FILE cannot be used" in done.stderr


def test_protocol_whose_exporter_is_missing_is_named() -> None:
    """GRPC wants another package than the extra brings: the warning names what is missing."""
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_EXPORTER_OTLP_PROTOCOL="grpc2")
    assert "grpc2" in done.stderr


def test_own_sdk_is_nobody_elses(collector: Collector) -> None:
    """What other libraries of the process would emit is not exported by the SDK that we make for ourselves."""
    after = """
import atexit
from opentelemetry import trace
def others():
    trace.get_tracer("other").start_span("other").end()
atexit.register(others)
"""
    run(after, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert [span.name for span in collector.spans] == ["ML_PREDICT im"]
