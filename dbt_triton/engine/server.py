"""One server of a run: what is in flight there, what it bears, and whether it gets requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum

from dbt_triton.client import TritonClient
from dbt_triton.engine.breaker import PROBE_INITIAL_SECONDS
from dbt_triton.engine.concurrency import ConcurrencyLimit
from dbt_triton.errors import InferenceError, Reason

#: A server that was left out for less is not told: one that sheds load is so again and again.
_WORTH_TELLING_SECONDS = 1.0


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
        #: Answers in a row that could not be decoded, and when one could.
        self.undecodable = 0
        self.decoded_at = float("-inf")
        #: Whether it was left out for these: what it answers is no success before it is decoded.
        self.is_doubtful = False
        self.delay = PROBE_INITIAL_SECONDS
        self.used = 0
        #: Since when it is left out, and for how long it was at most, with the last reason.
        self._out_since: float | None = None
        self._longest = 0.0
        self._told: InferenceError | None = None
        client.on_overload = limit.overloaded

    @property
    def name(self) -> str:
        """The endpoint, and the address where its host has several."""
        return self.client.name

    def leave_out(self, why: InferenceError) -> None:
        """Note that it gets no requests from now on."""
        self.state = State.AWAY
        self._out_since = self._out_since or time.monotonic()
        self.stays_out(why)

    def stays_out(self, why: InferenceError) -> None:
        """Note why it still gets none; of one that was away from the start, only what is not to be mended."""
        self.why = why
        if self._out_since is not None or why.reason == Reason.REJECTED:
            self._told = why

    def is_back(self) -> None:
        """Note that it gets its share again."""
        self._longest = max(self._longest, self._seconds_out)
        self.state, self.why, self.delay, self._out_since = State.PRESENT, None, PROBE_INITIAL_SECONDS, None

    @property
    def note(self) -> str | None:
        """What a user is to know of it once the run is over; None where it was there all the time, or nearly."""
        if self._told is None:
            return None
        said = named(self._told, self).message
        if self._told.reason == Reason.REJECTED and self.state != State.PRESENT:
            return f"{said}; it got no rows from then on"
        if max(self._longest, self._seconds_out) < _WORTH_TELLING_SECONDS:
            return None
        until = "for a while" if self.state == State.PRESENT else "until the run was over"
        return f"{said}; it was left out {until}, and the other servers did its rows"

    @property
    def _seconds_out(self) -> float:
        return 0.0 if self._out_since is None else time.monotonic() - self._out_since


def is_too_slow(server: Server, there: Sequence[Server], rest: int) -> bool:
    """Tell whether the others would have done all that is left before this one has answered one more request.

    Args:
        server: that might get it.
        there: the servers that might.
        rest: how many requests are left.
    """
    others = [other for other in there if other is not server and other.latency and other.state == State.PRESENT]
    if server.latency is None or not others:
        return False
    rate = sum(max(other.in_flight, 1) / (other.latency or 1.0) for other in others)
    return server.latency > (rest + 1) / rate + min(other.latency or 0.0 for other in others)


def named(error: InferenceError, server: Server) -> InferenceError:
    """Let an error say which of several servers it is about."""
    if server.name not in error.message:
        error.say_of(f"Triton at {server.name}")
    return error
