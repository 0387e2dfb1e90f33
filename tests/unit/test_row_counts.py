from __future__ import annotations

import asyncio

import pytest
from unit.kserve import Body, Kept, UpperModel, batches_of, run_engine

from dbt_triton.engine import RunError


def _as_many_as_asked(body: Body, texts: list[str]) -> Body:
    """Answer with as many rows as the numbers of the texts say, as a model does that finds things."""
    rows = sum(int(text) for text in texts)
    for output in body["outputs"]:
        output["shape"] = [rows, 1]
        output["data"] = (output["data"] * (rows + 1))[:rows]
    return body


def test_no_count_is_believed_with_batch_dim() -> None:
    """With batch-dim, a count that differs ends the run: the first axis is not the batch, and nothing can be kept."""
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    texts = ["1"] * 8 + ["2"] * 8
    with pytest.raises(RunError, match=r"has 8 rows, but 4 were sent: its first axis is not the batch") as caught:
        asyncio.run(run_engine(model, batches_of(texts), sink, options={"batch-dim": "true"}))
    assert caught.value.no_answer_counts
    assert not sink.failed


@pytest.mark.parametrize("texts", [["0", "2"] * 8, ["1"] * 8 + ["3", "0", "0"], ["0", "2", "0", "1"]])
def test_a_batch_has_no_more_rows_than_were_sent(texts: list[str]) -> None:
    """More rows than were sent end the run without batch-dim, too; rows that agree by chance are not believed."""
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    advice = r"has \d+ rows, but \d were sent: its first axis is not the batch.* Serve the model with max_batch_size 0"
    with pytest.raises(RunError, match=advice) as caught:
        asyncio.run(run_engine(model, batches_of([*texts, "7"]), sink))
    assert caught.value.no_answer_counts


def test_fewer_rows_are_asked_for_one_by_one() -> None:
    """Where a row is missing, no half of its request is believed for having as many answers as rows."""
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    asyncio.run(run_engine(model, batches_of(["1", "0", "1", "1"]), sink))
    assert sink.failed_keys == [1]
    assert all(len(texts) in {1, 4} for texts in model.requests)
