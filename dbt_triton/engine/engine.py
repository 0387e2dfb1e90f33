"""The engine reads, encodes, sends, decodes and hands over at the same time.

Reading and encoding happen in one thread, decoding and writing in another, and requests on the event loop; nothing is
held but what is in flight.

A request that fails for a reason that may lie in one of its rows is split until only the bad rows are left. Where the
server puts requests together (dynamic batching), an exception of the model fails every request of that batch, innocent
ones too; such requests wait until the others are done, and are then sent one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Self

import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.engine.outcomes import Breaker, FailedRows, RunError, Sink, is_about_rows
from dbt_triton.engine.source import Request, SequenceMarker, Source, exact_batches, taken
from dbt_triton.errors import AnswerError, InferenceError, Reason
from dbt_triton.tensors import Answer, RequestFormat, decode_outputs, parse_answer

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
#: With so many requests that failed perhaps for the sake of others, these are isolated before any more are sent.
MANY_SUSPECTS = 256


@dataclass
class RunStats:
    """What one run did."""

    rows: int = 0
    rows_failed: int = 0
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


@dataclass
class _Chunk:
    """What waits to be decoded and handed over."""

    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    failed: list[FailedRows] = field(default_factory=list)
    rows: int = 0
    started: float = field(default_factory=time.monotonic)


class Engine:
    """Sends the rows of one ML_PREDICT call.

    Args:
        client: an open client.
        request_format: how requests look.
        batch_size: rows a request.
        key_columns: how many columns of a record batch are its key.
        sink: takes predictions and failed rows.
        shared_batches: whether the server may run several requests at once as one batch.
    """

    def __init__(  # noqa: PLR0913 - the parts of one run
        self,
        client: TritonClient,
        request_format: RequestFormat,
        *,
        batch_size: int,
        key_columns: int,
        sink: Sink,
        shared_batches: bool = True,
    ) -> None:
        self._client = client
        self._format = request_format
        self._batch_size = batch_size
        self._key_columns = key_columns
        self._sink = sink
        self._shared_batches = shared_batches
        in_order = client.options.sequence_id is not None
        self._marker = SequenceMarker(client.options) if in_order else None
        self._concurrency = 1 if in_order else client.options.max_concurrent_operations or AUTO_CONCURRENCY
        self._breaker = Breaker()
        self._failure: InferenceError | None = None
        self._suspects: deque[Request] = deque()
        self._chunk = _Chunk()
        # Rows that no request can hold; the reader finds them.
        self._refused: deque[FailedRows] = deque()
        self._behind: deque[asyncio.Future[list[tuple[Request, AnswerError]]]] = deque()
        self._stats = RunStats()

    async def run(self, batches: Iterable[pa.RecordBatch]) -> RunStats:
        """Send every row, and hand over every prediction and every failed row.

        Args:
            batches: first the key columns, then the inputs in the order of INPUT, without NULLs.

        Raises:
            RunError: the run ended early. What was in flight was still awaited and handed over.
        """
        started = time.perf_counter()
        encoded_rows = max(_ENCODED_ROWS // self._batch_size, 1) * self._batch_size
        with ThreadPoolExecutor(1, "dbt-triton-read") as reader, ThreadPoolExecutor(1, "dbt-triton-write") as writer:
            source = Source(exact_batches(batches, encoded_rows), self._requests_of, reader)
            try:
                while not await self._round(source, writer):
                    logger.debug("%d requests failed; isolating before going on", len(self._suspects))
            finally:
                self._client.stopping = True
                await source.close()
        if self._failure is not None:
            raise self._failure
        sent, stats = self._client.stats, self._stats
        stats.requests, stats.retries = sent.requests, sent.retries
        stats.bytes_sent, stats.bytes_received = sent.bytes_sent, sent.bytes_received
        stats.seconds = time.perf_counter() - started
        return stats

    async def _round(self, source: Source, writer: ThreadPoolExecutor) -> bool:
        """Send until there are no more rows or too many suspects, then isolate. Returns whether all is done."""
        workers = [asyncio.create_task(self._work(source, writer)) for _ in range(self._concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        await self._drain(writer)
        await self._isolate_suspects(writer)
        await self._drain(writer)
        return self._failure is not None or source.exhausted

    async def _work(self, source: Source, writer: ThreadPoolExecutor) -> None:
        while (
            self._failure is None
            and len(self._suspects) < MANY_SUSPECTS
            and (request := await source.next()) is not None
        ):
            try:
                answer = await self._send(request)
            except InferenceError as error:
                source.put_back(self._failed(request, error))
            else:
                self._breaker.success()
                self._take(request, answer)
            await self._hand_over_if_due(writer)

    async def _isolate_suspects(self, writer: ThreadPoolExecutor) -> None:
        """Send requests that failed perhaps for the sake of others, one at a time."""
        while self._failure is None and self._suspects:
            request = self._suspects.popleft()
            try:
                answer = await self._send(request, alone=True)
            except InferenceError as error:
                self._suspects.extendleft(reversed(self._failed(request, error, alone=True)))
            else:
                self._breaker.success()
                self._take(request, answer)
            await self._hand_over_if_due(writer)
            if not self._suspects:
                await self._drain(writer)  # decoding may find more

    def _failed(self, request: Request, error: InferenceError, *, alone: bool = False) -> list[Request]:
        """Decide what becomes of a failed request. Returns the requests to send in its place."""
        suspect = error.reason == Reason.MODEL_ERROR and self._shared_batches and not alone
        fatal: InferenceError | None = error
        if is_about_rows(error) and not self._marker:
            fatal = None if suspect else self._breaker.failure(error)
        if fatal is not None:
            if error.reason != Reason.STOPPED and self._failure is None:
                self._failure = RunError(fatal, request.request_keys)
            # What is in flight may end, but nothing new is started.
            self._client.stopping = True
            return []
        if suspect:
            self._suspects.append(request)
            return []
        if request.rows > 1:
            return request.halves()
        self._chunk.failed.append(FailedRows(request.request_keys, error))
        self._stats.rows_failed += 1
        return []

    async def _send(self, request: Request, *, alone: bool = False) -> Answer:
        body, header_length = request.encoded.body(request.start, request.end, request.parameters)
        reply = await self._client.infer(
            # Splitting is the better retry for an exception of the model, until a single row is alone.
            body,
            header_length,
            retry_model_error=request.rows == 1 and (alone or not self._shared_batches),
        )
        return parse_answer(
            reply.content, reply.header_length, self._format.outputs, request.rows, batched=self._format.batched
        )

    def _take(self, request: Request, answer: Answer) -> None:
        self._chunk.requests.append(request)
        self._chunk.answers.append(answer)
        self._chunk.rows += answer.rows

    async def _hand_over_if_due(self, writer: ThreadPoolExecutor) -> None:
        if self._chunk.rows >= CHUNK_ROWS or time.monotonic() - self._chunk.started >= CHUNK_SECONDS:
            await self._hand_over(writer)

    async def _hand_over(self, writer: ThreadPoolExecutor) -> None:
        chunk, self._chunk = self._chunk, _Chunk()
        while self._refused:
            chunk.failed.append(self._refused.popleft())
            self._stats.rows_failed += len(chunk.failed[-1].keys[0])
        if not chunk.rows and not chunk.failed:
            return
        loop = asyncio.get_running_loop()
        self._behind.append(loop.run_in_executor(writer, self._decode_and_sink, chunk))
        self._stats.rows += chunk.rows
        await self._wait_for_writer(_CHUNKS_BEHIND)

    async def _drain(self, writer: ThreadPoolExecutor) -> None:
        await self._hand_over(writer)
        await self._wait_for_writer(0)

    async def _wait_for_writer(self, behind: int) -> None:
        while len(self._behind) > behind:
            for request, error in await self._behind.popleft():
                self._stats.rows -= request.rows
                self._suspects.extend(self._failed(request, error, alone=True))

    def _decode_and_sink(self, chunk: _Chunk) -> list[tuple[Request, AnswerError]]:
        """Decode a chunk and hand it over. Returns the requests whose answers cannot be decoded."""
        if chunk.failed:
            self._sink.failures(chunk.failed)
        if not chunk.requests:
            return []
        try:
            outputs = decode_outputs(chunk.answers, self._format.outputs)
        except AnswerError:
            return self._decode_one_by_one(chunk)
        columns = zip(*(request.request_keys for request in chunk.requests), strict=True)
        self._sink.predictions([pa.concat_arrays(column) for column in columns], outputs)
        return []

    def _decode_one_by_one(self, chunk: _Chunk) -> list[tuple[Request, AnswerError]]:
        undecodable = []
        for request, answer in zip(chunk.requests, chunk.answers, strict=True):
            try:
                self._sink.predictions(request.request_keys, decode_outputs([answer], self._format.outputs))
            except AnswerError as error:
                undecodable.append((request, error))
        return undecodable

    def _requests_of(self, batch: pa.RecordBatch, *, last: bool) -> list[Request]:
        keys, size = batch.columns[: self._key_columns], self._batch_size
        encoded = self._format.encode(batch.columns[self._key_columns :], size, in_order=self._marker is not None)
        for refused in encoded.refused:
            error = InferenceError(refused.why, reason=Reason.REFUSED, attempts=0)
            if self._marker:
                raise RunError(error, taken(keys, refused.places))  # a sequence lacks no step
            self._refused.append(FailedRows(taken(keys, refused.places), error))
        requests: list[Request] = []
        for places, rows_of_one_shape in encoded.groups:
            group_keys = keys if places is None else taken(keys, places)
            count = len(group_keys[0])
            requests += [
                Request(rows_of_one_shape, group_keys, start, min(start + size, count))
                for start in range(0, count, size)
            ]
        return self._marker.mark(requests, last=last) if self._marker else requests
