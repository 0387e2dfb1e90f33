import asyncio
import heapq
from collections.abc import Callable
from itertools import pairwise

import pytest
from unit.kserve import Kept, UpperModel, batches_of, run_engine

from dbt_triton.engine.concurrency import MAX, MAX_SELF_BATCHING, START, ConcurrencyLimit


class Server:
    """A server on a clock of its own: ``slots`` requests at a time, each of which takes ``seconds``.

    More than ``slots`` requests in flight wait, so that only their latency grows.
    """

    def __init__(self, slots: int, seconds: float = 0.01, fixed: int | None = None, noise: float = 0.0) -> None:
        self.now = 0.0
        self.slots = slots
        self.limit = ConcurrencyLimit(fixed, lambda: self.now)
        self.seen: list[int] = []
        self._seconds = seconds
        self._noise = noise
        self._count = 0

    def serve(self, requests: int) -> ConcurrencyLimit:
        """Answer requests, as many in flight as the limit says."""
        for _ in range(requests):
            self._count += 1
            # A fixed pattern in place of chance: some requests take longer, some less.
            factor = 1 + self._noise * ((self._count * 7919 % 201) / 100 - 1)
            self.now += factor * self._seconds / min(self.limit.current, self.slots)
            self.limit.answered(64)
            self.seen.append(self.limit.current)
        return self.limit


class Sharing:
    """A server that batches by itself: with n requests in flight, each takes about ``a + b * n`` seconds.

    It works on all of them, or on ``slots`` at a time; some are long and some short, by a fixed pattern.
    """

    def __init__(self, a: float, b: float, *, slots: int = 10**9, timeout: float = 120.0) -> None:
        self.now = self._progress = 0.0
        self.a, self.b, self.slots = a, b, slots
        self.limit = ConcurrencyLimit(None, lambda: self.now, most=MAX_SELF_BATCHING, timeout=timeout)
        self.late = 0
        self.timeout = timeout
        self.changes: list[tuple[float, int]] = []
        self._running: list[tuple[float, float]] = []
        self._waiting: list[tuple[float, float]] = []
        self._count = 0

    def rate(self, requests: int) -> float:
        """Return how many requests a second it answers with so many in flight."""
        running = min(requests, self.slots)
        return running / (self.a + self.b * running)

    def serve(self, requests: int) -> float:
        """Answer requests, as many in flight as the limit says. Returns how many a second, over the last half."""
        half = 0.0
        for number in range(requests):
            while len(self._running) + len(self._waiting) < self.limit.current:
                self._count += 1
                self._waiting.append((self.now, 1 + 0.8 * ((self._count * 7919 % 201) / 100 - 1)))
            while self._waiting and len(self._running) < self.slots:
                started, length = self._waiting.pop(0)
                heapq.heappush(self._running, (self._progress + length, started))
            in_flight = len(self._running)
            done, started = heapq.heappop(self._running)
            self.now += (done - self._progress) * (self.a + self.b * in_flight)
            self._progress = done
            before = self.limit.current
            self.limit.answered(1, self.now - started)
            if self.now - started > self.timeout:
                self.late += 1
                self.limit.overloaded()
            if self.limit.current != before:
                self.changes.append((self.now, self.limit.current))
            half = half or (self.now if number > requests / 2 else 0.0)
        return requests / 2 / (self.now - half)


@pytest.mark.parametrize(
    ("a", "b", "slots"),
    [
        (0.005, 0.005, 10**9),
        (0.01, 0.0001, 10**9),
        (0.5, 0.01, 10**9),
        (1, 0.01, 10**9),
        (1, 0.1, 10**9),
        (1, 1, 10**9),
        (2, 0.002, 10**9),
        (5, 0, 64),
        (20, 0.05, 256),
        (10, 0.01, 10**9),
    ],
)
def test_latency_that_grows_with_load_is_no_overload(a: float, b: float, slots: int) -> None:
    """Where each request makes all slower and throughput still grows, the limit grows until the server is full."""
    server = Sharing(a, b, slots=slots)
    rate = server.serve(30_000)
    assert rate >= 0.75 * server.rate(MAX_SELF_BATCHING)
    assert server.limit.current <= MAX_SELF_BATCHING


@pytest.mark.parametrize(("a", "b"), [(30, 0.1), (10, 0.5), (40, 0.02), (20, 0.2)])
def test_no_more_are_in_flight_than_are_answered_in_time(a: float, b: float) -> None:
    """The limit stops growing before load makes the slowest requests late; hardly any is computed in vain."""
    server = Sharing(a, b)
    server.serve(30_000)
    assert server.late <= 30_000 * 0.005
    assert server.limit.current > START


def test_minutes_a_request_are_no_reason_to_begin_slowly() -> None:
    """A thousand are in flight after about six times what a request takes."""
    server = Sharing(60, 0.0)
    server.serve(8_000)
    when = next(now for now, limit in server.changes if limit >= 1024)
    assert when <= 8 * 60


def usual(server: Server, share: float = 0.5) -> float:
    """Return the mean limit over the last part of what was served."""
    last = server.seen[int(len(server.seen) * (1 - share)) :]
    return sum(last) / len(last)


@pytest.mark.parametrize("slots", [1, 8, 32, 100, 1000])
@pytest.mark.parametrize("noise", [0.0, 0.8])
def test_finds_what_the_server_bears(slots: int, noise: float) -> None:
    """The limit grows while more requests in flight bring more rows a second, and stays where they only wait longer."""
    server = Server(slots, noise=noise)
    server.serve(100_000)
    assert min(server.seen) >= 1
    assert max(server.seen) <= MAX
    assert usual(server) >= min(max(slots, START), MAX) * 0.9
    assert usual(server) <= min(2.2 * max(slots, START), MAX)


@pytest.mark.parametrize(("start", "most"), [(1, 2), (2, 32), (8, 128)])
def test_a_share_is_never_exceeded(start: int, most: int) -> None:
    """An engine that shares a server with others begins with its share of the requests in flight, and keeps to it."""
    server = Server(1000)
    server.limit = ConcurrencyLimit(None, lambda: server.now, start=start, most=most)
    assert server.limit.current == start
    server.serve(20_000)
    assert max(server.seen) == most


def test_grows_quickly() -> None:
    """From 16 to 256 takes four doublings: a few thousand requests, not the whole run."""
    server = Server(1000)
    assert server.serve(4000).current == MAX


def test_steps_back_when_only_latency_grows() -> None:
    """A server that is busy with 16 requests gets 32 for one window, and then 16 again, each time it is tried."""
    server = Server(START)
    server.serve(30_000)
    assert max(server.seen) == 2 * START
    tried_later = server.seen[10_000:]
    assert set(tried_later) <= {START, START + 8}
    assert tried_later.count(START + 8) < 0.1 * len(tried_later)


def test_halves_on_overload_once_a_window() -> None:
    """Requests that fail together halve the limit once; those of the next window halve it again, down to 1."""
    server = Server(1000)
    limit = server.serve(4000)
    halves = []
    while limit.current > 1:
        for _ in range(50):
            limit.overloaded()
        halves.append(limit.current)
        while limit._decreased:
            server.serve(1)
    assert halves == [128, 64, 32, 16, 8, 4, 2, 1]
    limit.overloaded()
    assert limit.current == 1


def test_recovers_after_an_overload() -> None:
    """When the server bears more again, the limit grows again, step by step and not by doubling."""
    server = Server(1000)
    server.serve(4000).overloaded()
    assert server.limit.current == MAX // 2
    before = len(server.seen)
    server.serve(200_000)
    grown = server.seen[before:]
    assert max(later - earlier for earlier, later in pairwise(grown)) == 8
    assert server.limit.current == MAX


def test_follows_a_server_that_grows() -> None:
    """A server that gets more workers in mid-run gets more requests."""
    server = Server(16)
    server.serve(20_000)
    server.slots = 64
    server.serve(400_000)
    assert 50 < usual(server, 0.1) < 110


@pytest.mark.parametrize("fixed", [1, 7, 1000])
def test_fixed(fixed: int) -> None:
    """A number that the user wrote never changes, whatever the server does."""
    server = Server(4, fixed=fixed)
    for _ in range(100):
        server.serve(100).overloaded()
    assert set(server.seen) == {fixed}
    assert server.limit.current == fixed


def test_stays_within_its_bounds() -> None:
    """Whatever comes in whatever order, the limit is between 1 and 256."""
    for step in range(2, 40):
        server = Server(step * 10, noise=0.9)
        for number in range(3000):
            server.serve(1)
            if number % (step * step) == 0:
                server.limit.overloaded()
        assert min(server.seen) >= 1
        assert max(server.seen) <= MAX


@pytest.mark.parametrize("limit", [1, 3, 40])
def test_never_more_in_flight_than_the_limit(limit: int) -> None:
    """A fixed limit is kept, and used: so many requests are in flight, and never one more."""
    full = asyncio.Event()

    async def until_full(_: list[str]) -> None:
        if model.in_flight == limit:
            full.set()
        await asyncio.wait_for(full.wait(), 20)
        await asyncio.sleep(0)

    model = UpperModel(before=until_full)
    sink, texts = Kept(), [f"text {number}" for number in range(800)]
    asyncio.run(run_engine(model, batches_of(texts), sink, options={"max-concurrent-operations": limit}))
    assert model.most_in_flight == limit
    assert len(sink.predictions_by_key) == 800


def _overload_when(more_than: int) -> tuple[UpperModel, Callable[[], int]]:
    model = UpperModel(lambda _: (503, "Exceeds maximum queue size") if model.in_flight >= more_than else None)
    model._before = lambda _: asyncio.sleep(0.001)
    return model, lambda: model.most_in_flight


def test_auto_is_kept_by_the_engine() -> None:
    """With auto, a server that sheds load above 24 requests gets every row's answer, and never 256 at once."""
    model, most = _overload_when(24)
    sink, texts = Kept(), [f"text {number}" for number in range(4000)]
    options = {"max-retries": "20"}
    asyncio.run(run_engine(model, batches_of(texts), sink, options=options))
    assert len(sink.predictions_by_key) == 4000
    assert sink.failed == []
    assert START <= most() < 64
