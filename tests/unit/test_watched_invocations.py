"""What dbt's plugin tells of a command to those who watch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from dbt_common.events import event_manager_client
from dbt_common.events.contextvars import log_contextvars
from dbt_common.invocation import get_invocation_id, reset_invocation_id
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from dbt_triton import instrumentation
from dbt_triton.dbt_plugin import note_invocation
from dbt_triton.instrumentation import Invocation, place, setup, step_of


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give the test a command of its own, and a list of what dbt calls at each event."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", setup.PROMETHEUS_FILE):
        monkeypatch.delenv(name, raising=False)
    callbacks: list[Any] = []
    monkeypatch.setattr(event_manager_client, "add_callback_to_manager", callbacks.append)
    monkeypatch.setattr(Invocation, "_current", None)
    reset_invocation_id()
    return callbacks


def test_node_and_invocation_come_from_dbt() -> None:
    """A Python model, which is told neither, has the invocation and the node of dbt's own log all the same."""
    note_invocation()
    with log_contextvars(node_info={"unique_id": "model.shop.in_python"}), step_of("", name="in_python"):
        assert (place().node, place().invocation_id) == ("model.shop.in_python", get_invocation_id())
    with step_of("", name="in_python"):
        assert place().node == "in_python"


def test_span_of_the_thread_that_began_is_kept() -> None:
    """Where an orchestrator runs dbt within a span of its own, dbt's other threads know it."""
    with TracerProvider().get_tracer("orchestrator").start_as_current_span("task") as span:
        note_invocation()
    assert trace.get_current_span(Invocation.current().context) is span


def test_end_of_a_command_is_told(monkeypatch: pytest.MonkeyPatch, fresh: list[Any]) -> None:
    """Hooks hear that a command has ended, and how; events of other kinds pass."""
    told: list[tuple[str, bool]] = []

    class Hook:
        def invocation_ended(self, invocation_id: str, *, succeeded: bool) -> None:
            told.append((invocation_id, succeeded))

    hook: Any = Hook()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")
    instrumentation.install(hook)
    try:
        note_invocation()
        (callback,) = fresh
        callback(SimpleNamespace(info=SimpleNamespace(name="LogModelResult")))
        assert told == []
        done = SimpleNamespace(success=False)
        callback(SimpleNamespace(info=SimpleNamespace(name="CommandCompleted"), data=done))
    finally:
        instrumentation.uninstall(hook)
    assert told == [(told[0][0], False)]
    assert told[0][0] == get_invocation_id()
    assert Invocation.current().id == ""


def test_nothing_is_added_to_dbt_where_nobody_watches(monkeypatch: pytest.MonkeyPatch, fresh: list[Any]) -> None:
    """Who watches nothing has no callback at dbt's events."""
    monkeypatch.setenv("DBT_TRITON_OPENTELEMETRY", "false")
    note_invocation()
    assert fresh == []
