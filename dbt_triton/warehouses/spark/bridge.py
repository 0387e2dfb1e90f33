"""The engine within a task of Spark: `run_task` is what ``mapInArrow`` calls, on the executors.

One thread, event loop and client a task. The engine's own reader pulls Spark's record batches, so that requests are
pipelined across them. Nothing here imports pyspark before a task runs.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.engine import Engine, Progress, RunError, RunStats, SequenceEngine, Server, Servers, event_loop
from dbt_triton.errors import DbtTritonError, InferenceError, Reason
from dbt_triton.instrumentation import Calling, call_observed, flush, set_model, step_of
from dbt_triton.instrumentation.calls import error_type
from dbt_triton.instrumentation.setup import turn_on
from dbt_triton.warehouses.spark.figures import Figures
from dbt_triton.warehouses.spark.neighbours import Neighbours
from dbt_triton.warehouses.spark.outbox import ClosedError, Outbox
from dbt_triton.warehouses.spark.progress_files import ProgressFile
from dbt_triton.warehouses.spark.task import Task
from dbt_triton.warehouses.spark.type_names import from_spark

_KEY_COLUMNS = 1
_JOIN_SECONDS = 5.0
#: A task waits no longer for a collector of spans.
_FLUSH_SECONDS = 2.0


def run_task(task: Task, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Send the rows of one task, and yield rows of the prediction store.

    Args:
        task: what it is told.
        batches: the keys, the numbers of sequences where there are some, then the inputs.

    Yields:
        Record batches in the shape of the store; the last row is the task's figures, with the error that ends the run.
    """
    outbox = Outbox(task.outputs, task.binding.fingerprint, task.run)
    thread = threading.Thread(target=_fill, args=(outbox, task, _task_number(), batches), daemon=True)
    thread.start()
    try:
        yield from outbox
    finally:
        outbox.close()
        thread.join(_JOIN_SECONDS)


def _fill(outbox: Outbox, task: Task, number: int, batches: Iterator[pa.RecordBatch]) -> None:
    """Run the engine, and put everything that comes of it into the outbox: also what it raises."""
    try:
        with _watched(task, number) as calling:
            figures = event_loop.run(_TaskRun(task, number, outbox, batches).run())
            _note_end(calling, figures)
        for _ in batches:  # what was not read: Spark takes a worker for broken that leaves something
            pass
        outbox.figures(figures)
    except ClosedError:
        return
    except BaseException as error:  # noqa: BLE001 - raised again in Spark's thread, which tries the task again
        outbox.done(error)
    else:
        outbox.done()


@contextmanager
def _watched(task: Task, number: int) -> Generator[Calling]:
    """Let hooks watch what a task does of a call: those that the environment of this very process turns on."""
    call = task.call
    if call is None:
        yield Calling(())
        return
    turn_on()
    with step_of(call.node, call.invocation_id), set_model(call.inference_model):
        try:
            with call_observed(lambda: replace(call, task=number)) as calling:
                yield calling
        finally:
            flush(_FLUSH_SECONDS)  # Spark ends its workers without a word


def _note_end(calling: Calling, figures: Figures) -> None:
    """Note what came of a task."""
    end, stats = calling.end, figures.stats
    end.predicted, end.failed = stats.rows, stats.rows_failed
    end.requests, end.retries = stats.requests, stats.retries
    end.bytes_sent, end.bytes_received = stats.bytes_sent, stats.bytes_received
    if figures.error is not None:
        end.outcome, end.error = "failed", error_type(figures.error)
    elif figures.stopped:
        end.outcome = "interrupted"


class _TaskRun:
    """The run of one task."""

    def __init__(self, task: Task, number: int, outbox: Outbox, batches: Iterator[pa.RecordBatch]) -> None:
        self._task = task
        self._number = number
        self._outbox = outbox
        self._batches = batches
        self._engine: Engine | None = None
        #: What neighbours say of each server.
        self._of_servers: dict[Server, Neighbours] = {}
        self._stopped = False

    async def run(self) -> Figures:
        """Send every row. Returns what was counted, and the error that ends the run."""
        started = time.perf_counter()
        error: DbtTritonError | None = None
        with Neighbours(self._task.run, self._task.folder) as neighbours:
            try:
                if not neighbours.stopped:
                    await self._send(neighbours)
                else:
                    self._stopped = True
            except RunError as failure:
                error = None if self._stopped else failure
            except ClosedError:
                raise
            except DbtTritonError as failure:
                error = failure
            if error is not None:
                neighbours.stop()
        return self._figures(time.perf_counter() - started, error)

    async def _send(self, neighbours: Neighbours) -> None:
        task = self._task
        first = next(self._filled(), None)
        if first is None:
            return
        task.check_time()
        task.check_files()
        async with task.servers(self._number) as servers:
            if servers.only is not None:
                await self._check_version(servers.only.client)
            make: Callable[..., Engine] = (
                partial(SequenceEngine, correlation_id=task.binding.correlation_id)
                if task.options.sequence_by
                else Engine
            )
            with ProgressFile(task.folder, self._number) as told:
                engine = make(
                    servers,
                    task.request_format,
                    batch_size=task.binding.batch_size,
                    key_columns=_KEY_COLUMNS,
                    sink=self._outbox,
                    shared_batches=task.binding.shared_batches,
                    version=task.binding.version,
                    progress=lambda progress: self._watch(progress, neighbours, told),
                )
                engine.trimmer.believe(task.seen)
                self._engine = engine
                with ExitStack() as stack:
                    for server in servers.all:
                        told_of = Neighbours(f"{task.run}{_suffix(server, servers)}", task.folder)
                        self._tell(server, stack.enter_context(told_of))
                    await engine.run(self._inputs(first, neighbours))

    def _tell(self, server: Server, neighbours: Neighbours) -> None:
        """Let the neighbours hear of what one server sheds, and it of what they have met."""

        def overloaded() -> None:
            server.limit.overloaded()
            neighbours.overloaded()

        server.client.on_overload = overloaded
        server.client.resume_at = neighbours.resume_at(0.0)
        self._of_servers[server] = neighbours

    async def _check_version(self, client: TritonClient) -> None:
        """Ask which version is served, before a row is sent. Every answer is compared, too."""
        try:
            served = await client.served_version()
        except InferenceError as failure:
            if failure.reason == Reason.UNAVAILABLE:
                return  # the engine waits for a server that is away
            raise RunError(failure, []) from None
        if self._task.binding.version and served and served != self._task.binding.version:
            error = InferenceError(
                f"the server serves version {served} of the model, but the run began with version "
                f"{self._task.binding.version}, and a table holds the predictions of one. Run again",
                reason=Reason.REJECTED,
            )
            raise RunError(error, [])

    def _watch(self, progress: Progress, neighbours: Neighbours, told: ProgressFile) -> None:
        """About twice a second: hear of the other tasks, and notice when the run is not wanted any more."""
        told.write(progress)
        engine = self._engine
        if engine is None:
            return
        for server, of_server in self._of_servers.items():
            server.client.resume_at = of_server.resume_at(server.client.resume_at)
            if of_server.overloads_of_others():
                server.limit.overloaded()
        if neighbours.stopped or self._outbox.closed:
            self._stopped = True
            engine.end(InferenceError("another task has ended the run", reason=Reason.STOPPED, attempts=0))
            return
        try:
            self._task.check_time()
        except RunError as over:
            engine.end(over)

    def _filled(self) -> Iterator[pa.RecordBatch]:
        return (batch for batch in self._batches if batch.num_rows)

    def _inputs(self, first: pa.RecordBatch, neighbours: Neighbours) -> Iterator[pa.RecordBatch]:
        """Return the record batches as the engine takes them, until the run is to end."""
        numbers = _SequenceNumbers() if self._task.options.sequence_by else None
        yield self._as_inputs(first, numbers)
        for batch in self._filled():
            if neighbours.stopped or self._outbox.closed:
                self._stopped = True
                return
            yield self._as_inputs(batch, numbers)

    def _as_inputs(self, batch: pa.RecordBatch, numbers: _SequenceNumbers | None) -> pa.RecordBatch:
        key, *columns = batch.columns
        first = [key] if numbers is None else [key, numbers.of(columns.pop(0))]
        columns = [from_spark(array, sql) for array, sql in zip(columns, self._task.inputs, strict=False)]
        columns += batch.columns[len(first) + len(columns) :]  # which optional values are left out
        arrays = [*first, *columns]
        return pa.RecordBatch.from_arrays(arrays, names=[f"c{place}" for place in range(len(arrays))])

    def _figures(self, seconds: float, error: DbtTritonError | None) -> Figures:
        engine, rows, failed = self._engine, self._outbox.rows, self._outbox.rows_failed
        if engine is None:
            stats = RunStats(rows=rows, rows_failed=failed, seconds=seconds)
            return Figures(self._number, stats, stopped=self._stopped, error=error)
        stats = replace(engine.stats, rows=rows, rows_failed=failed, seconds=seconds)
        several, seen = engine.rows_of_several_answers, engine.trimmer.seen()
        return Figures(self._number, stats, several, seen, self._stopped, error)


def _suffix(server: Server, servers: Servers) -> str:
    """Return what the state of one of several servers is called by."""
    return "" if servers.only is not None else f"_{hashlib.sha256(server.name.encode()).hexdigest()[:12]}"


class _SequenceNumbers:
    """Numbers sequences as they come: the rows of each stand together."""

    def __init__(self) -> None:
        self._number = 0
        self._last: pa.Scalar | None = None

    def of(self, keys: pa.Array) -> pa.Array:
        """Return the number of each row's sequence."""
        encoded = keys.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)
        changes = np.concatenate([[0], (encoded[1:] != encoded[:-1]).astype(np.int64)]).cumsum()
        if self._last is not None and self._last != keys[0]:
            self._number += 1
        numbers = changes + self._number
        self._number, self._last = int(numbers[-1]), keys[-1]
        return pa.array(numbers, pa.int64())


def _task_number() -> int:
    """Return the number of this task within its stage; 0 outside of Spark."""
    try:
        from pyspark import TaskContext
    except ImportError:
        return 0
    context = TaskContext.get()
    return 0 if context is None else int(context.partitionId())
