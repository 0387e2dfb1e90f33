"""Several servers of which some lie, and rows that kill each server they meet: every other row is right and kept."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pyarrow as pa
import pytest
from unit.fleet import Model, SmallServer, predict
from unit.kserve import Kept
from unit.test_several_servers import TEXTS, check, fleet, run

from dbt_triton.engine import Engine, RunError, handover


async def ended(
    servers: list[SmallServer],
    texts: list[str],
    meanwhile: Callable[[Engine], object] | None = None,
    circuit_breaker_timeout: str = "4s",
) -> str:
    """Return why a run on these servers ends."""
    endpoint = ", ".join(server.url for server in servers)
    with pytest.raises(RunError) as caught:
        await predict(
            texts, endpoint, meanwhile=meanwhile, circuit_breaker_timeout=circuit_breaker_timeout, timeout="2s"
        )
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


def _with_output(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    """Change the only output of an answer."""
    return lambda body: orjson.dumps(body | {"outputs": [body["outputs"][0] | fields]})


def _with_data(change: Callable[[list[str]], list[Any]]) -> Callable[[dict[str, Any]], bytes]:
    """Change the values of the only output, and its shape by their number."""

    def changed(body: dict[str, Any]) -> bytes:
        data = change(body["outputs"][0]["data"])
        return _with_output(data=data, shape=[len(data), 1])(body)

    return changed


LIES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "an id of nobody": lambda body: orjson.dumps(body | {"id": "another"}),
    "a row too few": _with_data(lambda data: data[1:]),
    "a row too many": _with_data(lambda data: [*data, "X"]),
    "a datatype of its own": _with_output(datatype="INT32"),
    "no values": _with_data(lambda data: [None] * len(data)),
    "an output twice": lambda body: orjson.dumps(body | {"outputs": body["outputs"] * 2}),
    "no output": lambda body: orjson.dumps(body | {"outputs": []}),
    "no JSON": lambda _: b"<html>",
    "nothing": lambda _: b"",
}
#: What a language model answers, or what stands before it does.
LIES_IN_EVENTS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "an answer twice": lambda event: orjson.dumps(event) + b"\n\ndata: " + orjson.dumps(event),
    "no event": lambda _: b"",
    "no JSON": lambda _: b"{",
    "an end of another protocol": lambda event: orjson.dumps(event) + b"\n\ndata: [DONE]",
    "an error": lambda _: b'{"error": "out of paper"}',
    "a number": lambda event: orjson.dumps(event | {"text_output": 5}),
    "no value": lambda event: orjson.dumps(event | {"text_output": None}),
    "several values": lambda event: orjson.dumps(event | {"text_output": ["a", "b"]}),
}


@pytest.mark.parametrize("rows", ["1", "4"])
@pytest.mark.parametrize("lie", LIES)
def test_server_that_answers_wrongly(lie: str, rows: str) -> None:
    """Whatever it answers in place of predictions, its rows are those of the others: also one that is sent alone."""
    texts = TEXTS[:121]
    ran, servers = run(Model(), Model(), Model(change=LIES[lie]), texts=texts, batch_size=rows)
    check(ran, servers, texts)
    assert servers[2].requests


@pytest.mark.parametrize("lie", LIES_IN_EVENTS)
def test_language_model_that_answers_wrongly(lie: str) -> None:
    """A prompt that one server answers wrongly is asked of another one, once, before it has failed."""
    texts = TEXTS[:121]
    honest, liar = Model(generates=True), Model(generates=True, change=LIES_IN_EVENTS[lie])
    ran, servers = run(honest, honest, liar, texts=texts, batch_size="")
    assert max(check(ran, servers, texts).values()) <= 2
    assert servers[2].requests


def test_prompt_that_all_answer_wrongly() -> None:
    """It is asked of two servers and has failed then; the others are answered."""
    texts = TEXTS[:60]

    def change(event: dict[str, Any]) -> bytes:
        return orjson.dumps(event | ({"text_output": 5} if event["text_output"] == "TEXT 7" else {}))

    ran, servers = run(*[Model(generates=True, change=change)] * 3, texts=texts, batch_size="")
    assert ran.kept.failed_keys == [7]
    assert len(ran.kept.predictions_by_key) == len(texts) - 1
    assert sum((server.sent for server in servers), Counter())["text 7"] == 2


@pytest.mark.parametrize("batch_size", ["4", "1"])
def test_server_whose_answers_cannot_be_decoded(batch_size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has answered is asked of another one as it is, no row fails, and it is left out until it is well."""
    monkeypatch.setattr(handover, "CHUNK_SECONDS", 0.1)
    models = [Model(0.01), Model(0.01), Model(0.01, fault="nonsense")]
    ran, servers = run(*models, batch_size=batch_size)
    sent = check(ran, servers)
    assert max(sent.values()) <= 2
    assert servers[2].requests < sum(server.requests for server in servers) / 5


def test_server_whose_answers_can_be_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its share once an answer was decoded, and the run tells what was wrong with it."""
    monkeypatch.setattr(handover, "CHUNK_SECONDS", 0.1)

    async def mend(servers: list[SmallServer], _: Engine) -> None:
        await asyncio.sleep(2)
        servers[2].model.fault = None
        servers[2].began.clear()

    models = [Model(0.02), Model(0.02), Model(0.02, fault="nonsense")]
    ran, servers = run(*models, texts=[f"text {number}" for number in range(9_000)], meanwhile=mend)
    check(ran, servers, [f"text {number}" for number in range(9_000)])
    assert len(servers[2].began) > 100
    (note,) = ran.stats.notes
    assert servers[2].url in note
    assert "it was left out for a while, and the other servers did its rows" in note


def test_rows_that_no_server_answers_well_fail_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them fails, no server is left out for them, and none is asked more often than is needed to know."""
    monkeypatch.setattr(handover, "CHUNK_SECONDS", 0.1)
    bad = {f"text {number}" for number in range(0, 2_000, 50)}
    judge = lambda texts: "nonsense" if bad.intersection(texts) else None  # noqa: E731
    ran, servers = run(*[Model(0.002, judge=judge) for _ in range(3)])
    assert {f"text {key}" for key, _ in ran.kept.failed} == bad
    assert len(ran.kept.predictions_by_key) == len(TEXTS) - len(bad)
    assert ran.stats.notes == ()
    sent = sum((server.sent for server in servers), Counter())
    assert max(sent.values()) <= 4


def test_one_bad_answer_does_not_make_many_small_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All others of a chunk are handed over at once: a warehouse takes long for hundreds of small pieces."""
    pieces: list[int] = []
    whole = Kept.predictions

    def predictions(self: Kept, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        pieces.append(len(keys[0]))
        whole(self, keys, outputs)

    monkeypatch.setattr(Kept, "predictions", predictions)
    ran, _ = run(Model(judge=lambda texts: "nonsense" if "text 7" in texts else None))
    assert [key for key, _ in ran.kept.failed] == [7]
    assert sum(pieces) == len(TEXTS) - 1
    assert len(pieces) < 20


def test_servers_that_all_come_to_serve_another_version() -> None:
    """No server can come back to what the run began with: it ends at once, and says so of each."""

    async def use() -> str:
        async with AsyncExitStack() as stack:
            servers = await fleet(stack, *[Model(0.01) for _ in range(3)])

            async def upgrade(_: Engine) -> None:
                for server in servers:
                    await server.kill()
                    server.model.version = "2"
                await asyncio.sleep(0.2)
                for server in servers:
                    await server.start()

            return await asyncio.wait_for(ended(servers, TEXTS, upgrade, circuit_breaker_timeout="50s"), 20)

    assert "no server is left: Triton at http://127.0.0.1:" in asyncio.run(use())
