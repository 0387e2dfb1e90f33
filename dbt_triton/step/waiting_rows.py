"""Rows of the run log that wait for dbt to say how their node ended, and those that are written only if it fails."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING, Any

from dbt_triton.run_log.columns import FAILED, INTERRUPTED
from dbt_triton.step.run_outcomes import of_dbt

if TYPE_CHECKING:
    from dbt_triton.step.run_log import LoggedCall

logger = logging.getLogger("dbt_triton.step")

_NO_WORD = "dbt ended before the table was made"


class Waiting:
    """The rows of this process that wait for the end of their node, by the thread that runs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_thread: dict[int, list[LoggedCall]] = {}
        #: The node of a thread that has begun no call yet, and the rows to write if it fails so.
        self._unbegun: dict[int, tuple[str, list[LoggedCall]]] = {}

    def add(self, logged: LoggedCall) -> None:
        """Let a row wait."""
        with self._lock:
            self._by_thread.setdefault(logged.thread, []).append(logged)
            self._unbegun.pop(logged.thread, None)

    def expect(self, node: str, rows: list[LoggedCall]) -> None:
        """Let rows be written if a node, which this thread runs, fails before its first call."""
        with self._lock:
            self._unbegun[threading.get_ident()] = node, rows

    def forget(self) -> None:
        """Expect nothing more of this thread."""
        with self._lock:
            self._unbegun.pop(threading.get_ident(), None)

    def end(self, outcome: str, error: str | None = None, node: str | None = None) -> None:
        """End the rows of this thread. Those of another node have missed its end, and nobody knows more of them."""
        with self._lock:
            rows = self._by_thread.pop(threading.get_ident(), [])
            expected, unbegun = self._unbegun.pop(threading.get_ident(), ("", []))
        if not rows and node is not None and node == expected:
            for logged in unbegun:
                logged.end_unbegun(outcome, error)
        for place, logged in enumerate(rows, start=1):
            if node is None or logged.row["node"] == node:
                logged.end(outcome, error, is_last=place == len(rows))
            else:
                logged.end(FAILED, _NO_WORD, is_last=False)

    def has_any(self) -> bool:
        """Tell whether this thread has any."""
        return threading.get_ident() in self._by_thread or threading.get_ident() in self._unbegun

    def end_all(self) -> None:
        """End what is left when the process ends by itself."""
        with self._lock:
            rows = [logged for several in self._by_thread.values() for logged in several]
            self._by_thread.clear()
            self._unbegun.clear()
        for logged in rows:
            logged.end(INTERRUPTED, _NO_WORD, is_last=False)


WAITING = Waiting()
atexit.register(WAITING.end_all)


def on_event(message: Any) -> None:  # noqa: ANN401 - dbt's
    """Hear of the end of a node from dbt, in the thread that has run it."""
    if not WAITING.has_any():
        return
    try:
        name = message.info.name
        if name == "NodeFinished":
            result = message.data.run_result
            outcome, error = of_dbt(str(result.status), str(result.message))
            WAITING.end(outcome, error, str(message.data.node_info.unique_id))
        elif name == "GenericExceptionOnRun":
            outcome, error = of_dbt("error", str(message.data.exc))
            WAITING.end(outcome, error, str(message.data.unique_id))
    except Exception as error:  # noqa: BLE001 - it would be dbt's
        logger.debug("the run log has not heard of the end of a node: %s", error)
