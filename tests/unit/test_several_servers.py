"""Several servers share the rows of a run: nothing is lost, and nothing is sent more often than to one."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from unit.fleet import Model, Ran, SmallServer, predict

from dbt_triton.engine import Engine, RunError
from dbt_triton.errors import ConfigurationError, InferenceError

TEXTS = [f"text {number}" for number in range(2_000)]
BATCH = 4


async def fleet(stack: AsyncExitStack, *models: Model) -> list[SmallServer]:
    """Start servers, one for each model."""
    return [await stack.enter_async_context(SmallServer(model)) for model in models]


def run(
    *models: Model, texts: list[str] = TEXTS, meanwhile: Any = None, **options: str
) -> tuple[Ran, list[SmallServer]]:
    """Predict texts by servers of these models."""

    async def use() -> tuple[Ran, list[SmallServer]]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, *models)
            endpoint = ", ".join(server.url for server in servers)
            during = (lambda engine: meanwhile(servers, engine)) if meanwhile else None
            return await predict(texts, endpoint, meanwhile=during, **options), servers

    return asyncio.run(use())


def check(ran: Ran, servers: list[SmallServer], texts: list[str] = TEXTS) -> Counter[str]:
    """Check that each row is right, once; return how often each text was sent to all servers together."""
    assert {key: row[0] for key, row in ran.kept.predictions_by_key.items()} == {
        key: text.upper() for key, text in enumerate(texts)
    }
    assert ran.kept.failed == []
    return sum((server.sent for server in servers), Counter())


@pytest.mark.parametrize("options", [{}, {"max_concurrent_operations": "12"}, {"max_concurrent_operations": "2"}])
def test_all_servers_work(options: dict[str, Any]) -> None:
    """Servers that are alike get about as many requests each, and no row is sent twice."""
    ran, servers = run(*[Model(0.005)] * 3, **options)
    assert set(check(ran, servers).values()) == {1}
    assert min(server.requests for server in servers) > 0.8 * max(server.requests for server in servers)
    total = int(options.get("max_concurrent_operations", 10_000))
    assert sum(server.most_in_flight for server in servers) <= total + 2


def test_nothing_waits_for_the_first_answer() -> None:
    """All servers have requests from the beginning, though each is looked at before it gets any."""
    _, servers = run(*[Model(1.0)] * 3, texts=TEXTS[:48])
    began = [moment for server in servers for moment in server.began]
    assert sum(moment < min(began) + 0.5 for moment in began) >= 6
    assert all(server.began[0] < min(began) + 0.5 for server in servers)


def test_server_that_is_ten_times_as_slow() -> None:
    """It gets about its share, and the end of the run does not wait for a pile of requests on it."""
    fast, slow = Model(0.01), Model(0.1)
    longer = []
    for _ in range(3):
        two, _ = run(fast, fast)
        ran, servers = run(fast, fast, slow)
        assert set(check(ran, servers).values()) == {1}
        requests = [server.requests for server in servers]
        assert 0.02 * sum(requests) < requests[2] < 0.12 * sum(requests)
        longer.append(ran.seconds - two.seconds)
    assert min(longer) < 0.4, longer  # a busy machine may hold up one run of them


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_server_that_answers_errors_only(status: int) -> None:
    """The others do its rows; it gets a request now and then, not all of them for being idle."""
    ran, servers = run(Model(0.005), Model(0.005), Model(fault=status))
    sent = check(ran, servers)
    assert max(sent.values()) <= 2 + 3
    assert servers[2].requests <= 16 + 20
    assert sum(sent.values()) - len(TEXTS) <= BATCH * servers[2].requests


@pytest.mark.parametrize("options", [{}, {"batch_size": "1"}])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_server_that_refuses_everything(status: int, options: dict[str, str]) -> None:
    """A gateway before one server may refuse what the others take: no row has failed, nor do requests get smaller."""
    ran, servers = run(Model(0.002), Model(0.002), Model(fault=status), texts=TEXTS[:600], **options)
    check(ran, servers, TEXTS[:600])
    if status == 413:
        assert servers[0].requests + servers[1].requests == len(servers[0].answered + servers[1].answered) / int(
            options.get("batch_size", BATCH)
        )


def test_server_that_hangs() -> None:
    """Its rows are sent to others when their time is over; no row is sent there more often than its retries say."""
    ran, servers = run(Model(0.005), Model(0.005), Model(fault="hang"), timeout="500ms")
    sent = check(ran, servers)
    assert max(sent.values()) <= 2
    assert ran.seconds < 5
    assert servers[2].requests <= 16 + 10


@pytest.mark.parametrize("fault", ["kill", "reset"])
def test_server_that_is_killed_and_comes_back(fault: str) -> None:
    """What was in flight there is sent once more, to others; it gets rows again when it is back."""

    async def outage(servers: list[SmallServer], _: Engine) -> None:
        while servers[1].requests < 40:  # noqa: ASYNC110 - the server counts
            await asyncio.sleep(0.005)
        known = servers[1].in_flight
        if fault == "kill":
            await servers[1].kill()
        else:
            servers[1].model.fault = "reset"
        await asyncio.sleep(0.3)
        assert known <= 64
        servers[1].model.fault = None
        servers[1].began.clear()
        if fault == "kill":
            await servers[1].start()

    texts = [f"text {number}" for number in range(8_000)]
    ran, servers = run(Model(0.005), Model(0.005), Model(0.005), texts=texts, meanwhile=outage)
    sent = check(ran, servers, texts)
    assert max(sent.values()) <= 3
    assert sum(sent.values()) - len(texts) <= BATCH * 64
    assert len(servers[1].began) > 20


def test_request_that_kills_servers_does_not_kill_all() -> None:
    """A request that breaks its connection at two servers goes to no third one; every other row is done and kept."""
    judge = lambda texts: "reset" if "text 1000" in texts else None  # noqa: E731
    models = [Model(0.001, judge=judge) for _ in range(4)]

    async def use() -> tuple[RunError, list[SmallServer]]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, *models)
            with pytest.raises(RunError) as caught:
                await predict(TEXTS, ", ".join(one.url for one in servers), circuit_breaker_timeout="1s", timeout="1s")
            return caught.value, servers

    error, servers = asyncio.run(use())
    assert "no request succeeded for" in str(error)
    assert len([server for server in servers if server.sent["text 1000"]]) == 2
    answered = sum((server.answered for server in servers), Counter())
    assert len(answered) >= len(TEXTS) - BATCH


def test_all_servers_away_end_the_run_in_time() -> None:
    """The run ends when none has succeeded for circuit-breaker-timeout, and says which server said what."""

    async def outage(servers: list[SmallServer], _: Engine) -> None:
        while servers[0].requests < 20:  # noqa: ASYNC110 - the server counts
            await asyncio.sleep(0.005)
        for server in servers:
            await server.kill()

    started = time.monotonic()
    with pytest.raises(RunError, match=r"no request succeeded for [12] s.*cannot connect to Triton at http://127"):
        run(Model(0.01), Model(0.01), meanwhile=outage, circuit_breaker_timeout="1s")
    assert time.monotonic() - started < 10


def test_all_servers_away_for_a_while_are_waited_for() -> None:
    """Both are killed and come back after a while: the run goes on, each row is right."""

    async def outage(servers: list[SmallServer], _: Engine) -> None:
        while servers[0].requests < 20:  # noqa: ASYNC110 - the server counts
            await asyncio.sleep(0.005)
        for server in servers:
            await server.kill()
        await asyncio.sleep(1)
        for server in servers:
            await server.start()

    ran, servers = run(Model(0.01), Model(0.01), meanwhile=outage)
    assert max(check(ran, servers).values()) <= 3


def test_retry_after_is_a_servers_own() -> None:
    """A server that asks for a minute's rest gets it, and the run does not wait for it."""

    async def rest(servers: list[SmallServer], _: Engine) -> None:
        await asyncio.sleep(0.1)
        servers[0].model.fault, servers[0].model.retry_after = 503, "60"
        await asyncio.sleep(0.3)
        servers[0].began.clear()

    ran, servers = run(Model(0.01), Model(0.01), texts=TEXTS * 2, meanwhile=rest)
    assert len(ran.kept.predictions_by_key) == 2 * len(TEXTS)
    assert servers[0].began == []
    assert ran.seconds < 20


def test_different_versions_are_an_error_before_a_row_is_sent() -> None:
    """The error says which server serves what."""
    for other, said in ((Model(version="2"), "serves version 2"), (Model(max_batch_size=8), "serves max_batch_size 8")):
        with pytest.raises(ConfigurationError, match=said) as caught:
            run(Model(), other)
        assert str(caught.value).count("http://127.0.0.1:") == 2


def test_server_that_is_away_at_first() -> None:
    """It is told, the others do the work, and it gets rows when it comes; not if it serves another version by then."""
    texts = [f"text {number}" for number in range(6_000)]

    async def use(version: str) -> tuple[Ran, SmallServer, SmallServer]:
        async with AsyncExitStack() as stack:
            (here,) = await fleet(stack, Model(0.01))
            (late,) = await fleet(stack, Model(0.01, version=version))
            await late.kill()

            async def come(_: Engine) -> None:
                await asyncio.sleep(0.5)
                await late.start()

            return await predict(texts, f"{here.url}, {late.url}", meanwhile=come), here, late

    for version in ("1", "2"):
        ran, here, late = asyncio.run(use(version))
        assert set(check(ran, [here, late], texts).values()) == {1}
        assert len(ran.notes) == 1
        assert f"cannot connect to Triton at {late.url}" in ran.notes[0]
        assert (late.requests > 20) == (version == "1")


def test_version_that_changes_in_mid_run() -> None:
    """A server that answers by another version is left out, and none of its answers is taken."""

    async def change(servers: list[SmallServer], _: Engine) -> None:
        await asyncio.sleep(0.2)
        servers[0].model.version = "2"
        await asyncio.sleep(0.2)
        servers[0].began.clear()

    ran, servers = run(Model(0.01), Model(0.01), texts=TEXTS * 2, meanwhile=change)
    assert len(ran.kept.predictions_by_key) == 2 * len(TEXTS)
    assert servers[0].began == []


def test_no_server_answers() -> None:
    """The error names all of them."""

    async def use() -> None:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, Model(), Model())
            for server in servers:
                await server.kill()
            with pytest.raises(InferenceError) as caught:
                await predict(TEXTS, ", ".join(server.url for server in servers), max_retries="0")
            assert all(server.url in str(caught.value) for server in servers)

    asyncio.run(use())


def test_bad_row_is_marked_alone() -> None:
    """A row that the model fails on is computed so often as with one server, and is the only one that fails."""
    judge = lambda texts: 500 if "text 7" in texts else None  # noqa: E731
    one, alone = run(Model(0.001, judge=judge))
    three, servers = run(*[Model(0.001, judge=judge)] * 3)
    assert [key for key, _ in three.kept.failed] == [key for key, _ in one.kept.failed] == [7]
    assert "http://127.0.0.1:" in str(three.kept.failed[0][1].error)
    sent = sum((server.sent for server in servers), Counter())
    assert sent["text 7"] <= alone[0].sent["text 7"]


def test_row_that_hangs_is_sent_as_often_as_to_one() -> None:
    """Timeouts count in all servers together."""
    judge = lambda texts: "hang" if "text 7" in texts else None  # noqa: E731
    few = TEXTS[:400]
    one, alone = run(Model(0.001, judge=judge), texts=few, timeout="300ms")
    three, servers = run(*[Model(0.001, judge=judge)] * 3, texts=few, timeout="300ms")
    assert [key for key, _ in three.kept.failed] == [key for key, _ in one.kept.failed] == [7]
    assert sum(server.sent["text 7"] for server in servers) <= alone[0].sent["text 7"]


def test_one_sequence_stays_on_one_server() -> None:
    """All rows of a sequence-id go to one server, in order."""
    ran, servers = run(*[Model(sequences=True)] * 3, texts=TEXTS[:50], sequence_id="7", batch_size="")
    assert set(check(ran, servers, TEXTS[:50]).values()) == {1}
    assert sorted(server.requests for server in servers) == [0, 0, 50]


def test_each_sequence_stays_on_one_server() -> None:
    """All servers get sequences, each as a whole; that of a server which is killed starts again on another."""

    async def outage(servers: list[SmallServer], _: Engine) -> None:
        while servers[1].requests < 30:  # noqa: ASYNC110 - the server counts
            await asyncio.sleep(0.002)
        await servers[1].kill()

    texts = [f"{sequence}-{step}" for sequence in range(100) for step in range(10)]
    options = {"sequence_by": "text", "batch_size": "", "circuit_breaker_timeout": "5s"}
    ran, servers = run(*[Model(0.002, sequences=True)] * 3, texts=texts, meanwhile=outage, **options)
    check(ran, servers, texts)
    for server in servers:
        steps: dict[int, list[bool]] = {}
        for said in server.parameters:
            steps.setdefault(said["sequence_id"], []).append(said["sequence_start"])
        assert all(starts[0] and not any(starts[1:]) for starts in steps.values() if len(starts) > 1)
        assert len(steps) > 2


def test_language_models_on_several_servers() -> None:
    """Prompts are shared out, and go on to others where a server is killed or busy."""

    async def outage(servers: list[SmallServer], _: Engine) -> None:
        while servers[1].requests < 30:  # noqa: ASYNC110 - the server counts
            await asyncio.sleep(0.005)
        await servers[1].kill()

    few = TEXTS[:600]
    models = [Model(0.02, generates=True), Model(0.02, generates=True), Model(fault=503, generates=True)]
    ran, servers = run(*models, texts=few, meanwhile=outage, batch_size="")
    sent = check(ran, servers, few)
    computed = servers[0].sent + servers[1].sent
    assert max(computed.values()) <= 2
    assert servers[2].requests < 60
    assert sum(sent.values()) - len(few) < 150
