"""Faults that stay with one row: that row is marked, every other one is right."""

from __future__ import annotations

import math

import pytest

from dbt_triton.server import TritonServer
from faults import faults
from faults.conftest import MakePipeline
from faults.faults import status, with_text
from faults.proxy import Fault, FaultProxy
from faults.server import rows_run
from faults.test_transient import WRONG

ROWS = 1_000
PLACE = 500
POISON = "poison in the middle of a batch"


@pytest.mark.parametrize(
    "fault",
    [
        *WRONG,
        status(400, "a text is too long"),
        status(413, "too large"),
        status(422, "unprocessable"),
        status(500, "Failed to process the request(s) for model 'faulty', message: ValueError: boom"),
    ],
    ids=lambda fault: fault.name,
)
def test_a_fault_that_stays_with_a_row_marks_that_row_alone(
    fault: Fault, triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """An answer that is wrong for one row, however often it is sent: it is marked, the 999 others are right."""
    reviews = pipeline(ROWS, max_retries=1)
    reviews.put(PLACE, POISON)
    proxy.plan = with_text(POISON.encode(), fault)
    before = rows_run(triton)
    ran = reviews.run()
    assert ran.error is None
    assert list(ran.marked) == [POISON]
    assert rows_run(triton) - before - (ROWS - 1) <= proxy.ledger.rows_lost
    # Split in two until it is alone; a 500 is tried once more, then.
    assert sum(proxy.ledger.faults.values()) <= math.log2(reviews.batch_size) + 4
    assert proxy.ledger.rows_lost <= 3 * reviews.batch_size


@pytest.mark.parametrize("binary", ["true", "false"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RAISE in the middle of a batch", "a text asked the model to raise"),
        ("REFUSE in the middle of a batch", "a text asked to be refused"),
        ("LATIN in the middle of a batch", ""),
    ],
)
def test_a_row_that_the_model_cannot_bear_is_marked_with_its_words(
    text: str, said: str, binary: str, triton: TritonServer, pipeline: MakePipeline
) -> None:
    """An exception, a refusal, bytes that are not UTF-8 (raw in JSON, too): the row is marked, the others are right."""
    reviews = pipeline(ROWS, binary_data=binary)
    reviews.put(PLACE, text)
    before = rows_run(triton)
    ran = reviews.run()
    assert ran.error is None
    assert list(ran.marked) == [text]
    assert said in ran.marked[text]
    # LATIN is answered with success each time; what ran at once with RAISE fails with it, and runs again.
    assert rows_run(triton) - before - (ROWS - 1) <= 3 * reviews.batch_size


def test_a_score_of_nan_is_a_prediction_in_binary_and_an_error_in_json(pipeline: MakePipeline) -> None:
    """NaN has no place in JSON: Triton's answer with it is not believed, and only that row is marked."""
    reviews = pipeline(ROWS, binary_data="false")
    reviews.put(PLACE, "NAN in the middle of a batch")
    ran = reviews.run()
    assert list(ran.marked) == ["NAN in the middle of a batch"]
    assert "not valid JSON" in ran.marked["NAN in the middle of a batch"]


def test_a_bad_row_fails_a_build_that_wants_every_row_and_is_not_paid_for_again(
    triton: TritonServer, proxy: FaultProxy, pipeline: MakePipeline
) -> None:
    """With on-error = fail the message names the row; once it is mended, nothing but it is sent."""
    reviews = pipeline(ROWS, on_error="fail")
    reviews.put(PLACE, "REFUSE this")
    before = rows_run(triton)
    failed = reviews.run()
    assert failed.error is not None
    assert "1 row(s) failed; every other row is done and kept" in failed.error
    assert "id = 500, review = 'REFUSE this'" in failed.error
    assert "a text asked to be refused" in failed.error
    assert reviews.kept() == ROWS - 1
    sent = len(proxy.ledger.exchanges)
    again = reviews.run()
    assert again.error is not None
    assert len(proxy.ledger.exchanges) == sent, "a row that was refused for good was sent again"
    reviews.put(PLACE, "mended")
    ran = reviews.run()
    assert ran.error is None
    assert "MENDED" in str(reviews.execute("select upper from classified where id = 500"))
    assert len(proxy.ledger.exchanges) == sent + 1
    assert rows_run(triton) - before - ROWS <= 2 * reviews.batch_size


def test_a_row_that_always_times_out_is_marked_alone(proxy: FaultProxy, pipeline: MakePipeline) -> None:
    """One row to which no answer ever comes: it is marked after its batch was split, the others are right."""
    reviews = pipeline(200, timeout="400ms", max_retries=0, batch_size=8)
    reviews.put(100, POISON)
    proxy.plan = with_text(POISON.encode(), faults.NEVER_ANSWERED)
    ran = reviews.run()
    assert ran.error is None
    assert list(ran.marked) == [POISON]
    assert "did not answer within 400 ms" in ran.marked[POISON]
    assert proxy.ledger.rows_lost <= 2 * reviews.batch_size
