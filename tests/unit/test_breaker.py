import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dbt_triton.engine import breaker as module
from dbt_triton.engine.breaker import BREAKER_FAILURES, Breaker
from dbt_triton.errors import InferenceError, Reason

PATIENCE_SECONDS = 20


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def error(reason: Reason = Reason.UNAVAILABLE, status: int | None = 503) -> InferenceError:
    """Make the error of a request."""
    return InferenceError("Exceeds maximum queue size", reason=reason, status=status, attempts=4)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let probes follow one another without a wait; the time is what the test says."""
    monkeypatch.setattr(module, "PROBE_INITIAL_SECONDS", 0.001)
    monkeypatch.setattr(module, "PROBE_MAX_SECONDS", 0.002)
    return Clock()


def run(use: Callable[[], Awaitable[Any]]) -> Any:
    """Run it, and fail if it hangs."""

    async def limited() -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await use()

    return asyncio.run(limited())


def test_one_probe_at_a_time(clock: Clock) -> None:
    """While the server is gone, one request probes it and all others wait; when the probe succeeds, all go on."""
    breaker = Breaker(60, 60, clock)
    gone, in_flight, most, probes = True, 0, 0, 0
    finished: list[int] = []

    async def send(number: int) -> None:
        nonlocal gone, in_flight, most, probes
        request, known = object(), False
        while True:
            await breaker.until_recovered(request)
            in_flight += 1
            if known:  # from here on the server is known to be gone
                most, probes = max(most, in_flight), probes + 1
            if probes == 20:
                gone = False
            await asyncio.sleep(0)
            in_flight -= 1
            if not gone:
                breaker.success()
                finished.append(number)
                return
            assert await breaker.outlive(error(), request) is None
            known = gone

    async def use() -> None:
        await asyncio.gather(*(send(number) for number in range(50)))

    run(use)
    assert sorted(finished) == list(range(50))
    assert most == 1


def test_run_ends_when_the_server_stays_away(clock: Clock) -> None:
    """After the patience without a success the run ends, with the server's last words; not before."""

    async def use() -> InferenceError | None:
        breaker, request = Breaker(60, 60, clock), object()
        assert await breaker.outlive(error(), request) is None
        clock.now += 59.9
        assert await breaker.outlive(error(), request) is None
        clock.now += 0.2
        return await breaker.outlive(error(), request)

    fatal = run(use)
    assert (
        str(fatal) == "no request succeeded for 60 s, so the run ends here; the last error: Exceeds maximum queue size"
    )
    assert (fatal.reason, fatal.status, fatal.attempts) == (Reason.UNAVAILABLE, 503, 4)


@pytest.mark.parametrize("sign", ["success", "alive", "refused"])
def test_any_sign_of_life_starts_the_patience_anew(clock: Clock, sign: str) -> None:
    """A success, or a row that the server refused, shows that it is there: the patience begins again."""

    async def use() -> None:
        breaker, request = Breaker(60, 60, clock), object()
        for _ in range(5):
            assert await breaker.outlive(error(), request) is None
            clock.now += 50
            if sign == "refused":
                assert breaker.failure(error(Reason.REFUSED, 400)) is None
            else:
                getattr(breaker, sign)()
            await breaker.until_recovered(object())

    run(use)


def test_retry_after_extends_the_patience(clock: Clock) -> None:
    """A server that said when it is back is given until then; one that then says so again has had its chance."""

    async def use() -> None:
        breaker, request = Breaker(60, 60, clock), object()
        assert await breaker.outlive(error(), request, not_before=clock.now + 300) is None
        clock.now += 200
        clock.now += 99
        assert await breaker.outlive(error(), request) is None
        clock.now += 2
        fatal = await breaker.outlive(error(), request, not_before=clock.now + 300)
        assert "no request succeeded for 301 s" in str(fatal)

    run(use)


def test_retry_after_without_end(clock: Clock) -> None:
    """A server that puts every request off by a few seconds, for ever, does not keep the run alive for ever."""

    async def use() -> int:
        breaker, request, seconds = Breaker(60, 60, clock), object(), 0
        while await breaker.outlive(error(), request, not_before=clock.now + 10) is None:
            clock.now += 10
            seconds += 10
            assert seconds < 600
        return seconds

    assert run(use) == 60


def test_retry_after_is_forgotten_with_the_outage(clock: Clock) -> None:
    """What a server asked for in an outage that is over does not prolong the next one."""

    async def use() -> None:
        breaker, request = Breaker(60, 60, clock), object()
        assert await breaker.outlive(error(), request, not_before=clock.now + 10_000) is None
        breaker.success()
        assert await breaker.outlive(error(), request) is None
        clock.now += 61
        assert await breaker.outlive(error(), request) is not None

    run(use)


def test_stop_wakes_everyone(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the run ends, whoever waits for the server goes on at once: the probe, and all that wait for it."""
    monkeypatch.setattr(module, "PROBE_INITIAL_SECONDS", 3600.0)
    monkeypatch.setattr(module, "PROBE_MAX_SECONDS", 3600.0)

    async def use() -> None:
        breaker, probe = Breaker(60, 60, clock), object()
        waiting = [asyncio.create_task(breaker.outlive(error(), probe))]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(breaker.outlive(error(), object())) for _ in range(3)]
        late = [asyncio.create_task(breaker.until_recovered(object())) for _ in range(3)]
        done, _ = await asyncio.wait([*waiting, *late], timeout=0.05)
        assert done == set()
        breaker.stop()
        assert await asyncio.gather(*waiting) == [None] * 4
        await asyncio.gather(*late)
        # Whoever learns of the outage only now does not wait either.
        assert await breaker.outlive(error(), object()) is None
        assert await breaker.outlive(error(), object()) is None
        await breaker.until_recovered(object())

    run(use)


def test_model_that_fails_every_request(clock: Clock) -> None:
    """256 errors of the model in a row, and no success among them, are no bad rows: the run ends."""
    breaker = Breaker(60, 60, clock)
    for reason in (Reason.MODEL_ERROR, Reason.WRONG_ANSWER):
        for _ in range(BREAKER_FAILURES - 1):
            assert breaker.failure(error(reason, 500)) is None
        breaker.success()
    for _ in range(BREAKER_FAILURES - 1):
        assert breaker.failure(error(Reason.MODEL_ERROR, 500)) is None
        assert breaker.failure(error(Reason.REFUSED, 400)) is None  # a bad row says nothing about the model
    fatal = breaker.failure(error(Reason.MODEL_ERROR, 500))
    assert str(fatal).startswith("256 requests failed, one after the other, and none succeeded")


def test_refused_rows_never_end_a_run(clock: Clock) -> None:
    """A server that refuses row after row is alive, however many they are and however long it takes."""
    breaker = Breaker(60, 60, clock)
    for _ in range(4 * BREAKER_FAILURES):
        clock.now += 1
        assert breaker.failure(error(Reason.REFUSED, 400)) is None


def test_timeouts(clock: Clock) -> None:
    """Requests that are not answered end the run too, after as long as one row may need to be given up."""
    breaker = Breaker(60, 150, clock)
    timeout = error(Reason.TIMEOUT, None)
    assert breaker.failure(timeout) is None
    clock.now += 149
    assert breaker.failure(timeout) is None
    clock.now += 2
    assert "no request succeeded for 151 s" in str(breaker.failure(timeout))
    breaker.success()
    clock.now += 1000
    assert breaker.failure(timeout) is None


def test_probe_that_is_not_answered(clock: Clock) -> None:
    """A probe that times out frees the others: it is split and comes back as other requests, or not at all."""

    async def use() -> None:
        breaker, probe = Breaker(60, 60, clock), object()
        assert await breaker.outlive(error(), probe) is None
        waiting = asyncio.create_task(breaker.until_recovered(object()))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert breaker.failure(error(Reason.TIMEOUT, None)) is None
        await waiting

    run(use)
