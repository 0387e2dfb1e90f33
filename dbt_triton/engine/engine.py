"""The engine reads, encodes, sends, decodes and hands over at the same time.

Reading and encoding happen in one thread, decoding and writing in another, and requests on the event loop; nothing is
held but what is in flight.

A request that fails for a reason that may lie in one of its rows is split until only the bad rows are left. Where the
server puts requests together (dynamic batching), an exception of the model fails every request of that batch, innocent
ones too; such requests wait until the others are done, and are then sent one at a time. A request that fails because
the server is gone is sent again when the server is back.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Self

import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.engine.breaker import Breaker
from dbt_triton.engine.concurrency import ConcurrencyLimit
from dbt_triton.engine.outcomes import FailedRows, RunError, Sink, is_about_rows
from dbt_triton.engine.source import Request, SequenceMarker, Source, exact_batches, taken
from dbt_triton.errors import AnswerError, DbtTritonError, InferenceError, Reason
from dbt_triton.tensors import Answer, RequestFormat, decode_outputs, parse_answer

logger = logging.getLogger("dbt_triton.engine")

#: A chunk of predictions is handed over at this many rows (a row group of DuckDB, which it then writes only once), at
#: this many bytes of answers, or after this many seconds.
CHUNK_ROWS = 122_880
CHUNK_BYTES = 32 * 2**20
CHUNK_SECONDS = 1.0
#: Handing over may be this many chunks behind before sending waits for it.
_CHUNKS_BEHIND = 1
#: With so many requests that failed perhaps for the sake of others, these are isolated before any more are sent.
MANY_SUSPECTS = 256
_WATCH_SECONDS = 0.5


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


@dataclass(frozen=True)
class Progress:
    """How far a run is: rows that are done, of which some failed; requests in flight and the limit on them; retries."""

    rows: int
    rows_failed: int
    in_flight: int
    limit: int
    retries: int


@dataclass
class _Chunk:
    """What waits to be decoded and handed over."""

    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    failed: list[FailedRows] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
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
        progress: is told about twice a second how far the run is.
        check_interrupt: is called about twice a second when the input is read; what it raises ends the run at once.
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
        progress: Callable[[Progress], None] | None = None,
        check_interrupt: Callable[[], None] | None = None,
    ) -> None:
        options = client.options
        self._client = client
        self._format = request_format
        self._batch_size = batch_size
        self._key_columns = key_columns
        self._sink = sink
        self._shared_batches = shared_batches
        self._progress = progress
        self._check_interrupt = check_interrupt
        self._interrupt: DbtTritonError | None = None
        in_order = options.sequence_id is not None
        self._marker = SequenceMarker(options) if in_order else None
        self._limit = ConcurrencyLimit(1 if in_order else options.max_concurrent_operations)
        client.on_overload = self._limit.overloaded
        # A single row is given up after so many attempts that are not answered; the run must bear that.
        attempts = options.max_retries + 2
        self._breaker = Breaker(options.circuit_breaker_timeout / 1000, attempts * options.timeout / 1000)
        self._failure: InferenceError | None = None
        self._suspects: deque[Request] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._ids = itertools.count(1)
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
        clocks = []
        if self._client.options.run_timeout is not None:
            clocks.append(asyncio.create_task(self._end_after(self._client.options.run_timeout / 1000)))
        with ThreadPoolExecutor(1, "dbt-triton-read") as reader, ThreadPoolExecutor(1, "dbt-triton-write") as writer:
            source = Source(exact_batches(batches, self._batch_size), self._requests_of, reader)
            clocks.append(asyncio.create_task(self._watch(source)))
            try:
                while not await self._round(source, writer):
                    logger.debug("%d requests failed; isolating before going on", len(self._suspects))
            finally:
                for clock in clocks:
                    clock.cancel()
                self._client.stop()
                await source.close()
                await asyncio.gather(*self._behind, return_exceptions=True)
        if self._interrupt is not None:
            raise self._interrupt
        if self._failure is not None:
            raise self._failure
        sent, stats = self._client.stats, self._stats
        stats.requests, stats.retries = sent.requests, sent.retries
        stats.bytes_sent, stats.bytes_received = sent.bytes_sent, sent.bytes_received
        stats.seconds = time.perf_counter() - started
        return stats

    async def _round(self, source: Source, writer: ThreadPoolExecutor) -> bool:
        """Send until there are no more rows or too many suspects, then isolate. Returns whether all is done."""
        self._start_workers(source, writer)
        await self._until_workers_are_done()
        await self._drain(writer)
        self._workers.add(asyncio.create_task(self._isolate_suspects(writer)))
        await self._until_workers_are_done()
        await self._drain(writer)
        return self._failure is not None or source.exhausted

    async def _until_workers_are_done(self) -> None:
        try:
            while self._workers:
                done, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_COMPLETED)
                self._workers -= done
                for worker in done:
                    if not worker.cancelled():
                        worker.result()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            self._workers.clear()

    def _start_workers(self, source: Source, writer: ThreadPoolExecutor) -> None:
        while len(self._workers) < self._limit.current:
            self._workers.add(asyncio.create_task(self._work(source, writer)))

    @property
    def _may_go_on(self) -> bool:
        return self._failure is None and len(self._suspects) < MANY_SUSPECTS

    async def _work(self, source: Source, writer: ThreadPoolExecutor) -> None:
        while self._may_go_on and (request := source.ready() or await source.next()) is not None:
            source.put_back(await self._deliver(request))
            if self._is_due():
                await self._hand_over(writer)
            if len(self._workers) != self._limit.current:
                if len(self._workers) > self._limit.current:
                    # Another one takes what is left: at least one is within the limit.
                    self._workers.discard(asyncio.current_task())  # type: ignore[arg-type]
                    return
                self._start_workers(source, writer)

    async def _isolate_suspects(self, writer: ThreadPoolExecutor) -> None:
        """Send requests that failed perhaps for the sake of others, one at a time."""
        while self._failure is None and self._suspects:
            request = self._suspects.popleft()
            self._suspects.extendleft(reversed(await self._deliver(request, alone=True)))
            if self._is_due():
                await self._hand_over(writer)
            if not self._suspects:
                await self._drain(writer)  # decoding may find more

    async def _deliver(self, request: Request, *, alone: bool = False) -> list[Request]:
        """Send a request, if need be again when the server is back. Returns the requests to send in its place."""
        while True:
            await self._breaker.until_recovered(request)
            try:
                answer, size = await self._send(request, alone=alone or not self._shared_batches)
            except InferenceError as error:
                if error.reason != Reason.UNAVAILABLE or self._marker:
                    return self._failed(request, error, alone=alone)
                if self._failure is not None:
                    return []
                fatal = await self._breaker.outlive(error, request, not_before=self._client.resume_at)
                if fatal is not None:
                    self._end(RunError(fatal, request.request_keys))
                    return []
            else:
                self._breaker.success()
                self._limit.answered(request.rows)
                self._take(request, answer, size)
                return []

    def _failed(self, request: Request, error: InferenceError, *, alone: bool = False) -> list[Request]:
        """Decide what becomes of a failed request. Returns the requests to send in its place."""
        suspect = error.reason == Reason.MODEL_ERROR and self._shared_batches and not alone
        fatal: InferenceError | None = error
        if is_about_rows(error) and not self._marker:
            fatal = None if suspect else self._breaker.failure(error)
        if fatal is not None:
            if error.reason != Reason.STOPPED:
                self._end(RunError(fatal, request.request_keys))
            return []
        if suspect:
            self._breaker.alive()
            self._suspects.append(request)
            return []
        if request.rows > 1:
            return request.halves()
        self._chunk.failed.append(FailedRows(request.request_keys, error))
        self._stats.rows_failed += 1
        return []

    def _end(self, failure: InferenceError) -> None:
        """End the run early: what is in flight may end, but nothing new is started."""
        if self._failure is None:
            self._failure = failure
        self._breaker.stop()
        self._client.stop()

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        error = InferenceError(f"run-timeout ({seconds:g} s) is over", reason=Reason.STOPPED, attempts=0)
        self._end(RunError(error, []))

    async def _watch(self, source: Source) -> None:
        """Say how far the run is, and notice when it is not wanted any more."""
        while self._interrupt is None:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._progress is not None:
                self._progress(self._so_far())
            if self._check_interrupt is not None and source.is_read:
                try:
                    self._check_interrupt()
                except DbtTritonError as error:
                    self._interrupt = error
                    self._end(RunError(InferenceError(str(error), reason=Reason.STOPPED), []))
                    for worker in self._workers:
                        worker.cancel()

    def _so_far(self) -> Progress:
        done, failed = self._stats.rows + self._chunk.rows, self._stats.rows_failed
        return Progress(done + failed, failed, self._in_flight, self._limit.current, self._client.stats.retries)

    async def _send(self, request: Request, *, alone: bool) -> tuple[Answer, int]:
        """Return the checked answer to a request, and its size in bytes."""
        body, header_length = request.encoded.body(request.start, request.end, request.parameters)
        self._in_flight += 1
        try:
            reply = await self._client.infer(
                body, header_length, rows=request.rows, alone=alone, request_id=next(self._ids)
            )
        finally:
            self._in_flight -= 1
        answer = parse_answer(
            reply.content, reply.header_length, self._format.outputs, request.rows, batched=self._format.batched
        )
        return answer, len(reply.content)

    def _take(self, request: Request, answer: Answer, size: int) -> None:
        chunk = self._chunk
        chunk.requests.append(request)
        chunk.answers.append(answer)
        chunk.rows += answer.rows
        chunk.bytes += size

    def _is_due(self) -> bool:
        chunk = self._chunk
        return (
            chunk.rows >= CHUNK_ROWS or chunk.bytes >= CHUNK_BYTES or time.monotonic() - chunk.started >= CHUNK_SECONDS
        )

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
            # Not awaited itself: a worker that is cancelled meanwhile must take neither the chunk nor its error along.
            first = self._behind[0]
            await asyncio.wait([first])
            if first not in self._behind:
                continue  # another worker waited for it, too
            self._behind.remove(first)
            for request, error in first.result():
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
