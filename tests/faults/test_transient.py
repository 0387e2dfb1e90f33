"""Faults that pass: every row gets its prediction, and what is run twice is what was lost on the way."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from dbt_triton.client import retries
from dbt_triton.server import TritonServer
from faults import faults
from faults.conftest import MakePipeline
from faults.faults import at, every, first, status
from faults.proxy import Exchange, Fault, FaultProxy
from faults.server import rows_run

ROWS = 2_000

PASSING = [
    faults.RESET_AFTER_BODY,
    faults.RESET_WITHIN_ANSWER,
    faults.CLOSE_UNANSWERED,
    faults.TRUNCATED,
    status(408),
    status(429),
    status(500, "a failure that passes"),
    status(502),
    status(503, "[request id: <id_unknown>] Exceeds maximum queue size"),
    status(504),
    status(404, "Request for unknown model: 'faulty' has no available versions"),
    faults.GATEWAY_HTML,
    faults.slow_first_byte(0.3),
    faults.slow_drip(0.3),
    faults.OTHER_ORDER,
    faults.EXTRA_AXIS,
]
WRONG = [
    faults.HTML_WITH_200,
    faults.SHORTENED,
    faults.OVERSIZED,
    faults.EMPTY,
    faults.INVALID_JSON,
    faults.HEADER_LENGTH_SHORT,
    faults.HEADER_LENGTH_LONG,
    faults.TWO_COLUMNS,
    faults.ONE_ROW_LESS,
    faults.ONE_ROW_MORE,
    faults.FEWER_ELEMENTS,
    faults.WRONG_DATATYPE,
    faults.SWAPPED,
    faults.MISSING_OUTPUT,
    faults.NO_OUTPUTS,
    faults.NOT_UTF8,
    faults.LENGTHS_LIE,
]


@pytest.mark.parametrize("fault", [*PASSING, *WRONG], ids=lambda fault: fault.name)
def test_a_fault_that_passes_costs_no_row(
    fault: Fault, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """Four requests in a row that meet a fault: each row is right, and only rows whose answer was lost run twice."""
    reviews = pipeline(ROWS)
    proxy.plan = first(4, fault)
    before = rows_run(triton)
    ran = reviews.run()
    assert ran.error is None
    assert ran.right == ROWS
    assert proxy.ledger.faults == {fault.name: 4}
    again = rows_run(triton) - before - ROWS
    assert again <= proxy.ledger.rows_lost <= reviews.in_flight


def test_an_answer_that_comes_twice_is_not_taken_for_the_next_one(
    triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """A gateway that repeats an answer puts its connection out of step: no row gets the prediction of another."""
    reviews = pipeline(ROWS)
    proxy.plan = every(5, faults.ANSWERED_TWICE)
    before = rows_run(triton)
    assert reviews.run().right == ROWS
    # Each repeated answer costs, at most, the request that it met.
    repeated = proxy.ledger.faults[faults.ANSWERED_TWICE.name]
    assert rows_run(triton) - before - ROWS <= repeated * reviews.batch_size


@pytest.mark.parametrize("fault", [faults.RESET_BEFORE_BODY, faults.RESET_WITHIN_BODY], ids=lambda fault: fault.name)
def test_a_request_that_does_not_arrive_is_not_run_twice(
    fault: Fault, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """A connection that breaks before the server has the whole request: each row is right, none is run twice."""
    reviews = pipeline(ROWS)
    proxy.head_plan = first(4, fault)
    before = rows_run(triton)
    ran = reviews.run()
    assert ran.right == ROWS
    assert proxy.ledger.faults == {fault.name: 4}
    assert rows_run(triton) - before == ROWS


def test_a_server_that_is_away_at_the_start_costs_nothing(
    triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """Connection refused: one clear sentence, nothing sent; the next run does it all, once."""
    reviews = pipeline(ROWS, max_retries=1)
    before = rows_run(triton)
    proxy.refuse()
    refused = reviews.run()
    assert refused.error is not None
    assert f"cannot connect to Triton at {proxy.url}" in refused.error
    proxy.listen()
    assert reviews.run().right == ROWS
    assert rows_run(triton) - before == ROWS


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "a past date", "nonsense"])
def test_retry_after_holds_back_the_whole_client(
    code: int, form: str, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """One request is told to come back later: no request at all is sent until then, and each row is right."""
    reviews = pipeline(ROWS, max_concurrent_operations=2)
    moment = {"date": 3, "a past date": -3600}.get(form, 0)

    def plan(exchange: Exchange) -> Fault | None:
        if exchange.number != 5:
            return None
        date = formatdate(time.time() + moment, usegmt=True)
        return status(code, retry_after={"seconds": "2", "nonsense": "soon"}.get(form, date))

    proxy.plan = plan
    before = rows_run(triton)
    assert reviews.run().right == ROWS
    assert rows_run(triton) - before == ROWS
    asked = proxy.ledger.exchanges[4].started
    waited = min(later.started for later in proxy.ledger.exchanges[6:]) - asked
    # Of a date, the second that is under way is cut off; one request may already be on its way.
    assert waited >= {"seconds": 1.9, "date": 1.9}.get(form, 0)


def test_an_answer_that_comes_too_late_is_asked_for_again(
    triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """No answer, or a first byte or last byte after the timeout: the request is sent again, and each row is right."""
    reviews = pipeline(ROWS, timeout="500ms")
    proxy.plan = first(3, faults.NEVER_ANSWERED, faults.slow_first_byte(3), faults.slow_drip(3))
    before = rows_run(triton)
    assert reviews.run().right == ROWS
    assert len(proxy.ledger.faults) == 3
    assert rows_run(triton) - before - ROWS <= 3 * reviews.batch_size


def test_a_wall_clock_that_jumps_does_not_hang_a_run(
    proxy: FaultProxy, pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that goes back a day, then ahead, while the client waits and backs off: no wait grows longer."""
    reviews = pipeline(ROWS)
    now = time.time
    meets = first(6, status(503, retry_after="1"), status(429), faults.RESET_AFTER_BODY)

    def jumping(exchange: Exchange) -> Fault | None:
        offset = {1: -86_400, 4: 86_400}.get(exchange.number)
        if offset is not None:
            monkeypatch.setattr(time, "time", lambda: now() + offset)
        return meets(exchange)

    proxy.plan = jumping
    started = time.monotonic()
    assert reviews.run().right == ROWS
    assert time.monotonic() - started < 60


def test_a_retry_date_of_a_server_whose_clock_is_wrong_does_not_hang_a_run(
    proxy: FaultProxy, pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date that is a day ahead is no reason to wait for a day: a wait has a longest time, here of a second."""
    monkeypatch.setattr(retries, "RETRY_AFTER_MAX_SECONDS", 1.0)
    reviews = pipeline(ROWS)
    proxy.plan = at(20, status(503, retry_after=formatdate(time.time() + 86_400, usegmt=True)))
    started = time.monotonic()
    assert reviews.run().right == ROWS
    assert time.monotonic() - started < 60
