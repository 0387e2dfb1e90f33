"""The client of a trial: the product's own, which counts every attempt, and sends no more than a budget allows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from dbt_triton.client import TritonClient
from dbt_triton.client.http11 import Http11Transport
from dbt_triton.client.reply import Reply
from dbt_triton.client.transport import Transport
from dbt_triton.engine.servers import Servers
from dbt_triton.errors import InferenceError, Reason

_OK = 200


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


def measure(servers: Servers, answers: Answers, budget: Budget, on_spent: Callable[[], None]) -> None:
    """Let the clients of a run note what their requests come to, and send no more than a budget allows.

    Args:
        servers: of the product, as a run has them. Others that a host name comes to have meanwhile are left out.
        answers: what is noted.
        budget: of requests.
        on_spent: is called when it is used up; nothing is sent after that.
    """
    servers._newcomers = None  # noqa: SLF001 - nobody would count what they are sent
    for server in servers.all:
        _measure(server.client, answers, budget, on_spent)


def _measure(client: TritonClient, answers: Answers, budget: Budget, on_spent: Callable[[], None]) -> None:
    transport, infer = client._transport, client.infer  # noqa: SLF001 - nothing else sees every attempt
    if isinstance(transport, Http11Transport):
        transport._may_repeat = False  # noqa: SLF001 - an attempt that it repeats by itself would not be counted
    client._transport = _MeasuredTransport(transport, answers, budget, on_spent)  # noqa: SLF001

    async def measured(body: bytes, header_length: int | None, *, rows: int = 1, **more: Any) -> Reply:  # noqa: ANN401
        try:
            reply = await infer(body, header_length, rows=rows, **more)
        except InferenceError as error:
            # With 200, the transport has not counted it: the model failed within a stream.
            if error.status == _OK and error.reason != Reason.STOPPED:
                answers.failures[str(error.reason)] += 1
            raise
        answers.ends.append(time.monotonic())
        answers.rows.append(rows)
        return reply

    setattr(client, "infer", measured)  # noqa: B010 - mypy lets no method be assigned


class _MeasuredTransport:
    """Counts and times what another transport sends."""

    def __init__(self, transport: Transport, answers: Answers, budget: Budget, on_spent: Callable[[], None]) -> None:
        self._transport = transport
        self._answers = answers
        self._budget = budget
        self._on_spent = on_spent

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one attempt, unless the budget is used up."""
        if not self._budget.take():
            self._on_spent()
            raise InferenceError("not sent: the trial is over", reason=Reason.STOPPED, attempts=0)
        self._answers.attempts += 1
        started = time.monotonic()
        try:
            reply = await self._transport.post(url, headers, body)
        except httpx.TimeoutException:
            self._answers.failures["timeout"] += 1
            raise
        except Exception:
            self._answers.failures["no answer"] += 1
            raise
        if reply.status == _OK:
            self._answers.attempt_ends.append(time.monotonic())
            self._answers.latencies.append(self._answers.attempt_ends[-1] - started)
        else:
            self._answers.failures[str(reply.status)] += 1
        return reply

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Ask for what is no inference, and costs nothing."""
        return await self._transport.get(url, headers)

    def close_idle(self) -> None:
        """Close the connections that carry no request."""
        self._transport.close_idle()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
