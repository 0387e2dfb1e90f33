"""When a server is gone: wait for it, send one probe at a time, and end the run when it stays away.

What counts is what comes of requests. A server whose model has died answers for ever that it is ready.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress

from dbt_triton.errors import InferenceError, Reason
from dbt_triton.instrumentation import event, reason_word

#: So many requests in a row that the model answers with an error, and none that it answers well, are no bad rows.
BREAKER_FAILURES = 256
PROBE_INITIAL_SECONDS = 0.1
PROBE_MAX_SECONDS = 5.0


class Breaker:
    """The circuit breaker of one run.

    Args:
        patience: seconds without any success after which the run ends.
        patience_with_timeouts: the same where requests are not answered in time, which takes longer to see.
        clock: seconds, never going back.
        answer_seconds: what an answer may take, where that may be longer than `patience`. A server that says that it
            is busy may be at work on all that it will answer.
    """

    def __init__(
        self,
        patience: float,
        patience_with_timeouts: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        answer_seconds: float = 0.0,
    ) -> None:
        self._patience = patience
        self._answer_seconds = answer_seconds
        self._patience_with_timeouts = max(patience, patience_with_timeouts)
        self._clock = clock
        self._failures = 0
        self._gone_since: float | None = None
        self._not_before = 0.0
        self._recovered = asyncio.Event()
        self._recovered.set()
        self._stopped = asyncio.Event()
        self._prober: object | None = None
        self._delay = PROBE_INITIAL_SECONDS

    def success(self) -> None:
        """Forget every failure so far."""
        self._failures = 0
        if self._gone_since is not None:
            self.alive()

    def alive(self) -> None:
        """Note that the server looked at a request, whatever it said of it."""
        if self._gone_since is not None:
            event("breaker.closed", seconds=round(self._clock() - self._gone_since, 3))
        self._gone_since = None
        self._not_before = 0.0
        self._prober = None
        self._delay = PROBE_INITIAL_SECONDS
        self._recovered.set()

    def stop(self) -> None:
        """Wake up whoever waits: the run is ending."""
        self._stopped.set()
        self._recovered.set()

    async def until_recovered(self, request: object) -> None:
        """Hold back requests while the server is gone, but for the one that probes."""
        if self._prober is not request:
            await self._recovered.wait()

    def failure(self, error: InferenceError) -> InferenceError | None:
        """Count a request that failed, perhaps for a row of it. Returns the error that ends the run, if it must."""
        if error.reason == Reason.REFUSED:
            self.alive()  # the server looked at the rows and said what is wrong with them
            return None
        if error.reason == Reason.TIMEOUT:
            # It may be the probe, which will not come back as it is: whoever is next finds out about the server.
            self._prober = None
            self._recovered.set()
            return self._gone(error, self._patience_with_timeouts)
        self.alive()
        self._failures += 1
        if self._failures < BREAKER_FAILURES:
            return None
        return _ended(f"{self._failures} requests failed, one after the other, and none succeeded", error)

    async def outlive(
        self, error: InferenceError, request: object, *, not_before: float = 0.0
    ) -> InferenceError | None:
        """Wait until a request is worth another try: one probes the server, the others wait for what comes of it.

        Args:
            error: what came of it.
            request: who asks; the one that probes goes on probing.
            not_before: on the clock, a moment up to which the server asked us to wait (``Retry-After``). The run does
                not end before it; but a server that then asks for more than `patience` in all has had its chance.

        Returns:
            The error that ends the run, if the server stayed away for too long; else None.
        """
        fatal = self.gone(error, not_before=not_before)
        if fatal is not None or self._stopped.is_set():
            return fatal
        self._recovered.clear()
        if self._prober is not None and self._prober is not request:
            await self._recovered.wait()
            return None
        self._prober = request
        delay, self._delay = self._delay, min(2 * self._delay, PROBE_MAX_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), delay * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
        return None

    def gone(self, error: InferenceError, *, not_before: float = 0.0) -> InferenceError | None:
        """Note that the server is away, or the last one that was left. Returns the error that ends the run, if it must.

        Args:
            error: what came of a request.
            not_before: as of `outlive`.
        """
        has_answered = error.status is not None
        fatal = self._gone(error, self._patience + (self._answer_seconds if has_answered else 0.0))
        self._not_before = max(self._not_before, not_before)
        return fatal

    def _gone(self, error: InferenceError, patience: float) -> InferenceError | None:
        now = self._clock()
        if self._gone_since is None:
            self._gone_since = now
            event("breaker.opened", reason=reason_word(error.reason))
        seconds = now - self._gone_since
        if seconds < patience or now < self._not_before:
            return None
        return _ended(f"no request succeeded for {seconds:.0f} s", error)


def _ended(why: str, error: InferenceError) -> InferenceError:
    return InferenceError(
        f"{why}, so the run ends here; the last error: {error.message}",
        reason=Reason.UNAVAILABLE,
        status=error.status,
        attempts=error.attempts,
    )
