"""Which rows of the run log are written when dbt says how a node ended."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from dbt_triton.errors import ConfigurationError
from dbt_triton.step.unbegun import Unbegun
from dbt_triton.step.waiting_rows import Waiting


class Logged:
    """A row that notes what becomes of it."""

    def __init__(self, node: str) -> None:
        self.row: dict[str, Any] = {"node": node, "inference_model": "m"}
        self.thread = threading.get_ident()
        self.ends: list[tuple[str, str | None]] = []

    def end(self, outcome: str, error: str | None, *, is_last: bool) -> None:
        """Note it."""
        del is_last
        self.ends.append((outcome, error))

    def end_unbegun(self, outcome: str, error: str | None) -> None:
        """Note it."""
        self.ends.append((outcome, error))


def waiting(unbegun: Logged) -> Waiting:
    """Return what waits for a node, without a call that has begun."""
    found = Waiting()
    found.expect("a", [cast("Any", unbegun)])
    assert found.has_any()
    return found


def test_failure_before_a_call() -> None:
    """It is written once, with its own node's end, and not with that of another node in this thread."""
    unbegun = Logged("a")
    rows = waiting(unbegun)
    rows.end("failed", "why", "a")
    rows.end("failed", "again", "a")
    assert unbegun.ends == [("failed", "why")]
    unbegun = Logged("a")
    rows = waiting(unbegun)
    rows.end("failed", "why", "b")
    rows.end("failed", "why", "a")
    assert unbegun.ends == []
    assert not rows.has_any()


def test_a_call_that_began() -> None:
    """Once a call has begun, its own row says how it ended; so it is for a second call that fails before it begins."""
    unbegun, call, second = Logged("a"), Logged("a"), Logged("a")
    rows = waiting(unbegun)
    rows.add(cast("Any", call))
    rows.expect("a", [cast("Any", second)])
    rows.end("failed", "why", "a")
    assert (unbegun.ends, call.ends, second.ends) == ([], [("failed", "why")], [])


def test_end_of_the_process() -> None:
    """What never began is not written when the process ends."""
    unbegun = Logged("a")
    rows = waiting(unbegun)
    rows.end_all()
    rows.end("failed", "why", "a")
    assert unbegun.ends == []


@pytest.mark.parametrize("waits", [False, True])
def test_why(waits: bool) -> None:
    """The row says the first line of the step's own error; that of one which waits says for what."""
    logged = Logged("a")
    Unbegun([cast("Any", logged)], waits=waits).failed(ConfigurationError(["no column x"], "ML_PREDICT"))
    assert "no column x" in logged.row["error"]
    assert logged.row["error"].startswith("skipped, since the inference model m was not built") is waits
