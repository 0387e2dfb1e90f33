"""A server that is away for a while, or for good: the run waits or ends in time, and what was done is kept."""

from __future__ import annotations

import threading
import time

import pytest

from dbt_triton.server import TritonServer
from faults import faults
from faults.conftest import MakePipeline
from faults.faults import always, status
from faults.harness import meanwhile
from faults.proxy import Exchange, Fault, FaultProxy
from faults.server import rows_run

ROWS = 4_000


@pytest.mark.parametrize("seconds", [0.5, 3])
def test_a_server_that_is_away_for_a_while_is_waited_for(
    seconds: float, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """Every connection breaks in mid-run and new ones are refused for a while: the run goes on, each row is right."""
    reviews = pipeline(ROWS, max_retries=2)
    reached = threading.Event()

    def plan(exchange: Exchange) -> Fault | None:
        if exchange.number == 40:
            reached.set()
        return None

    def outage() -> None:
        assert reached.wait(60)
        proxy.refuse()
        time.sleep(seconds)
        proxy.listen()

    proxy.plan = plan
    before = rows_run(triton)
    with meanwhile(outage):
        ran = reviews.run()
    assert ran.error is None
    assert ran.right == ROWS
    assert rows_run(triton) - before - ROWS <= reviews.in_flight


@pytest.mark.parametrize(
    "fault",
    [status(503, "Exceeds maximum queue size"), status(429), status(504), faults.GATEWAY_HTML],
    ids=lambda fault: fault.name,
)
def test_a_server_that_sheds_load_for_a_while_is_waited_for(
    fault: Fault, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """Two seconds in which every request is turned away, longer than the retries of any: each row is right, once."""
    reviews = pipeline(ROWS, max_retries=1)
    began: list[float] = []

    def plan(exchange: Exchange) -> Fault | None:
        if exchange.number == 20:
            began.append(exchange.started)
        return fault if began and exchange.started - began[0] < 2 else None

    proxy.plan = plan
    before = rows_run(triton)
    ran = reviews.run()
    assert ran.error is None
    assert ran.right == ROWS
    assert rows_run(triton) - before == ROWS
    # One probe at a time, not every request that waits.
    assert 4 < sum(proxy.ledger.faults.values()) < 60


@pytest.mark.parametrize("option", ["circuit_breaker_timeout", "run_timeout"])
@pytest.mark.parametrize(
    "fault",
    [status(503, "Exceeds maximum queue size"), faults.RESET_AFTER_BODY, faults.NEVER_ANSWERED],
    ids=lambda fault: fault.name,
)
def test_a_server_that_stays_away_ends_the_run_and_what_was_done_is_kept(
    fault: Fault, option: str, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """From request 40 on nothing succeeds: the run ends within its time, and the next one sends only the rest."""
    reviews = pipeline(ROWS, max_retries=2, timeout="1s", **{option: "4s"})
    proxy.plan = lambda exchange: fault if exchange.number >= 40 else None
    before, started = rows_run(triton), time.monotonic()
    ended = reviews.run()
    assert time.monotonic() - started < 40
    assert ended.error is not None
    assert "the next run goes on from there" in ended.error
    kept = reviews.kept()
    assert kept >= (39 - 4) * reviews.batch_size
    lost = proxy.ledger.rows_lost
    assert rows_run(triton) - before <= kept + lost
    # One probe at a time while nothing succeeds, not every request that waits.
    assert sum(proxy.ledger.faults.values()) <= 4 * 3 + 30
    proxy.plan = None
    ran = reviews.run()
    assert ran.right == ROWS
    assert ran.figures["rows_reused"] == kept
    assert rows_run(triton) - before - ROWS <= lost


def test_a_server_that_is_gone_ends_the_run_and_what_was_done_is_kept(
    triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """Connections are refused for good from mid-run on: the run ends in time, and the next one sends the rest."""
    reviews = pipeline(ROWS, max_retries=2, circuit_breaker_timeout="3s")
    reached = threading.Event()

    def plan(exchange: Exchange) -> Fault | None:
        if exchange.number == 40:
            reached.set()
        return None

    def outage() -> None:
        assert reached.wait(60)
        proxy.refuse()

    proxy.plan = plan
    before, started = rows_run(triton), time.monotonic()
    with meanwhile(outage):
        ended = reviews.run()
    assert time.monotonic() - started < 40
    assert ended.error is not None
    assert "cannot connect to Triton" in ended.error
    proxy.listen()
    assert reviews.run().right == ROWS
    assert rows_run(triton) - before - ROWS <= reviews.in_flight


@pytest.mark.parametrize(
    "fault", [status(500, "ValueError: a bug in the model"), faults.WRONG_DATATYPE], ids=lambda fault: fault.name
)
def test_a_model_that_fails_every_request_ends_the_run(
    fault: Fault, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """A model that fails at everything is no matter of bad rows: the run ends after some hundred requests."""
    reviews = pipeline(20_000, max_retries=0)
    proxy.plan = always(fault)
    ended = reviews.run()
    assert ended.error is not None
    assert "none succeeded" in ended.error
    assert len(proxy.ledger.exchanges) <= 1_000
    proxy.plan = None
    before = rows_run(triton)
    ran = reviews.run()
    # Rows that had failed alone before the run was ended may have been marked; no other row is.
    assert ran.right >= 20_000 - 256
    assert rows_run(triton) - before == 20_000 - len(ran.marked)
