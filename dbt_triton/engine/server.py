"""One server of a run: what is in flight there, what it bears, and whether it gets requests."""

from __future__ import annotations

from enum import Enum

from dbt_triton.client import TritonClient
from dbt_triton.engine.breaker import PROBE_INITIAL_SECONDS
from dbt_triton.engine.concurrency import ConcurrencyLimit
from dbt_triton.errors import InferenceError


class State(Enum):
    """What a server is for the run."""

    PRESENT = "it gets requests"
    TRIAL = "it gets one request at a time, and must answer it"
    AWAY = "it gets none"


class Server:
    """One server of a run.

    Args:
        client: an open client of it.
        limit: on the requests in flight there.
    """

    def __init__(self, client: TritonClient, limit: ConcurrencyLimit) -> None:
        self.client = client
        self.limit = limit
        self.in_flight = 0
        self.state = State.PRESENT
        #: Why it is away.
        self.why: InferenceError | None = None
        #: Seconds for a request there, smoothed; None before the first one.
        self.latency: float | None = None
        self.succeeded_at = float("-inf")
        #: Errors of its model in a row.
        self.failures = 0
        self.delay = PROBE_INITIAL_SECONDS
        self.used = 0
        client.on_overload = limit.overloaded

    @property
    def name(self) -> str:
        """The endpoint, and the address where its host has several."""
        return self.client.name


def named(error: InferenceError, server: Server) -> InferenceError:
    """Let an error say which of several servers it is about."""
    if server.name not in error.message:
        error.say_of(f"Triton at {server.name}")
    return error
