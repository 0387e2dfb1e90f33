"""Where spans and metrics go: to the OpenTelemetry SDK that the process has configured, else to one of our own.

Our own is made as the standard environment variables say, and is nobody else's: what other libraries of the process
would emit is not exported by it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from dbt_triton import __version__
from dbt_triton.foreign_text import MASK, shown

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import TracerProvider

logger = logging.getLogger("dbt_triton.instrumentation")

#: At its end, a process waits no longer for a collector.
END_SECONDS = 3.0
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
#: The path of a collector, which may hold a token.
_PATH = re.compile(r"url: \S+")
_SCHEME = re.compile(r"^[^:/?#]*://")
_BEHIND_HOST = re.compile(r"^(?:[^:/?#]*://)?[^/?#]*")
#: What is shorter is no secret.
_SECRET_LENGTH = 4
#: What the environment calls after each signal, or after none for both.
_SIGNALS = ("", "TRACES_", "METRICS_")
#: Samplers that the SDK makes of the environment by itself.
_OWN_SAMPLERS = {
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
}


class Providers:
    """Tracers and meters.

    Args:
        tracers: None for none.
        meters: as above.
        own: whether they are ours to close.
    """

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None, *, own: bool) -> None:
        self.tracers = tracers
        self.meters = meters
        self._all = [provider for provider in (tracers, meters) if provider is not None]
        self._closers = [_Closer(provider) for provider in self._all] if own else []
        self._was_late = False

    def flush(self, seconds: float) -> None:
        """Export what there is. A collector that does not answer in so many seconds is not waited for again."""
        until = time.monotonic() + (0.0 if self._was_late else seconds)
        works = [threading.Thread(target=_told, args=(each, "force_flush"), daemon=True) for each in self._all]
        for work in works:
            work.start()
        for work in works:
            work.join(max(until - time.monotonic(), 0.0))
        self._was_late = any(work.is_alive() for work in works)

    def close(self) -> None:
        """Export what there is, and end; both within `END_SECONDS`. Nothing is done with what is the process's."""
        until = time.monotonic() + END_SECONDS
        for closer in self._closers:
            closer.begin.set()
        for closer in self._closers:
            closer.done.wait(max(until - time.monotonic(), 0.0))


class _Closer:
    """A thread that shuts a provider down when it is told.

    It waits from the beginning on: as of Python 3.12, no thread is started while the interpreter ends. Each provider
    has one, since another may wait for its collector in vain.
    """

    def __init__(self, provider: object) -> None:
        self.begin, self.done = threading.Event(), threading.Event()
        self._provider = provider
        threading.Thread(target=self._run, name="dbt-triton-telemetry-end", daemon=True).start()

    def _run(self) -> None:
        self.begin.wait()
        _told(self._provider, "shutdown")
        self.done.set()


def _told(provider: object, what: str) -> None:
    """Call a method of a provider, where it has it."""
    act: Callable[[], object] | None = getattr(provider, what, None)
    try:
        if act is not None:
            act()
    except Exception as error:  # noqa: BLE001 - somebody else's, and no run's business
        logger.debug("OpenTelemetry: %s failed: %s", what, type(error).__name__)


def process_providers() -> Providers | None:
    """Return what the process has configured, as `opentelemetry-instrument` does; None for nothing.

    It is found without an import: who has configured it has imported it.
    """
    found: dict[str, Any] = {}
    for signal, name in (("trace", "tracer"), ("metrics", "meter")):
        api = sys.modules.get(f"opentelemetry.{signal}")
        get = getattr(api, f"get_{name}_provider", None)
        provider = None if get is None else get()
        kind = type(provider).__name__
        found[name] = None if provider is None or "Proxy" in kind or "NoOp" in kind else provider
    if not any(found.values()):
        return None
    return Providers(found["tracer"], found["meter"], own=False)


def own_providers(*, traces: bool, metrics: bool) -> Providers | None:
    """Make providers of our own, as the environment says.

    Args:
        traces: whether spans are wanted.
        metrics: whether metrics are wanted.

    Raises:
        ImportError: the SDK is not installed.
        LookupError: an exporter is not installed; says which.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra, and slow to import

    _tell_of_trouble_once()
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({"dbt_triton.version": __version__, **({} if named else {"service.name": "dbt"})})
    tracers = _tracers(resource) if traces else None
    meters = _meters(resource) if metrics else None
    if tracers is None and meters is None:
        return None
    return Providers(tracers, meters, own=True)


class _Trouble(logging.Handler):
    """Says once that nothing arrives; the SDK says it for each try, while a build goes on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._was_told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of the first record; of each one where everything is shown."""
        if not self._was_told:
            self._was_told = True
            logger.warning(
                "OpenTelemetry: spans or metrics do not reach their collector, and the build goes on without them; "
                "look at OTEL_EXPORTER_OTLP_ENDPOINT, or set DBT_TRITON_LOG=debug, which shows every try"
            )
        text = _PATH.sub("url: …", record.getMessage())
        for secret in sorted(_secrets(), key=len, reverse=True):
            text = text.replace(secret, MASK)
        logger.debug("OpenTelemetry: %s", shown(text))


def _secrets() -> set[str]:
    """Return what the environment sends to collectors, or addresses them by: the SDK logs it, and what they repeat.

    It is hidden in these lines only: a header may hold a word such as the name of a team, which others may say.
    """
    found: set[str] = set()
    for signal in _SIGNALS:
        for pair in os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}HEADERS", "").split(","):
            value = pair.partition("=")[2].strip()
            found |= {value, unquote(value), *unquote(value).split()}
        address = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", "").strip().rstrip("/")
        userinfo, at, _ = _SCHEME.sub("", address).rpartition("@")
        found |= {address, _BEHIND_HOST.sub("", address), *([userinfo, userinfo.partition(":")[2]] if at else [])}
    return {secret for secret in found if len(secret) >= _SECRET_LENGTH}


def _tell_of_trouble_once() -> None:
    """Take the warnings of the SDK's exporters, unless somebody has said where these very ones go."""
    theirs = logging.getLogger("opentelemetry")
    if not theirs.handlers:
        theirs.addHandler(_Trouble())
        theirs.propagate = False


def _tracers(resource: Resource) -> TracerProvider | None:
    exporters = _exporters("traces")
    if not exporters:
        return None
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    provider = TracerProvider(sampler=_sampler(), resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    return provider


def _meters(resource: Resource) -> MeterProvider | None:
    exporters = _exporters("metrics")
    if not exporters:
        return None
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: PLC0415 - as above

    readers = [
        exporter() if issubclass(exporter, MetricReader) else PeriodicExportingMetricReader(exporter())
        for exporter in exporters
    ]
    return MeterProvider(readers, resource=resource, shutdown_on_exit=False)


def _exporters(signal: str) -> list[Any]:
    """Return the classes of the exporters that the environment names; ``otlp`` where it names none."""
    wanted = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") or "otlp"
    names = [name.strip() for name in wanted.split(",")]
    return [_loaded(f"opentelemetry_{signal}_exporter", _exporter(name, signal)) for name in names if name != "none"]


def _exporter(name: str, signal: str) -> str:
    """Return an exporter's name as its package registers it."""
    if name != "otlp":
        return name
    protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    return _PROTOCOLS.get(protocol.strip(), protocol.strip())


def _sampler() -> Sampler | None:
    """Return the sampler that the environment names, where the SDK does not make it itself."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name or name.lower() in _OWN_SAMPLERS:
        return None
    from dbt_triton.instrumentation.sampler import NAME, requests_sampler  # noqa: PLC0415 - as above

    make = requests_sampler if name == NAME else _loaded("opentelemetry_traces_sampler", name)
    sampler: Sampler = make(os.environ.get("OTEL_TRACES_SAMPLER_ARG"))
    return sampler


def _loaded(group: str, name: str) -> Any:  # noqa: ANN401 - what another package registers
    for point in entry_points(group=group, name=name):
        return point.load()
    raise LookupError(f"nothing that is installed offers {name} (entry point {group})")
