from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.kserve import Body, Kept, UpperModel, batches_of, run_engine

from dbt_triton.engine import RunError
from dbt_triton.errors import Reason


def _as_many_as_asked(body: Body, texts: list[str]) -> Body:
    """Answer with as many rows as the numbers of the texts say, as a model does that finds things."""
    rows = sum(int(text) for text in texts)
    for output in body["outputs"]:
        output["shape"] = [rows, 1]
        output["data"] = (output["data"] * (rows + 1))[:rows]
    return body


@given(st.lists(st.sampled_from([0, 1, 1, 2]), min_size=1, max_size=40), st.integers(2, 8))
def test_counts_that_agree_by_chance_are_not_believed(found: list[int], batch_size: int) -> None:
    """Once an answer has another number of rows, its rows are sent alone: none gets what another one was answered."""
    texts = [str(number) for number in found]
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    asyncio.run(run_engine(model, batches_of(texts), sink, batch_size=batch_size))
    after_the_first = [sizes for sizes in map(len, model.requests) if sizes not in {1, batch_size}]
    assert len(after_the_first) <= 1  # the last request of the input
    for request in model.requests:
        if len(request) > 1 and sum(map(int, request)) != len(request):
            assert all([text] in model.requests for text in request)
    assert {rows.error.reason for _, rows in sink.failed} <= {Reason.WRONG_ANSWER}


def test_no_count_is_believed_with_batch_dim() -> None:
    """With batch-dim, a count that differs ends the run: the first axis is not the batch, and nothing can be kept."""
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    texts = ["1"] * 8 + ["2"] * 8
    with pytest.raises(RunError, match=r"has 8 rows, but 4 were sent: its first axis is not the batch") as caught:
        asyncio.run(run_engine(model, batches_of(texts), sink, options={"batch-dim": "true"}))
    assert caught.value.no_answer_counts
    assert not sink.failed
