import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from unit.kserve import Kept, UpperModel, batches_of, run_engine

from dbt_triton.engine.concurrency import MAX, START, ConcurrencyLimit


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
