"""A hook that keeps what it is told, and a decorator for tests that await something."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec

from dbt_triton.instrumentation import Attempt, AttemptEnd, Call, CallEnd, CallObserver, Request

CALL = Call("model.shop.n", 1, "classifier", "m", "latest", ("http://h:8000",), "duckdb")
P = ParamSpec("P")


def on_a_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        async def main() -> None:
            await test(*arguments, **named)

        asyncio.run(main())

    return run


class Watching:
    """A hook that keeps what it is told; each attempt gets a header."""

    def __init__(self, *, fails: bool = False) -> None:
        self.calls: list[Call] = []
        self.requests: list[Request] = []
        self.ends: list[AttemptEnd] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.end: CallEnd | None = None
        self.headers: Mapping[str, str] = {"x-watching": "yes"}
        self._fails = fails

    def call(self, call: Call) -> CallObserver:
        """Watch a call."""
        self.calls.append(call)
        return self

    def attempt(self, request: Request) -> Attempt:
        """Watch an attempt."""
        self.requests.append(request)
        return _Attempt(self)

    def event(self, name: str, attributes: Mapping[str, str | int | float]) -> None:
        """Keep an event."""
        self.events.append((name, dict(attributes)))
        self._fail()

    def carrier(self) -> Mapping[str, str]:
        """Let nothing go on from here."""
        return {}

    def ended(self, end: CallEnd) -> None:
        """Keep what came of the call."""
        self.end = end
        self._fail()

    def attempt_ended(self, end: AttemptEnd) -> None:
        """Keep what came of an attempt."""
        self.ends.append(end)
        self._fail()

    def invocation_ended(self, invocation_id: str, *, succeeded: bool) -> None:
        """Not told here."""

    def flush(self, seconds: float) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def _fail(self) -> None:
        if self._fails:
            raise RuntimeError("somebody else's")


class _Attempt:
    def __init__(self, watching: Watching) -> None:
        self.headers = watching.headers
        self.ended = watching.attempt_ended
