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


def _one_of_the_first_text(body: Body, texts: list[str]) -> Body:
    """Answer with as many rows as the numbers say, each being the first text."""
    body = _as_many_as_asked(body, texts)
    for output, value in zip(body["outputs"], (len(texts[0]), texts[0].upper()), strict=True):
        output["data"] = [value] * len(output["data"])
    return body


def test_no_count_is_believed_by_halving() -> None:
    """Once a count differs, rows are sent alone: halves may have as many rows as were sent by chance."""
    model, sink = UpperModel(change=_one_of_the_first_text), Kept()
    texts = ["0", "1", "0", "1"]
    asyncio.run(run_engine(model, batches_of(texts), sink, batch_size=4))
    assert [len(sent) for sent in model.requests[:5]] == [4, 1, 1, 1, 1]
    assert max(len(sent) for sent in model.requests[1:]) == 1
    assert len(sink.failed) == 2


def test_a_count_that_contradicts_its_own_data_counts_nothing() -> None:
    """An answer whose shape is not that of its data is nonsense: it is split, and says nothing about others."""

    def spoil(body: Body, texts: list[str]) -> Body:
        if "2" in texts:
            body["outputs"][0]["shape"] = [len(texts) + 1, 1]
        return body

    model, sink = UpperModel(change=spoil), Kept()
    asyncio.run(run_engine(model, batches_of(["1"] * 4 + ["2", "1", "1", "1"]), sink, batch_size=4))
    assert len(sink.failed) == 1


@pytest.mark.parametrize("texts", [["0", "2"] * 8 + ["3"], ["1"] * 8 + ["3", "0", "0"], ["0", "2", "0", "1"]])
def test_rows_with_several_answers_end_the_run(texts: list[str]) -> None:
    """Where two rows alone have several answers, counts that agree are chance: nothing of the call is believed."""
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    advice = r"has \d+ rows, but 1 were sent: its first axis is not the batch.* Serve the model with max_batch_size 0"
    with pytest.raises(RunError, match=advice) as caught:
        asyncio.run(run_engine(model, batches_of([*texts, "7"]), sink))
    assert caught.value.no_answer_counts


def test_one_answer_too_many_by_accident_ends_nothing() -> None:
    """A row that has several answers is asked for once more: an answer may be spoilt on the way."""
    spoilt: list[str] = []

    def spoil(body: Body, texts: list[str]) -> Body:
        if "2" in texts and len(spoilt) < 2:  # with its neighbours, and alone
            spoilt.extend(texts)
            return _as_many_as_asked(body, texts)
        return body

    model, sink = UpperModel(change=spoil), Kept()
    asyncio.run(run_engine(model, batches_of(["1", "2", "1", "1"]), sink))
    assert not sink.failed
    assert model.requests.count(["2"]) >= 1


def test_fewer_rows_are_asked_for_one_by_one() -> None:
    """Where a row is missing, no half of its request is believed for having as many answers as rows."""
    model, sink = UpperModel(change=_as_many_as_asked), Kept()
    asyncio.run(run_engine(model, batches_of(["1", "0", "1", "1"]), sink))
    assert sink.failed_keys == [1]
    assert all(len(texts) in {1, 4} for texts in model.requests)
