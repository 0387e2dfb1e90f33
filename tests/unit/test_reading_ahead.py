import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.kserve import spec

from dbt_triton.engine import source as module
from dbt_triton.engine.source import Request, Source, exact_batches
from dbt_triton.tensors import REQUEST_BYTES, RequestFormat, SqlType, parse_sql_type
from dbt_triton.tensors import request as request_module
from dbt_triton.tensors import rows as rows_module


def batch(texts: list[str]) -> pa.RecordBatch:
    """Make a record batch of texts."""
    return pa.record_batch({"text": pa.array(texts, pa.string())})


@given(st.lists(st.integers(1, 3000), max_size=8), st.integers(1, 700))
def test_whole_requests(sizes: list[int], batch_size: int) -> None:
    """Pieces are whole requests but for the very last one; no row is lost, twice, or out of order."""
    numbers = iter(range(10**6))
    batches = [pa.record_batch({"n": [next(numbers) for _ in range(size)]}) for size in sizes]
    pieces = list(exact_batches(batches, batch_size))
    assert [n for piece in pieces for n in piece.column(0).to_pylist()] == list(range(sum(sizes)))
    assert all(piece.num_rows % batch_size == 0 for piece in pieces[:-1])
    assert all(piece.num_rows for piece in pieces)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5000)), max_size=10), st.integers(1, 40))
def test_bytes_are_bounded(rows_and_widths: list[tuple[int, int]], batch_size: int) -> None:
    """Long values are encoded in smaller pieces, whatever came before them: about so many bytes, or one request."""
    bound = 20_000
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "_ENCODED_BYTES", bound)
        batches = [batch(["x" * width] * rows) for rows, width in rows_and_widths]
        pieces = list(exact_batches(batches, batch_size))
    assert sum(piece.num_rows for piece in pieces) == sum(rows for rows, _ in rows_and_widths)
    widest = max((width for _, width in rows_and_widths), default=0) + 8
    for piece in pieces:
        # The rows are counted by the mean width of what came last, and what waited was below the bound before.
        assert piece.nbytes <= 2 * bound + 2 * batch_size * widest


def test_wide_rows_are_cut_as_they_come() -> None:
    """A stream of long texts is handed on piece by piece: no more is read than is needed for the next piece."""
    read = 0

    def wide() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield batch(["x" * 100_000] * 200)

    pieces = exact_batches(wide(), 64)
    first = next(pieces)
    assert (read, first.num_rows) == (1, 128)
    assert first.nbytes <= module._ENCODED_BYTES


def sql_type(text: str) -> SqlType:
    """Read a type."""
    parsed = parse_sql_type(text)
    assert not isinstance(parsed, str)
    return parsed


def requests_of(found: pa.RecordBatch, *, last: bool) -> list[Request]:
    """Make a request of each row."""
    encoded: Any = "last" if last else "more"
    return [Request(encoded, found.columns, row, row + 1) for row in range(found.num_rows)]


async def taken(source: Source) -> list[Request]:
    """Take everything."""
    requests = []
    while (request := await source.next()) is not None:
        requests.append(request)
    return requests


def test_many_workers() -> None:
    """However many workers ask at once, each request is given once, and only the last batch is said to be the last."""

    async def run() -> list[list[Request]]:
        with ThreadPoolExecutor(1) as reader:
            batches = iter([batch(["a"] * 3), batch(["b"]), batch(["c"] * 5)])
            source = Source(batches, requests_of, reader)
            results = await asyncio.gather(*(taken(source) for _ in range(20)))
            assert source.exhausted
            await source.close()
            return results

    requests = [request for found in asyncio.run(run()) for request in found]
    assert len(requests) == 9
    assert [str(request.encoded) for request in requests].count("last") == 5


def test_error_reaches_every_worker() -> None:
    """When reading fails, no worker waits for ever, and the source does not count as exhausted."""

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(["a"])
        yield batch(["b"])
        raise ZeroDivisionError

    async def run() -> None:
        with ThreadPoolExecutor(1) as reader:
            source = Source(broken(), requests_of, reader)
            results = await asyncio.wait_for(
                asyncio.gather(*(taken(source) for _ in range(5)), return_exceptions=True), 20
            )
            assert any(isinstance(result, ZeroDivisionError) for result in results)
            assert not source.exhausted
            await source.close()

    asyncio.run(run())


def test_close_waits_for_a_read() -> None:
    """Closing waits for a read that is under way, since its session is used for other things afterwards."""
    go_on, closed = threading.Event(), []

    def slow() -> Iterator[pa.RecordBatch]:
        go_on.wait(20)
        closed.append("read")
        yield batch(["a"])

    async def run() -> None:
        with ThreadPoolExecutor(1) as reader:
            source = Source(slow(), requests_of, reader)
            closing = asyncio.create_task(source.close())
            done, _ = await asyncio.wait([closing], timeout=0.05)
            assert not done
            go_on.set()
            await asyncio.wait_for(closing, 20)
            closed.append("closed")

    asyncio.run(run())
    assert closed == ["read", "closed"]


@pytest.mark.parametrize("sql", ["STRING", "INT", "FLOAT[]"])
@pytest.mark.parametrize("binary", [False, True])
@given(widths=st.lists(st.integers(0, 700), min_size=1, max_size=60), request_rows=st.integers(1, 1000))
def test_requests_are_bounded(sql: str, *, binary: bool, widths: list[int], request_rows: int) -> None:
    """A request has at most so many rows and so many bytes of data, or one row; no row is lost, twice or moved."""
    bound = 1000
    tensor = spec("text", "FLOAT", (-1,)) if sql == "FLOAT[]" else spec("text", sql)
    values: dict[str, pa.Array] = {
        "STRING": pa.array(["x" * width for width in widths]),
        "INT": pa.array(widths, pa.int32()),
        "FLOAT[]": pa.array([[0.5] * width for width in widths], pa.list_(pa.float32())),
    }
    if sql == "FLOAT[]":
        tensor = replace(tensor, declared=sql_type("FLOAT[]"), axes=(0,), pad="0")
    form = RequestFormat([tensor], [], binary=binary, batched=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(request_module, "REQUEST_BYTES", bound)
        monkeypatch.setattr(rows_module, "_PADDED_ELEMENTS", bound)
        sent: list[int] = []
        for places, rows in form.encode([values[sql]], request_rows).groups:
            taken_rows = list(range(len(widths))) if places is None else places.tolist()
            cuts = rows.cuts(len(taken_rows), request_rows)
            for start, end in cuts:
                size = sum(len(column.rows(start, end)) for column in rows.columns)
                assert 0 < end - start <= request_rows
                assert end - start == 1 or size <= bound
                sent += taken_rows[start:end]
    assert sorted(sent) == list(range(len(widths)))
    assert sent == sorted(sent) or sql == "FLOAT[]"


def test_wide_rows_of_one_large_request() -> None:
    """Rows of which a request would be too large are read and encoded in smaller pieces."""
    batches = [batch(["x" * 100_000] * 2000)] * 4
    pieces = list(exact_batches(batches, 2**20))
    assert sum(piece.num_rows for piece in pieces) == 8000
    assert max(piece.nbytes for piece in pieces) <= 2 * REQUEST_BYTES


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 16))
def test_cutting_anew_keeps_rows_and_whole_requests(sizes: list[int], batch_size: int) -> None:
    """Whatever the record batches are, the pieces have all rows in order, and whole requests but for the last."""
    rows = iter(range(sum(sizes)))
    batches = [pa.record_batch([pa.array([next(rows) for _ in range(size)], pa.int64())], ["x"]) for size in sizes]
    pieces = list(exact_batches(batches, batch_size))
    assert [row for piece in pieces for row in piece.column(0).to_pylist()] == list(range(sum(sizes)))
    assert all(piece.num_rows % batch_size == 0 for piece in pieces[:-1])
    assert all(piece.num_rows for piece in pieces)
