import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.kserve import Body, Kept, UpperModel, batches_of, run_engine

from dbt_triton.engine import RunError, RunStats
from dbt_triton.errors import Reason

TEXTS = [f"text {number}" for number in range(20)]


def run(model: UpperModel, texts: list[str], **kwargs: Any) -> tuple[Kept, RunStats]:
    """Send texts, and return what came of them."""
    sink = Kept()
    stats = asyncio.run(run_engine(model, batches_of(texts), sink, **kwargs))
    return sink, stats


def expected(texts: list[str], *, without: tuple[int, ...] = ()) -> dict[int, tuple[str, int]]:
    """Return the predictions that are right."""
    return {key: (text.upper(), len(text)) for key, text in enumerate(texts) if key not in without}


def test_every_row_is_predicted() -> None:
    """Every row gets its own prediction, whatever order the server lists the outputs in."""
    texts = [*TEXTS, "", "好 «ß»", '"quoted" \\ \n\t\x01', "🙂" * 50]
    sink, stats = run(UpperModel(), texts)
    assert sink.predictions_by_key == expected(texts)
    assert (stats.rows, stats.rows_failed, stats.requests, stats.retries) == (24, 0, 6, 0)


def test_answers_in_any_order() -> None:
    """Answers that come back in the opposite order still reach the right rows."""
    arrived = 0
    turns = [asyncio.Event() for _ in range(5)]

    async def last_first(_: list[str]) -> None:
        nonlocal arrived
        mine = arrived
        arrived += 1
        if mine == 4:
            turns[4].set()
        await asyncio.wait_for(turns[mine].wait(), 20)
        turns[mine - 1].set()

    sink, _ = run(UpperModel(before=last_first), TEXTS, options={"max-concurrent-operations": "5"})
    assert sink.predictions_by_key == expected(TEXTS)


@given(st.integers(0, 60), st.integers(1, 9), st.lists(st.integers(1, 25), min_size=1, max_size=4), st.integers(1, 7))
def test_batches_of_batch_size(rows: int, batch_size: int, sizes: list[int], in_flight: int) -> None:
    """However the warehouse cuts its stream, a request has batch-size rows, but for the last one."""
    texts = [f"row {number}" for number in range(rows)]
    model, sink = UpperModel(), Kept()
    options = {"max-concurrent-operations": in_flight}
    asyncio.run(run_engine(model, batches_of(texts, sizes), sink, batch_size=batch_size, options=options))
    assert sink.predictions_by_key == expected(texts)
    found = sorted((len(request) for request in model.requests), reverse=True)
    assert found == [batch_size] * (rows // batch_size) + [rows % batch_size] * bool(rows % batch_size)
    assert model.most_in_flight <= in_flight


@settings(max_examples=80)
@given(st.integers(1, 40), st.integers(1, 16), st.sets(st.integers(0, 39)), st.sampled_from([400, 413, 422, 500]))
def test_only_bad_rows_fail(rows: int, batch_size: int, bad: set[int], status: int) -> None:
    """Whatever rows are bad, exactly those fail, each once and with the server's words; every other is predicted."""
    bad = {key for key in bad if key < rows}
    texts = [f"bad {key}" if key in bad else f"good {key}" for key in range(rows)]
    model = UpperModel(lambda texts: (status, "cannot read it") if any("bad" in text for text in texts) else None)
    for shared_batches in (True, False):
        sink, stats = run(model, texts, batch_size=batch_size, shared_batches=shared_batches)
        assert sink.predictions_by_key == expected(texts, without=tuple(bad))
        assert sink.failed_keys == sorted(bad)
        assert {(rows.error.message, rows.error.status) for _, rows in sink.failed} <= {("cannot read it", status)}
        assert (stats.rows, stats.rows_failed) == (rows - len(bad), len(bad))


def test_splitting_is_cheap() -> None:
    """One bad row among 1,024 costs about twice ten requests more, not a thousand."""
    texts = [f"good {number}" for number in range(1024)]
    texts[700] = "bad"
    sink, stats = run(UpperModel(lambda texts: (400, "no") if "bad" in texts else None), texts, batch_size=1024)
    assert sink.failed_keys == [700]
    assert stats.requests == 1 + 2 * 10
    assert sink.failed[0][1].permanent


def test_single_rows_are_retried_before_they_fail() -> None:
    """A single row that got an exception is sent again, in case it was the server's bad moment."""
    seen: list[str] = []

    def once(texts: list[str]) -> tuple[int, str] | None:
        seen.extend(texts)
        return (500, "out of luck") if seen.count("text 3") == 1 and texts == ["text 3"] else None

    sink, stats = run(UpperModel(once), TEXTS, batch_size=1, options={"max-retries": "2"})
    assert sink.predictions_by_key == expected(TEXTS)
    assert (stats.rows_failed, stats.retries) == (0, 1)


def _set(output: int, **fields: Any) -> Callable[[Body, list[str]], Body]:
    def change(body: Body, _: list[str]) -> Body:
        body["outputs"][output] |= fields
        return body

    return change


def _without(*outputs: int) -> Callable[[Body, list[str]], Body]:
    return lambda body, _: body | {"outputs": [o for n, o in enumerate(body["outputs"]) if n not in outputs]}


@pytest.mark.parametrize(
    "change",
    [
        _without(0),
        _without(1),
        _without(0, 1),
        _set(1, name="OTHER"),
        _set(0, datatype="INT64"),
        _set(1, datatype="FP32"),
        _set(0, shape=[2]),
        _set(0, shape=[1, 1, 2]),
        _set(0, shape=[1, 2]),
        _set(0, shape=[2, 1]),
        _set(0, shape=[0, 1], data=[]),
        _set(0, shape=[], data=[]),
        _set(0, shape=None),
        _set(0, data=[]),
        _set(0, data=[1, 2]),
        _set(0, data=[None]),
        _set(0, data=["1"]),
        _set(0, data=[1.5]),
        _set(0, data=[2**31]),
        _set(1, data=[None]),
        _set(1, data=[1]),
        _set(0, data=1),
        lambda _, __: b"",
        lambda _, __: b"<html>ok</html>",
        lambda _, __: b"[]",
        lambda _, __: b'{"outputs":null}',
        lambda _, __: b'{"outputs":[{}]}',
    ],
)
def test_wrong_answers_are_never_believed(change: Callable[[Body, list[str]], Body | bytes]) -> None:
    """An answer with other names, datatypes, ranks or counts than asked for is no prediction, whatever its status."""
    sink, stats = run(UpperModel(change=change), ["x"], batch_size=1)
    assert sink.predictions_by_key == {}
    ((key, failed),) = sink.failed
    assert (key, failed.error.reason, failed.permanent) == (0, Reason.WRONG_ANSWER, False)
    assert failed.error.message
    assert (stats.rows, stats.rows_failed) == (0, 1)


@pytest.mark.parametrize("lost", [0, 1])
def test_too_few_rows(lost: int) -> None:
    """A model that drops one row of a batch without a word shifts no other row's prediction to it."""

    def drop(body: Body, texts: list[str]) -> Body:
        if "bad" in texts:
            output = body["outputs"][lost]
            del output["data"][texts.index("bad")]
            output["shape"][0] -= 1
        return body

    texts = ["a", "bb", "bad", "cccc", "ddddd"]
    sink, _ = run(UpperModel(change=drop), texts, batch_size=5)
    assert sink.predictions_by_key == expected(texts, without=(2,))
    assert sink.failed_keys == [2]


def test_undecodable_value_in_a_batch() -> None:
    """One value that is not of its datatype costs one row, not the chunk that it came in."""

    def spoil(body: Body, texts: list[str]) -> Body:
        if "bad" in texts:
            body["outputs"][0]["data"][texts.index("bad")] = 2**40
        return body

    texts = ["a", "bb", "bad", *TEXTS]
    sink, stats = run(UpperModel(change=spoil), texts, batch_size=4)
    assert sink.predictions_by_key == expected(texts, without=(2,))
    assert (sink.failed_keys, stats.rows, stats.rows_failed) == ([2], len(texts) - 1, 1)


@pytest.mark.parametrize("status", [401, 403, 501])
def test_run_ends_early(status: int) -> None:
    """A refusal that is no row's fault ends the run, and whatever was answered until then is handed over."""
    model = UpperModel(lambda texts: (status, "token expired") if "text 40" in texts else None)
    sink = Kept()
    texts = [f"text {number}" for number in range(4000)]
    with pytest.raises(RunError, match="token expired") as caught:
        asyncio.run(run_engine(model, batches_of(texts), sink, options={"max-concurrent-operations": "4"}))
    assert caught.value.status == status
    assert 40 in caught.value.keys[0].to_pylist()
    assert sorted(row[0] for row in sink.predictions_by_key.values()) == sorted(text.upper() for text in model.answered)
    assert 0 < len(model.requests) < 100
    assert sink.failed == []


def test_sequence_is_whole_or_nothing() -> None:
    """In a sequence a failed step ends the run: what follows depends on it, and nothing is split or sent again."""
    model = UpperModel(lambda texts: (400, "bad step") if "text 5" in texts else None)
    with pytest.raises(RunError, match="bad step") as caught:
        run(model, TEXTS, batch_size=1, options={"sequence-id": "s"})
    assert model.requests == [[text] for text in TEXTS[:6]]
    assert caught.value.keys[0].to_pylist() == [5]


def test_empty_input() -> None:
    """No rows, no request."""
    model = UpperModel()
    sink, stats = run(model, [])
    assert (model.requests, sink.predictions_by_key, sink.failed) == ([], {}, [])
    assert (stats.rows, stats.requests) == (0, 0)


def test_error_of_the_warehouse() -> None:
    """An error while the input is read reaches the caller as it is, and the run ends."""

    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches_of(TEXTS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_engine(UpperModel(), broken(), Kept()))


def test_error_of_the_sink() -> None:
    """An error while predictions are written reaches the caller as it is, and the run ends."""

    class Full(Kept):
        def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
            raise OSError(28, "No space left on device", str(len(keys) + len(outputs)))

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(run_engine(UpperModel(), batches_of(TEXTS), Full()))


def test_cancellation() -> None:
    """A cancelled run stops sending at once."""
    arrived = asyncio.Event()

    async def hang(_: list[str]) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async def cancel() -> int:
        model = UpperModel(before=hang)
        task = asyncio.create_task(
            run_engine(model, batches_of(TEXTS), Kept(), options={"max-concurrent-operations": "2"})
        )
        await asyncio.wait_for(arrived.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
        return len(model.requests)

    assert asyncio.run(cancel()) <= 2


def test_size_that_is_too_much_is_learned() -> None:
    """Where requests of so many rows are too large, later ones have fewer, rather than being split one by one."""
    model = UpperModel(lambda texts: (413, "too large") if len(texts) > 4 else None)
    texts = [f"text {number}" for number in range(400)]
    sink, stats = run(model, texts, batch_size=16, options={"max-concurrent-operations": "1"})
    assert sink.predictions_by_key == expected(texts)
    assert stats.requests <= len(texts) / 4 + 40


def test_one_long_row_makes_no_request_small() -> None:
    """A row that is too large by itself is found, and the requests of the others stay as they are."""
    model = UpperModel(lambda texts: (413, "too large") if "text 40" in texts else None)
    texts = [f"text {number}" for number in range(400)]
    sink, stats = run(model, texts, batch_size=16, options={"max-concurrent-operations": "1"})
    assert sink.predictions_by_key == expected(texts, without=(40,))
    assert stats.requests <= len(texts) / 16 + 10


@pytest.mark.parametrize("place", [0, -1])
def test_answer_to_another_request_is_not_believed(place: int) -> None:
    """An id that is not the request's own is noticed wherever it stands, and however a gateway has written the JSON."""

    def with_another_id(body: Body, _: list[str]) -> bytes:
        fields = list(body.items())
        fields.insert(place % (len(fields) + 1), ("id", "987654321"))
        return json.dumps(dict(fields), indent=1).encode()

    sink = Kept()
    options = {"circuit-breaker-timeout": "200ms", "max-retries": "0"}
    with pytest.raises(RunError, match="sent the answer to another request"):
        asyncio.run(run_engine(UpperModel(change=with_another_id), batches_of(["a"]), sink, options=options))
    assert sink.predictions_by_key == {}
