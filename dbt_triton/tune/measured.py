"""The client of a trial: the product's own, which counts every attempt, and sends no more than a budget allows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dbt_triton.client.http11 import Http11Transport
from dbt_triton.engine.servers import Servers
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.inference_model import Binding
from dbt_triton.instrumentation import NO_HEADERS, AttemptEnd, CallEnd, Request, observing, reason_word
from dbt_triton.options import Options
from dbt_triton.warehouses.requests import open_servers

_OK = 200
_WRONG = reason_word(Reason.WRONG_ANSWER)


@dataclass
class Budget:
    """How many inference requests may be sent in all; each attempt counts, retries too.

    Args:
        most: in all.
        used: so far.
        until: how many the trial that runs may have used up in the end.
    """

    most: int
    used: int = 0
    until: int = 0

    @property
    def left(self) -> int:
        """How many may still be sent."""
        return max(self.most - self.used, 0)

    def allot(self, share: int) -> None:
        """Begin a trial that may use up so many of what is left."""
        self.until = min(self.used + max(share, 1), self.most)

    def take(self) -> bool:
        """Use up one, and tell whether there was one."""
        if self.used >= min(self.until, self.most):
            return False
        self.used += 1
        return True


@dataclass
class Answers:
    """What came of the requests of a trial; times are seconds of `time.monotonic`."""

    #: When each was answered, and how many rows it had.
    ends: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    #: When each attempt was answered with 200, and after how many seconds.
    attempt_ends: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    attempts: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Measuring:
    """Watches a trial: it notes what requests come to, and sends no more than a budget allows.

    Args:
        answers: what is noted.
        budget: of requests.
    """

    def __init__(self, answers: Answers, budget: Budget) -> None:
        self._answers = answers
        self._budget = budget
        #: Is called when the budget is used up; nothing is sent after that.
        self.on_spent: Callable[[], None] = _nothing
        self._wrong = 0

    def attempt(self, request: Request) -> MeasuredAttempt:
        """Count one attempt.

        Raises:
            InferenceError: the budget is used up.
        """
        if not self._budget.take():
            self.on_spent()
            raise InferenceError("not sent: the trial is over", reason=Reason.STOPPED, attempts=0)
        self._answers.attempts += 1
        return MeasuredAttempt(self._answers, request.rows)

    def event(self, name: str, attributes: Mapping[str, str | int | float]) -> None:
        """Count wrong answers, which are none of an attempt that failed: the trial may end before their rows have."""
        if name == "request.split" and attributes["reason"] == _WRONG:
            self._wrong += 1
            kind = _WRONG.replace("_", " ")
            self._answers.failures[kind] = max(self._answers.failures[kind], self._wrong)

    def carrier(self) -> Mapping[str, str]:
        """Return nothing: a trial is one process."""
        return NO_HEADERS

    def ended(self, end: CallEnd) -> None:
        """Leave it: a trial has an end of its own."""


class MeasuredAttempt:
    """Notes what comes of one attempt.

    Args:
        answers: where.
        rows: of the request.
    """

    headers = NO_HEADERS

    def __init__(self, answers: Answers, rows: int) -> None:
        self._answers = answers
        self._rows = rows

    def ended(self, end: AttemptEnd) -> None:
        """Note it; of what failed by status 200, the time is that of an answer, and the model's reason counts."""
        answers = self._answers
        if end.error in {"cancelled", "stopped"}:
            return  # the trial is over
        if end.status == _OK:
            answers.attempt_ends.append(time.monotonic())
            answers.latencies.append(end.seconds)
        if end.error:
            no_answer = "timeout" if end.error == "timeout" else "no answer"
            failed = no_answer if end.status is None else str(end.status)
            answers.failures[end.error.replace("_", " ") if end.status == _OK else failed] += 1
        else:
            answers.ends.append(time.monotonic())
            answers.rows.append(self._rows)


@asynccontextmanager
async def measured_servers(
    options: Options, binding: Binding, headers: Mapping[str, str], measuring: Measuring
) -> AsyncGenerator[Servers]:
    """Open the servers of a trial as a run does, with clients that are watched; nothing is sent that nobody counts.

    Args:
        options: of the trial.
        binding: of the call.
        headers: of the requests.
        measuring: watches them.
    """
    with observing(measuring):
        async with open_servers(options, binding, headers) as servers:
            servers._newcomers = None  # noqa: SLF001 - others that a host name comes to have are left out
            for server in servers.all:
                transport = server.client._transport  # noqa: SLF001 - only this class of transport has what follows
                if isinstance(transport, Http11Transport):
                    transport._may_repeat = False  # noqa: SLF001 - what it repeats by itself would not be counted
            yield servers


def _nothing() -> None:
    """Stand for a trial that has not begun."""
