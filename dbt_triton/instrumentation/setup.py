"""Turning instrumentations on, as the environment says. Where it says nothing, nothing is imported.

OpenTelemetry is on where the process has configured an SDK, or the standard variables name where a signal goes. A
signal goes nowhere unless it is named: the SDK's default address is used with ``DBT_TRITON_OPENTELEMETRY=true`` only.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import NamedTuple

from dbt_triton.foreign_text import shown
from dbt_triton.instrumentation.calls import install, installed, uninstall
from dbt_triton.instrumentation.hooks import Hook
from dbt_triton.instrumentation.variables import NO, OPENTELEMETRY, YES, value_of

logger = logging.getLogger("dbt_triton.instrumentation")

PROMETHEUS_FILE = "DBT_TRITON_PROMETHEUS_FILE"
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Wanted(NamedTuple):
    """What the environment asks for.

    Args:
        traces: whether spans are to be exported by an SDK of our own.
        metrics: whether metrics are.
        is_off: whether OpenTelemetry is turned off, the process's SDK, too.
        is_named: whether our own variable says so.
        file: of Prometheus; empty for none.
    """

    traces: bool
    metrics: bool
    is_off: bool
    is_named: bool
    file: str


class _State:
    """What was turned on; guarded by a lock, since each thread of dbt asks."""

    lock = threading.Lock()
    wanted: Wanted | None = None
    of_process: object = None
    hooks: list[Hook]
    closes = False


_State.hooks = []


def wanted() -> Wanted:
    """Read the environment."""
    named = value_of(OPENTELEMETRY)
    is_off = named in NO or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    traces, metrics = (not is_off and _asks(signal, always=named in YES) for signal in ("TRACES", "METRICS"))
    return Wanted(traces, metrics, is_off, named in YES, os.environ.get(PROMETHEUS_FILE, "").strip())


def may_be_wanted() -> bool:
    """Tell whether somebody may watch this process; nothing is imported to find out."""
    asked = wanted()
    return asked.traces or asked.metrics or bool(asked.file) or (not asked.is_off and _sdk_is_loaded())


def turn_on() -> None:
    """Install what is wanted; called at the begin of each step, and of each task of Spark. It never fails."""
    asked = wanted()
    may_be_of_process = not asked.is_off and _sdk_is_loaded()
    if _State.wanted == asked and not may_be_of_process and _State.of_process is None:
        return
    with _State.lock:
        _turn_on(asked)


def turn_off() -> None:
    """End all that was turned on."""
    with _State.lock:
        for hook in _State.hooks:
            uninstall(hook)
            hook.close()
        _State.hooks.clear()
        _State.wanted = _State.of_process = None


def invocation_ended(invocation_id: str, *, succeeded: bool) -> None:
    """Tell every hook that dbt has ended a command."""
    for hook in installed():
        hook.invocation_ended(invocation_id, succeeded=succeeded)


def _turn_on(asked: Wanted) -> None:
    of_process = None
    if not asked.is_off and _sdk_is_loaded():
        from dbt_triton.instrumentation.providers import process_providers  # noqa: PLC0415 - where there is one

        found = process_providers()
        of_process = None if found is None else (found.tracers, found.meters)
    if _State.wanted == asked and of_process == _State.of_process:
        return
    for hook in _State.hooks:
        uninstall(hook)
        hook.close()
    _State.wanted, _State.of_process = asked, of_process
    _State.hooks[:] = [hook for hook in (_opentelemetry(asked, of_process), _prometheus(asked)) if hook is not None]
    for hook in _State.hooks:
        install(hook)
    if _State.hooks and not _State.closes:
        _State.closes = True
        atexit.register(turn_off)


def _opentelemetry(asked: Wanted, of_process: object) -> Hook | None:
    if asked.is_off or not (of_process or asked.traces or asked.metrics):
        return None
    try:
        from dbt_triton.instrumentation.providers import own_providers, process_providers  # noqa: PLC0415 - an extra

        providers = process_providers() if of_process else own_providers(traces=asked.traces, metrics=asked.metrics)
        if providers is None:
            return None
        from dbt_triton.instrumentation.opentelemetry import OpenTelemetryHook  # noqa: PLC0415 - as above

        return OpenTelemetryHook(providers)
    except ImportError:
        # The variables may be meant for another program; our own is not.
        said = "%s is not installed, and nothing is exported: run `pip install 'dbt-triton[opentelemetry]'`"
        logger.log(logging.WARNING if asked.is_named else logging.INFO, said, "OpenTelemetry's SDK")
    except Exception as error:  # noqa: BLE001 - whatever it is, the build is worth more
        logger.warning("OpenTelemetry is off: %s: %s", type(error).__name__, _words(error))
    return None


def _prometheus(asked: Wanted) -> Hook | None:
    if not asked.file:
        return None
    try:
        from dbt_triton.instrumentation.prometheus import PrometheusHook  # noqa: PLC0415 - an extra

        return PrometheusHook(asked.file)
    except ImportError:
        said = "%s is set, but prometheus_client is not installed: run `pip install 'dbt-triton[prometheus]'`"
        logger.warning(said, PROMETHEUS_FILE)
    except Exception as error:  # noqa: BLE001 - such as ~ of a user whom this machine does not have
        logger.warning("%s cannot be used: %s", PROMETHEUS_FILE, shown(error))
    return None


def _words(error: Exception) -> str:
    """Return the words of our own errors; another one's may hold an address with a password."""
    return str(error) if isinstance(error, LookupError) else "see the variables OTEL_*"


def _asks(signal: str, *, always: bool) -> bool:
    """Tell whether the environment says where a signal goes."""
    exporter = os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    endpoints = (_ENDPOINT, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return always or any(os.environ.get(name, "").strip() for name in endpoints)


def _sdk_is_loaded() -> bool:
    """Tell whether something of the process has imported OpenTelemetry's tracing or metrics; dbt imports neither."""
    return "opentelemetry.trace" in sys.modules or "opentelemetry.metrics" in sys.modules
