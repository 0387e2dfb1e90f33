"""Several servers of which some lie, and rows that kill each server they meet: every other row is right and kept."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from unit.fleet import Model, SmallServer, predict
from unit.test_several_servers import TEXTS, check, fleet, run

from dbt_triton.engine import Engine, RunError


async def ended(
    servers: list[SmallServer], texts: list[str], meanwhile: Callable[[Engine], object] | None = None
) -> str:
    """Return why a run on these servers ends."""
    endpoint = ", ".join(server.url for server in servers)
    with pytest.raises(RunError) as caught:
        await predict(texts, endpoint, meanwhile=meanwhile, circuit_breaker_timeout="4s", timeout="2s")
    return str(caught.value)


@pytest.mark.parametrize("fault", ["reset", "die"])
@pytest.mark.parametrize("bad", [{"text 0"}, {f"text {number * 97}" for number in range(3)}])
def test_rows_that_kill_servers(bad: set[str], fault: str) -> None:
    """Each goes to two servers, whatever else these have in flight, also where it is the first row that is sent."""
    judge = lambda texts: fault if bad.intersection(texts) else None  # noqa: E731

    async def use() -> list[SmallServer]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, *[Model(0.001, judge=judge) for _ in range(4)])
            assert "no request succeeded for" in await ended(servers, TEXTS)
            return servers

    servers = asyncio.run(use())
    answered = sum((server.answered for server in servers), Counter())
    assert len(answered) == len(TEXTS) - 4 * len(bad)
    for text in bad:
        assert sum(bool(server.sent[text]) for server in servers) <= 2


def test_servers_that_never_come_back() -> None:
    """A request that was in flight at two of them does not keep the run for ever."""
    texts = TEXTS[:400]

    async def use() -> list[SmallServer]:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, *[Model(0.2) for _ in range(3)])

            async def outage(_: Engine) -> None:
                await asyncio.sleep(0.6)
                await servers[0].kill()
                await asyncio.sleep(0.1)
                await servers[1].kill()

            assert "no request succeeded for" in await asyncio.wait_for(ended(servers, texts, outage), 30)
            return servers

    servers = asyncio.run(use())
    broken = (servers[0].sent - servers[0].answered) & (servers[1].sent - servers[1].answered)
    answered = sum((server.answered for server in servers), Counter())
    assert broken
    assert set(answered) >= set(texts) - set(broken)


def test_server_that_refuses_everything() -> None:
    """As one does that has lost its model: no row fails for it, and it does not get its share all the time."""
    ran, servers = run(Model(0.005), Model(0.005), Model(fault=400))
    check(ran, servers)
    assert servers[2].requests <= 16 + 30


def test_server_whose_answers_cannot_be_decoded() -> None:
    """What it has answered is asked of another one, and no row fails."""
    ran, servers = run(Model(0.002), Model(0.002), Model(0.002, fault="nonsense"))
    check(ran, servers)
