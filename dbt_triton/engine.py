"""Batches and concurrency: from a stream of Arrow record batches to a stream of predictions.

The engine reads, encodes, sends, decodes and hands over at the same time. Reading and encoding happen in one
thread, decoding and writing in another, and requests on the event loop; nothing is held but what is in flight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any, Self

import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.errors import AnswerError, InferenceError
from dbt_triton.options import Options
from dbt_triton.tensors import Answer, EncodedRows, RequestFormat, decode_outputs, parse_answer

logger = logging.getLogger("dbt_triton.engine")

#: Requests in flight where ``max-concurrent-operations`` is auto (measured: benchmarks/README.md).
AUTO_CONCURRENCY = 32
#: A chunk of predictions is handed over at this many rows, or after this many seconds.
CHUNK_ROWS = 32_768
CHUNK_SECONDS = 1.0
#: Handing over may be this many chunks behind before sending waits for it.
_CHUNKS_BEHIND = 2
#: About so many rows are encoded at once.
_ENCODED_ROWS = 16_384

#: Takes a chunk: the key columns, and the outputs in the order of OUTPUT.
Sink = Callable[[list[pa.Array], list[pa.Array]], None]


@dataclass
class RunStats:
    """What one run did."""

    rows: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0

    def __iadd__(self, other: RunStats) -> Self:
        """Add what another run did."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))
        return self


class RowsError(InferenceError):
    """A request that failed for good, with the key columns of its rows."""

    def __init__(self, error: InferenceError, keys: list[pa.Array]) -> None:
        super().__init__(error.message, status=error.status, attempts=error.attempts)
        self.keys = keys


@dataclass(frozen=True)
class Request:
    """Rows ``start`` to ``end`` (exclusive) of one encoded record batch."""

    rows: EncodedRows
    keys: list[pa.Array]
    start: int
    end: int
    parameters: dict[str, Any] | None = None

    @property
    def request_keys(self) -> list[pa.Array]:
        """The key columns of the rows."""
        return [column.slice(self.start, self.end - self.start) for column in self.keys]


@dataclass
class _Chunk:
    """Answers that wait to be decoded and handed over."""

    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    rows: int = 0


class Engine:
    """Sends the rows of one ML_PREDICT call.

    Args:
        client: an open client.
        request_format: how requests look.
        batch_size: rows a request.
        key_columns: how many columns of a record batch are its key.
        sink: takes the predictions, chunk by chunk, in a thread of its own.
    """

    def __init__(
        self, client: TritonClient, request_format: RequestFormat, *, batch_size: int, key_columns: int, sink: Sink
    ) -> None:
        self._client = client
        self._format = request_format
        self._batch_size = batch_size
        self._key_columns = key_columns
        self._sink = sink
        self._sequence = _Sequence(client.options) if client.options.sequence_id is not None else None
        self._concurrency = 1 if self._sequence else client.options.max_concurrent_operations or AUTO_CONCURRENCY
        self._failure: InferenceError | None = None
        self._chunk = _Chunk()
        self._chunk_started = 0.0
        self._behind: deque[asyncio.Future[None]] = deque()
        self._rows = 0

    async def run(self, batches: Iterable[pa.RecordBatch]) -> RunStats:
        """Send every row and hand over every prediction.

        Args:
            batches: first the key columns, then the inputs in the order of INPUT, without NULLs.

        Raises:
            RowsError: a request failed for good. What was in flight was still awaited and handed over.
        """
        started = time.perf_counter()
        with (
            ThreadPoolExecutor(1, "dbt-triton-read") as reader,
            ThreadPoolExecutor(1, "dbt-triton-write") as writer,
        ):
            encoded_rows = max(_ENCODED_ROWS // self._batch_size, 1) * self._batch_size
            source = _Source(exact_batches(batches, encoded_rows), self._requests_of, reader)
            workers = [asyncio.create_task(self._work(source, writer)) for _ in range(self._concurrency)]
            try:
                await asyncio.gather(*workers)
                await self._hand_over(writer)
                await self._wait_for_writer(0)
            finally:
                self._client.stopping = True
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                await source.close()
        if self._failure is not None:
            raise self._failure
        sent = self._client.stats
        return RunStats(
            self._rows,
            sent.requests,
            sent.retries,
            sent.bytes_sent,
            sent.bytes_received,
            time.perf_counter() - started,
        )

    async def _work(self, source: _Source, writer: ThreadPoolExecutor) -> None:
        while self._failure is None and (request := await source.next()) is not None:
            try:
                answer = await self._send(request)
            except InferenceError as error:
                if self._failure is None:
                    self._failure = RowsError(error, request.request_keys)
                # What is in flight may end, but nothing new is started.
                self._client.stopping = True
                return
            if not self._chunk.rows:
                self._chunk_started = time.monotonic()
            self._chunk.requests.append(request)
            self._chunk.answers.append(answer)
            self._chunk.rows += answer.rows
            if self._chunk.rows >= CHUNK_ROWS or time.monotonic() - self._chunk_started >= CHUNK_SECONDS:
                await self._hand_over(writer)

    async def _send(self, request: Request) -> Answer:
        body, header_length = request.rows.body(request.start, request.end, request.parameters)
        reply = await self._client.infer(body, header_length)
        return parse_answer(
            reply.content,
            reply.header_length,
            self._format.outputs,
            request.end - request.start,
            batched=self._format.batched,
        )

    async def _hand_over(self, writer: ThreadPoolExecutor) -> None:
        chunk, self._chunk = self._chunk, _Chunk()
        if not chunk.rows:
            return
        loop = asyncio.get_running_loop()
        self._behind.append(loop.run_in_executor(writer, self._decode_and_sink, chunk))
        self._rows += chunk.rows
        await self._wait_for_writer(_CHUNKS_BEHIND)

    async def _wait_for_writer(self, behind: int) -> None:
        while len(self._behind) > behind:
            try:
                await self._behind.popleft()
            except AnswerError as error:
                self._failure = self._failure or error

    def _decode_and_sink(self, chunk: _Chunk) -> None:
        columns = zip(*(request.request_keys for request in chunk.requests), strict=True)
        keys = [pa.concat_arrays(column) for column in columns]
        try:
            outputs = decode_outputs(chunk.answers, self._format.outputs)
        except AnswerError:
            raise self._undecodable(chunk) from None
        self._sink(keys, outputs)

    def _undecodable(self, chunk: _Chunk) -> RowsError:
        """Hand over what can be decoded of a chunk, and name the rows of what cannot."""
        failure: RowsError | None = None
        for request, answer in zip(chunk.requests, chunk.answers, strict=True):
            try:
                self._sink(request.request_keys, decode_outputs([answer], self._format.outputs))
            except AnswerError as error:
                failure = failure or RowsError(error, request.request_keys)
        if failure is None:
            raise AssertionError("a chunk that cannot be decoded has an answer that cannot")
        return failure

    def _requests_of(self, batch: pa.RecordBatch, *, last: bool) -> list[Request]:
        encoded = self._format.encode(batch.columns[self._key_columns :])
        keys, size = batch.columns[: self._key_columns], self._batch_size
        requests = [
            Request(encoded, keys, start, min(start + size, batch.num_rows)) for start in range(0, batch.num_rows, size)
        ]
        return self._sequence.mark(requests, last=last) if self._sequence else requests


class _Sequence:
    """Marks the requests of a run as one sequence: start on the first, end on the last."""

    def __init__(self, options: Options) -> None:
        self._id = options.wire_sequence_id
        self._start = options.sequence_start
        self._end = options.sequence_end
        self._first = True

    def mark(self, requests: list[Request], *, last: bool) -> list[Request]:
        marked = []
        for position, request in enumerate(requests):
            is_last = last and position == len(requests) - 1
            parameters = {
                "sequence_id": self._id,
                "sequence_start": self._start and self._first,
                "sequence_end": self._end and is_last,
            }
            self._first = False
            marked.append(Request(request.rows, request.keys, request.start, request.end, parameters))
        return marked


class _Source:
    """Gives requests to the workers; the next record batch is read and encoded while this one is sent."""

    def __init__(
        self,
        batches: Iterator[pa.RecordBatch],
        requests_of: Callable[..., list[Request]],
        reader: ThreadPoolExecutor,
    ) -> None:
        self._batches = batches
        self._requests_of = requests_of
        self._reader = reader
        self._pending: deque[Request] = deque()
        self._lock = asyncio.Lock()
        self._ahead: pa.RecordBatch | None = None
        self._started = False
        self._next: asyncio.Future[list[Request] | None] | None = self._read_ahead()

    async def next(self) -> Request | None:
        """Return the next request, or None when there are no more."""
        while not self._pending:
            async with self._lock:
                if self._pending:
                    break
                if self._next is None:
                    return None
                requests = await self._next
                self._next = self._read_ahead() if requests is not None else None
                self._pending.extend(requests or [])
        return self._pending.popleft()

    async def close(self) -> None:
        """Wait for a read that is under way: its connection must be free afterwards."""
        if self._next is not None:
            await asyncio.gather(self._next, return_exceptions=True)

    def _read_ahead(self) -> asyncio.Future[list[Request] | None]:
        return asyncio.get_running_loop().run_in_executor(self._reader, self._read)

    def _read(self) -> list[Request] | None:
        """Read one batch further than is sent, so that the last one is known to be the last."""
        if not self._started:
            self._started = True
            self._ahead = self._next_batch()
        batch = self._ahead
        if batch is None:
            return None
        self._ahead = self._next_batch()
        return self._requests_of(batch, last=self._ahead is None)

    def _next_batch(self) -> pa.RecordBatch | None:
        return next(self._batches, None)


def exact_batches(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Cut a stream of record batches into batches of exactly ``rows`` rows; only the last may be shorter."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        if count < rows:
            continue
        whole = pa.concat_batches(waiting) if len(waiting) > 1 else batch
        cut = count - count % rows
        yield from (whole.slice(start, rows) for start in range(0, cut, rows))
        waiting, count = ([whole.slice(cut)], count - cut) if cut < count else ([], 0)
    if count:
        yield pa.concat_batches(waiting)
