"""The servers of a run: which of them a request goes to, and which are left out for a while.

A request goes where the fewest are in flight in relation to what the server bears. That alone would send everything to
a server that fails at once, since it never has anything in flight. So a server where a request failed for its own sake,
and where nothing has succeeded since that request was sent, is left out: it is asked what it serves, after longer and
longer waits, and then gets one request at a time until one succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from dbt_triton.client import ClientStats, TritonClient
from dbt_triton.client.served import ServedModel, difference
from dbt_triton.engine.breaker import PROBE_MAX_SECONDS
from dbt_triton.engine.concurrency import ConcurrencyLimit
from dbt_triton.engine.decoding import to_blame
from dbt_triton.engine.server import Server, State, is_too_slow, named
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.instrumentation import event, reason_word

logger = logging.getLogger("dbt_triton.engine")

#: So many errors of its model in a row, while others succeed, are the server's.
_OWN_FAILURES = 16
#: Whoever waits for a server looks again after so many seconds: a Retry-After ends without anybody's word.
_LOOK_SECONDS = 0.1
#: How much of a server's latency is that of its last answer.
_SMOOTHING = 0.2


class Servers:
    """All servers of one run; use it as an async context manager, which closes their clients.

    Args:
        servers: one at least.
        total: how many requests may be in flight in all of them; None where each one's limit says.
        expected: what each must serve before it gets rows; None where that is not looked at.
        newcomers: finds addresses that a host has come to have, given the names of those that are known.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        total: int | None = None,
        expected: ServedModel | None = None,
        newcomers: Callable[[Collection[str]], Awaitable[list[Server]]] | None = None,
    ) -> None:
        self.all = list(servers)
        self.first = servers[0]
        #: The only one there can be, which the engine's own breaker looks after.
        self.only = servers[0] if len(servers) == 1 and newcomers is None else None
        self._total = total
        self._expected = expected
        self._newcomers = newcomers
        self._asked_at = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._returning: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._counter = 0
        #: Is told, once no server is left, why the last one is away.
        self.on_nobody: Callable[[InferenceError], None] = nobody_is_told
        #: Is told of a server that gets its share from now on.
        self.on_room: Callable[[], None] = nobody_is_told
        #: How many requests are still to be sent, once that is known.
        self.rest: Callable[[], int | None] = _not_known

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._returning:
            task.cancel()
        await asyncio.gather(*self._returning, return_exceptions=True)
        await asyncio.gather(*(server.client.aclose() for server in self.all))

    @classmethod
    def of(cls, client: TritonClient, limit: ConcurrencyLimit) -> Self:
        """Return the one server of a client."""
        return cls([Server(client, limit)])

    def begin(self) -> None:
        """Look at each of several servers before it gets rows."""
        if self.only is None:
            for server in self.all:
                server.state = State.AWAY
                self._bring_back(server, 0.0)

    @property
    def current(self) -> int:
        """How many requests may be in flight now, one at least."""
        if self.only is not None:
            return self.only.limit.current
        if self._total is not None:
            return self._total
        return sum(self._room(server) for server in self._wanted()) or 1

    @property
    def stats(self) -> ClientStats:
        """What was sent to all of them."""
        stats = ClientStats()
        for sent in (server.client.stats for server in self.all):
            stats.requests += sent.requests
            stats.retries += sent.retries
            stats.bytes_sent += sent.bytes_sent
            stats.bytes_received += sent.bytes_received
            stats.latencies += sent.latencies
        return stats

    @property
    def resume_at(self) -> float:
        """Until when the last of them asked us to wait."""
        return max(server.client.resume_at for server in self.all)

    @property
    def nobody_is_there(self) -> bool:
        """Whether every server is away, or has yet to show that it is not."""
        return all(server.state != State.PRESENT for server in self.all)

    def has_another(self, server: object) -> bool:
        """Tell whether there is a server besides this one."""
        return any(other.state == State.PRESENT for other in self.all if other is not server)

    @property
    def others_are_idle(self) -> bool:
        """Whether no server that is there has anything to do."""
        return not any(server.in_flight for server in self.all if server.state == State.PRESENT)

    @property
    def stopped(self) -> asyncio.Event:
        """Is set when the run ends."""
        return self._stopped

    def stop(self) -> None:
        """Send nothing more, and wake up whoever waits."""
        self._stopped.set()
        for server in self.all:
            server.client.stop()
        for task in self._returning:
            task.cancel()
        self._wake()

    async def take(
        self, not_at: object = None, only: Collection[Server] = (), *, seconds: float = float("inf")
    ) -> Server | None:
        """Return the server for a request, when there is room. It counts as in flight there.

        None when the run ends, or there was no room for so many seconds.

        Args:
            not_at: the server where it has failed, which gets it again only where there is no other.
            only: the servers that it may go to; any where there are none.
            seconds: how long to wait.
        """
        until = time.monotonic() + seconds
        while not self._stopped.is_set():
            server = self._best(not_at, only)
            if server is not None:
                server.in_flight += 1
                self._counter += 1
                server.used = self._counter
                return server
            if time.monotonic() >= until:
                return None
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await asyncio.wait([waiting], timeout=_LOOK_SECONDS)
        return None

    def give_back(self, server: Server) -> None:
        """Note that a request is not in flight any more."""
        server.in_flight -= 1
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def answered(self, server: Server, rows: int, seconds: float) -> None:
        """Note a request that was answered well after so many seconds."""
        server.succeeded_at = time.monotonic()
        server.failures = 0
        server.latency = seconds if server.latency is None else server.latency + _SMOOTHING * (seconds - server.latency)
        server.limit.answered(rows, seconds)
        self.alive(server)

    def alive(self, server: Server) -> None:
        """Note that a server looked at a request, whatever it said of it."""
        if server.state == State.TRIAL and not server.is_doubtful:
            logger.info("%s answers again", server.name)
            event("server.returned", server=server.name)
            server.is_back()
            self._wake()
            self.on_room()

    def failed(self, server: Server, error: InferenceError, started: float) -> None:
        """Judge a server by a request that failed there, perhaps for its sake.

        Args:
            server: that it was sent to.
            error: what came of it.
            started: when it was sent, on the monotonic clock.
        """
        if error.reason == Reason.TIMEOUT:
            server.latency = max(server.latency or 0.0, time.monotonic() - started)
        if error.reason in {Reason.MODEL_ERROR, Reason.WRONG_ANSWER, Reason.REFUSED}:
            server.failures += 1
            others_are_well = any(other.succeeded_at > server.succeeded_at for other in self.all if other is not server)
            # A refusal says that the server looked at the rows, unless it refuses everything.
            fails_its_trial = server.state == State.TRIAL and error.reason != Reason.REFUSED
            is_own = others_are_well and (server.failures >= _OWN_FAILURES or fails_its_trial)
        else:
            is_own = error.reason == Reason.REJECTED or server.succeeded_at < started
        if is_own:
            self._leave_out(server, error)
        elif server.state == State.TRIAL:
            self.alive(server)

    def decoded(self, well: Collection[object], badly: Sequence[tuple[object, InferenceError]]) -> Collection[object]:
        """Judge servers by answers that were decoded, or could not be; see `to_blame`, whose servers are returned."""
        blamed = to_blame(self.all, well, badly)
        for server in self.all:
            if server in well:
                self.alive(server)
            elif server in blamed:
                self._leave_out(server, named(blamed[server], server))
        return blamed

    @property
    def nobody_would_do(self) -> bool:
        """Whether each server has said that it does not serve what the run began with, or does not take its token."""
        return all(
            server.state == State.AWAY and server.why is not None and server.why.reason == Reason.REJECTED
            for server in self.all
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user is to know of servers that were left out, a sentence each."""
        return tuple(note for server in self.all if self.only is None and (note := server.note) is not None)

    def _leave_out(self, server: Server, why: InferenceError) -> None:
        if server.state != State.AWAY:
            logger.info("%s is left out for a while: %s (status %s)", server.name, why.reason, why.status)
            event("server.left_out", server=server.name, reason=reason_word(why.reason))
            server.leave_out(why)
            self._bring_back(server, server.delay)
            server.delay = min(2 * server.delay, PROBE_MAX_SECONDS)
            self._wake()

    async def choose_one(self) -> None:
        """Choose the one server of a run whose rows must all go to one: the first that serves what is expected.

        Raises:
            InferenceError: none of them does.
        """
        why: list[str] = []
        for server in self.all:
            error = await self._look_at(server, retries=True)
            if error is None:
                self.only = server
                return
            why.append(error.message)
        raise InferenceError("; ".join(why))

    def _room(self, server: Server) -> int:
        return server.limit.current if server.state == State.PRESENT else 1

    def _wanted(self, not_at: object = None, only: Collection[Server] = ()) -> list[Server]:
        """Return the servers that may get a request, full or not."""
        rest, there = self.rest(), [server for server in self.all if server.state != State.AWAY]
        if only:
            return [server for server in there if server in only]
        others = [server for server in there if server is not not_at]
        if any(server.state == State.PRESENT for server in others):
            there = others
        if rest is not None and len(there) > 1:
            there = [server for server in there if not is_too_slow(server, there, rest)]
        return there

    def _best(self, not_at: object, only: Collection[Server]) -> Server | None:
        now = time.monotonic()
        best, least = None, (2.0, 0)
        for server in self._wanted(not_at, only):
            room = self._room(server)
            if server.in_flight < room and server.client.resume_at <= now:
                load = (server.in_flight / room, server.used)
                if load < least:
                    best, least = server, load
        return best

    def _wake(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    def _bring_back(self, server: Server, delay: float) -> None:
        if not self._stopped.is_set():
            task = asyncio.create_task(self._return(server, delay))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _return(self, server: Server, delay: float) -> None:
        """Ask a server what it serves, again and again, until it serves what is expected."""
        has_failed, told = server.why is not None, False
        while server in self.all:
            wait = max(delay * random.uniform(0.75, 1.25), server.client.resume_at - time.monotonic())  # noqa: S311 - jitter
            await asyncio.sleep(wait)
            error = await self._look_at(server)
            if error is None:
                server.state = State.TRIAL if has_failed else State.PRESENT
                self._wake()
                self.on_room()
                return
            server.stays_out(error)
            if error.reason == Reason.REJECTED and not told:
                told = True
                logger.info("%s; it gets no rows", error.message)
            if self.nobody_is_there:
                self.on_nobody(error)
            delay = server.delay = min(2 * server.delay, PROBE_MAX_SECONDS)
            await self._welcome_newcomers()

    async def _look_at(self, server: Server, *, retries: bool = False) -> InferenceError | None:
        """Return why a server must not get rows; None for one that serves what is expected."""
        try:
            served = await server.client.served_model(retries=retries)
        except InferenceError as error:
            return named(error, server)
        told = None if self._expected is None else difference(self._expected, served)
        if told is None:
            return None
        return InferenceError(
            f"Triton at {server.name} serves {told[1]}, but the run began with {told[0]}, and a table holds the "
            "predictions of one model",
            reason=Reason.REJECTED,
        )

    async def _welcome_newcomers(self) -> None:
        """Find the addresses that a host has come to have since it was looked up last."""
        now = time.monotonic()
        if self._newcomers is None or now - self._asked_at < PROBE_MAX_SECONDS:
            return
        self._asked_at = now
        for server in await self._newcomers([server.name for server in self.all]):
            logger.info("%s has come to be", server.name)
            server.state = State.AWAY
            self.all.append(server)
            self._bring_back(server, 0.0)


def nobody_is_told(*_: object) -> None:
    """Stand for an engine that has not said what is to be done."""


def _not_known() -> int | None:
    """Say that it is not known how many requests there are."""
    return None
