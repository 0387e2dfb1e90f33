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
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.engine.any_server import AnyServer
from dbt_triton.engine.breaker import Breaker
from dbt_triton.engine.concurrency import ConcurrencyLimit
from dbt_triton.engine.failed_requests import FailedRequests
from dbt_triton.engine.handover import HandOver
from dbt_triton.engine.outcomes import FailedRows, RunError, Sink
from dbt_triton.engine.sender import Sender
from dbt_triton.engine.servers import Servers, nobody_is_told
from dbt_triton.engine.source import Request, SequenceMarker, Source, exact_batches, taken
from dbt_triton.engine.stats import Progress, RunStats
from dbt_triton.errors import AnswerError, DbtTritonError, InferenceError, Reason
from dbt_triton.instrumentation import event
from dbt_triton.tensors import Format
from dbt_triton.tensors.trim import Trimmer

logger = logging.getLogger("dbt_triton.engine")

#: With so many requests that failed perhaps for the sake of others, these are isolated before any more are sent.
MANY_SUSPECTS = 256
_WATCH_SECONDS = 0.5
#: While requests of so many bytes are in flight, no more are started: each is held in memory as a whole.
_BYTES_IN_FLIGHT = 128 * 2**20


class Engine:
    """Sends the rows of one ML_PREDICT call.

    Args:
        servers: the servers, or an open client of the only one.
        request_format: how requests look.
        batch_size: rows a request.
        key_columns: how many columns of a record batch are its key.
        sink: takes predictions and failed rows.
        shared_batches: whether the server may run several requests at once as one batch.
        version: of the model, by which every answer must be; None where the server does not say.
        progress: is told about twice a second how far the run is.
        check_interrupt: is called about twice a second when the input is read; what it raises ends the run at once.
        limit: on the requests in flight at the server of a client, where it is not for this engine alone to say.
    """

    def __init__(  # noqa: PLR0913 - the parts of one run
        self,
        servers: Servers | TritonClient,
        request_format: Format,
        *,
        batch_size: int,
        key_columns: int,
        sink: Sink,
        shared_batches: bool = True,
        version: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        check_interrupt: Callable[[], None] | None = None,
        limit: ConcurrencyLimit | None = None,
    ) -> None:
        if isinstance(servers, TritonClient):
            fixed = 1 if servers.options.sequence_id is not None else servers.options.max_concurrent_operations
            servers = Servers.of(servers, limit or ConcurrencyLimit(fixed))
        client = servers.first.client
        options = client.options
        self._servers = servers
        self._options = options
        self._format = request_format
        self._sender = Sender(servers, request_format, version)
        self._batch_size = batch_size
        self._key_columns = key_columns
        self._shared_batches = shared_batches
        self._progress = progress
        self._check_interrupt = check_interrupt
        self._interrupt: DbtTritonError | None = None
        in_order = options.sequence_id is not None
        self._marker = SequenceMarker(options) if in_order else None
        # A single row is given up after so many attempts that are not answered; the run must bear that.
        timeout, generates = options.timeout / 1000, client.generates
        attempts = (min(options.max_retries, 1) if generates else options.max_retries) + 2
        self._breaker = Breaker(
            options.circuit_breaker_timeout / 1000,
            attempts * timeout,
            answer_seconds=timeout if generates else 0.0,
        )
        self._any_server = AnyServer(
            servers, self._sender.send, self._breaker, self._end_at, options, generates=client.generates
        )
        self._failure: InferenceError | None = None
        self._workers: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        self._input_is_read = False
        self._started = 0.0
        self._source: Source | None = None
        self._results = HandOver(sink, request_format)
        self._failures = FailedRequests(
            options,
            batch_size=batch_size,
            shared_batches=shared_batches,
            in_order=in_order,
            breaker=self._breaker,
            results=self._results,
            end=self._end,
        )
        self._results.on_decoded = self._note_decoded
        self._results.on_unfit = self._failures.note_unfit

    async def run(self, batches: Iterable[pa.RecordBatch]) -> RunStats:
        """Send every row, and hand over every prediction and every failed row.

        Args:
            batches: first the key columns, then the inputs in the order of INPUT, without NULLs.

        Raises:
            RunError: the run ended early. What was in flight was still awaited and handed over.
        """
        self._started = time.perf_counter()
        clocks = []
        if self._options.run_timeout is not None:
            clocks.append(asyncio.create_task(self._end_after(self._options.run_timeout / 1000)))
        await self._begin()
        with ThreadPoolExecutor(1, "dbt-triton-read") as reader, ThreadPoolExecutor(1, "dbt-triton-write") as writer:
            source = Source(exact_batches(self._noting_the_end(batches), self._batch_size), self._requests_of, reader)
            self._source = source
            self._servers.rest = lambda: source.rest
            clocks.append(asyncio.create_task(self._watch()))
            try:
                while not await self._round(source, writer):
                    logger.debug("%d requests failed; isolating before going on", len(self._failures.suspects))
            finally:
                for clock in clocks:
                    clock.cancel()
                self._servers.stop()
                await source.close()
                await self._results.settle()
                self._tell_observers()
        if self._interrupt is not None:
            raise self._interrupt
        if self._failure is not None:
            raise self._failure
        return self.stats

    @property
    def stats(self) -> RunStats:
        """What was done so far."""
        sent, results = self._servers.stats, self._results
        return RunStats(
            rows=results.rows,
            rows_failed=results.rows_failed,
            requests=sent.requests,
            retries=sent.retries,
            bytes_sent=sent.bytes_sent,
            bytes_received=sent.bytes_received,
            seconds=time.perf_counter() - self._started if self._started else 0.0,
            read_seconds=0.0 if self._source is None else self._source.seconds,
            wait_seconds=self._sender.seconds,
            write_seconds=results.seconds,
            limit=self._servers.current,
            latencies=sent.latencies,
            notes=self._servers.notes,
        )

    @property
    def trimmer(self) -> Trimmer:
        """What was seen of padded axes in the answers so far."""
        return self._results.trimmer

    @property
    def rows_of_several_answers(self) -> int:
        """How many rows that were sent alone had several answers each."""
        return self._failures.rows_of_several_answers

    def end(self, error: InferenceError) -> None:
        """End the run early for a reason from outside; call it on the event loop. What is in flight may end."""
        self._end(RunError(error, []))

    def _noting_the_end(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches
        if self._check_interrupt is not None:
            self._check_interrupt()  # from now on, nothing else would see that dbt interrupts the session
        self._input_is_read = True

    async def _round(self, source: Source, writer: ThreadPoolExecutor) -> bool:
        """Send until there are no more rows or too many suspects, then isolate. Returns whether all is done."""
        self._servers.on_room = lambda: self._start_another(source, writer)
        self._start_worker(self._work(source, writer))
        await self._until_workers_are_done()
        self._servers.on_room = nobody_is_told
        await self._results.drain(writer)
        self._start_worker(self._isolate_suspects(writer))
        await self._until_workers_are_done()
        await self._results.drain(writer)
        return self._failure is not None or source.exhausted

    async def _until_workers_are_done(self) -> None:
        try:
            while self._workers:
                worker = await self._ended.get()
                self._workers.discard(worker)
                if not worker.cancelled():
                    worker.result()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            self._workers.clear()

    def _start_worker(self, work: Coroutine[Any, Any, None]) -> None:
        worker = asyncio.create_task(work)
        worker.add_done_callback(self._ended.put_nowait)
        self._workers.add(worker)

    def _start_another(self, source: Source, writer: ThreadPoolExecutor) -> None:
        """Start a worker where there is room: it starts another one in turn, as long as there are requests."""
        if len(self._workers) < self._servers.current and self._sender.bytes_in_flight < _BYTES_IN_FLIGHT:
            self._start_worker(self._work(source, writer))

    @property
    def _may_go_on(self) -> bool:
        return self._failure is None and len(self._failures.suspects) < MANY_SUSPECTS

    async def _work(self, source: Source, writer: ThreadPoolExecutor) -> None:
        while self._may_go_on and (request := source.ready() or await source.next()) is not None:
            self._start_another(source, writer)
            source.put_back(await self._deliver(request))
            del request  # a worker that waits for the next one must not keep its rows in memory
            if self._results.is_due():
                await self._results.hand_over(writer)
            if len(self._workers) > self._servers.current or self._sender.bytes_in_flight >= _BYTES_IN_FLIGHT:
                # Another one takes what is left: at least one is within the limit, or has a request in flight.
                self._workers.discard(asyncio.current_task())  # type: ignore[arg-type]
                return

    async def _isolate_suspects(self, writer: ThreadPoolExecutor) -> None:
        """Send requests that failed perhaps for the sake of others, one at a time."""
        while self._failure is None and self._failures.suspects:
            request = self._failures.suspects.popleft()
            self._failures.suspects.extendleft(reversed(await self._deliver(request, alone=True)))
            if self._results.is_due():
                await self._results.hand_over(writer)
            if not self._failures.suspects:
                await self._results.drain(writer)  # decoding may find more

    async def _deliver(self, request: Request, *, alone: bool = False) -> list[Request]:
        """Send a request, if need be again when the server is back. Returns the requests to send in its place."""
        if request.rows > self._failures.most_rows:
            return request.pieces(self._failures.most_rows)
        server = self._servers.only
        if server is None:
            return await self._deliver_to_any(request, alone=alone)
        while True:
            await self._breaker.until_recovered(request)
            started = time.monotonic()
            try:
                answer, size = await self._sender.send(server, request, alone=alone or not self._shared_batches)
            except InferenceError as error:
                if error.reason != Reason.UNAVAILABLE or self._marker:
                    return self._failures.judge(request, error, alone=alone)
                if self._failure is not None:
                    return []
                fatal = await self._breaker.outlive(error, request, not_before=server.client.resume_at)
                if fatal is not None:
                    self._end(RunError(fatal, request.request_keys))
                    return []
            else:
                self._breaker.success()
                self._failures.note_answered(request.rows)
                server.limit.answered(request.rows, time.monotonic() - started)
                self._results.take(request, answer, size)
                return []

    async def _deliver_to_any(self, request: Request, *, alone: bool) -> list[Request]:
        """Send a request to any of several servers. Returns the requests to send in its place."""
        try:
            answered = await self._any_server.answer(request, alone=alone or not self._shared_batches)
        except InferenceError as error:
            if error.reason == Reason.UNAVAILABLE and self._any_server.may_kill(request):
                # All others are done first, and then those that are set aside in turn: most of them are innocent.
                self._failures.suspects.append(request)
                if alone:
                    self._any_server.nobody_is_left(error, request)
                return []
            return self._failures.judge(request, error, alone=alone)
        if answered is not None:
            self._breaker.success()
            self._failures.note_answered(request.rows)
            self._results.take(request, *answered)
        return []

    def _note_decoded(self, well: set[object], badly: Sequence[tuple[Request, AnswerError]]) -> None:
        """Send requests again whose answers cannot be decoded: alone or in parts, or as they are to another server."""
        again = set() if self._servers.only is not None else self._any_server.for_another(well, badly)
        for request, error in badly:
            if request not in again:
                self._failures.undecodable(request, error)
        if again and self._source is not None:
            self._source.put_back(again)

    async def _begin(self) -> None:
        """Look at several servers before rows are sent to them; of one sequence, all go to one."""
        if self._marker is None:
            self._servers.begin()
        elif self._servers.only is None:
            try:
                await self._servers.choose_one()
            except InferenceError as error:
                raise RunError(error, []) from None

    def _end(self, failure: InferenceError) -> None:
        """End the run early: what is in flight may end, but nothing new is started."""
        if self._failure is None:
            self._failure = failure
        self._breaker.stop()
        self._servers.stop()

    def _end_at(self, failure: InferenceError, request: Request | None) -> None:
        self._end(RunError(failure, request.request_keys if request is not None else []))

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        error = InferenceError(f"run-timeout ({seconds:g} s) is over", reason=Reason.STOPPED, attempts=0)
        self._end(RunError(error, []))

    async def _watch(self) -> None:
        """Say how far the run is, and notice when it is not wanted any more."""
        while self._interrupt is None:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._progress is not None:
                self._progress(self._so_far())
            if self._check_interrupt is not None and self._input_is_read:
                try:
                    self._check_interrupt()
                except DbtTritonError as error:
                    self._interrupt = error
                    self._end(RunError(InferenceError(str(error), reason=Reason.STOPPED), []))
                    for worker in self._workers:
                        worker.cancel()

    def _tell_observers(self) -> None:
        """Say what was done by the end, however the run ends."""
        results = self._results
        event("run.ended", rows=results.rows, limit=self._servers.current, tokens=results.tokens)

    def _so_far(self) -> Progress:
        done, failed = self._results.rows, self._results.rows_failed
        return Progress(
            rows=done + failed,
            rows_failed=failed,
            in_flight=self._sender.in_flight,
            limit=self._servers.current,
            retries=self._servers.stats.retries,
            tokens=self._results.tokens,
        )

    def _requests_of(self, batch: pa.RecordBatch, *, last: bool) -> list[Request]:
        keys, size = batch.columns[: self._key_columns], self._batch_size
        encoded = self._format.encode(batch.columns[self._key_columns :], size, in_order=self._marker is not None)
        for refused in encoded.refused:
            error = InferenceError(refused.why, reason=Reason.REFUSED, attempts=0)
            if self._marker:
                raise RunError(error, taken(keys, refused.places))  # a sequence lacks no step
            self._results.refused.append(FailedRows(taken(keys, refused.places), error))
        requests: list[Request] = []
        for places, rows_of_one_shape in encoded.groups:
            group_keys = keys if places is None else taken(keys, places)
            requests += [
                Request(rows_of_one_shape, group_keys, start, end)
                for start, end in rows_of_one_shape.cuts(len(group_keys[0]), size)
            ]
        return self._marker.mark(requests, last=last) if self._marker else requests
