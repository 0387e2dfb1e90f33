"""Sending what has no prediction yet, wave by wave: each is one job of Spark, and is kept when it is done.

A run that is killed has paid in vain for the wave under way only. So waves are short, of about two minutes; and each
makes files of its own, so they are not shorter.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dbt_triton.engine import Progress, RunError, RunStats
from dbt_triton.errors import DbtTritonError, InferenceError, Reason
from dbt_triton.inference_model import Binding
from dbt_triton.instrumentation import call_for_tasks
from dbt_triton.options import Options
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.tensors.trim import Trimmer
from dbt_triton.warehouses.columns import KEY
from dbt_triton.warehouses.spark.bridge import run_task
from dbt_triton.warehouses.spark.figures import Figures, Findings
from dbt_triton.warehouses.spark.progress_files import forget_progress, read_progress
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.store import SparkStore
from dbt_triton.warehouses.spark.store_lock import StoreLock
from dbt_triton.warehouses.spark.table_formats import drop_statement
from dbt_triton.warehouses.spark.task import Task, check_literal_secrets, leave_headers, without_secrets

logger = logging.getLogger("dbt_triton.spark")

#: What an input of sequences has besides: what tells the sequences apart, and the order of their rows.
SEQUENCE, ORDER = "ml_sequence", "ml_order"
WAVE = "ml_wave"
_SPREAD = "ml_spread"
#: So few rows are one wave, and wait in no table.
FEW_ROWS = 20_000
#: Rows of a part of the pending inputs; a wave is one or more of these.
_PART_ROWS, _MOST_PARTS = 5_000, 400
_WAVE_SECONDS = 120.0
#: A wave has at most so many times as many parts as the one before it.
_GROWTH = 8
#: Rows that are worth another task, and requests.
_TASK_ROWS, _TASK_REQUESTS = 1_000, 4
_WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Sending:
    """What a run sends, and how.

    Args:
        query: the keys and what belongs to each: ``ml_key, value_0 …``. With sequences also ``ml_sequence`` (for
            ``sequence-by``) and ``ml_order``, a struct or a value by which the rows of a sequence are in order.
        rows: at most so many.
        inputs: the types of the values.
        binding: the model as it is served.
        options: of the model.
        subject: what errors are about.
        tasks: how many send at once; by default as many as Spark has places for.
        wave_rows: rows of a wave; by default so many that it takes about two minutes.
        progress: is told how far the run is.
        check_interrupt: is called between waves; what it raises ends the run.
        on_stats: is given what is counted, before anything is sent; it grows with each wave.
    """

    query: str
    rows: int
    inputs: Sequence[SqlType]
    binding: Binding
    options: Options
    subject: str
    tasks: int | None = None
    wave_rows: int | None = None
    progress: Callable[[Progress], None] | None = None
    check_interrupt: Callable[[], None] = field(default=lambda: None)
    on_stats: Callable[[RunStats], None] = field(default=lambda _: None)


def send_in_waves(spark: Any, store: SparkStore, sending: Sending, run: RunName) -> RunStats:
    """Send what is pending, and keep what comes of it in the store.

    Args:
        spark: the session, classic or Connect.
        store: prepared; the run holds its lock.
        sending: what is sent, and how.
        run: its name.

    Raises:
        RunError: the run ended early, as it would have in one process. What was answered is in the store, unless no
            answer counts.
        ConfigurationError: the executors cannot send: a secret or a TLS file is not there.
        DbtTritonError: another run has taken the store; or Spark lost what it was given.
    """
    started = time.perf_counter()
    with ExitStack() as stack:
        waves = _Waves(spark, store, sending, run, stack)
        sending.on_stats(waves.findings.stats)
        try:
            waves.run()
        except RunError as error:
            with suppress(Exception):  # the error matters more; the next run finds the same
                store.disown() if error.no_answer_counts else store.absolve()
            raise
    stats = waves.findings.stats
    stats.seconds = time.perf_counter() - started
    logger.debug("%d wave(s): %s", waves.count, stats)
    return stats


class _Waves:
    def __init__(self, spark: Any, store: SparkStore, sending: Sending, run: RunName, stack: ExitStack) -> None:
        self.count = 0
        #: What language models have written in the waves before, as far as progress was told.
        self._tokens = 0
        self._spark = spark
        self._store = store
        self._sending = sending
        self._run = run
        self._lock = StoreLock(spark, store, run)
        self._stack = stack
        self._folder = stack.enter_context(_shared_folder(spark))
        options = sending.options
        if self._folder is None:
            check_literal_secrets(options, sending.subject)
        timeout = options.run_timeout
        self._task = Task(
            sending.binding,
            without_secrets(options).model_copy(update={"run_timeout": None}),
            sending.subject,
            tuple(sending.inputs),
            tuple(column.type.in_tables for column in store.model.outputs),
            str(run),
            deadline=None if timeout is None else time.time() + timeout / 1000,
            run_timeout=0.0 if timeout is None else timeout / 1000,
            folder=self._folder,
            call=call_for_tasks(),
        )
        if self._folder is not None:
            leave_headers(self._task, options)
        form = self._task.request_format
        self.findings = Findings(Trimmer(form.inputs, form.outputs))

    def run(self) -> None:
        sending = self._sending
        if sending.options.in_sequence or sending.rows <= (sending.wave_rows or FEW_ROWS):
            self._send(self._spark.sql(sending.query), sending.rows)
            return
        table, parts = self._stage()
        at, size = 0, max(parts * (sending.wave_rows or FEW_ROWS) // sending.rows, 1)
        while at < parts:
            started = time.perf_counter()
            end = min(at + size, parts)
            frame = self._spark.table(table).where(f"{WAVE} >= {at} and {WAVE} < {end}").drop(WAVE)
            self._send(frame, sending.rows * (end - at) // parts)
            if sending.wave_rows is None:
                fitting = int((end - at) * _WAVE_SECONDS / max(time.perf_counter() - started, 0.1))
                size = max(min(fitting, size * _GROWTH), 1)
            at = end

    def _stage(self) -> tuple[str, int]:
        """Let the pending inputs wait in a table, so that the input is read once. Returns it, and its parts."""
        sending, store = self._sending, self._store
        parts = min(-(-sending.rows // min(_PART_ROWS, sending.wave_rows or _PART_ROWS)), _MOST_PARTS)
        frame = self._spark.sql(sending.query)
        frame = frame.selectExpr("*", f"cast(pmod(xxhash64({KEY}), {parts}) as int) as {WAVE}")
        table = store.pending_table(self._run)
        columns = ", ".join(f"`{one.name}` {one.dataType.simpleString()}" for one in frame.schema)
        # Made before it is filled, so that the catalog knows it when the run is killed.
        using = f"using {store.file_format} partitioned by ({WAVE})"
        self._spark.sql(f"create table {table} ({columns}) {using}").collect()
        self._stack.callback(self._drop, table)
        frame.repartition(parts, WAVE).write.insertInto(table)
        return table, parts

    def _drop(self, table: str) -> None:
        with suppress(Exception):  # the next run drops it
            self._spark.sql(drop_statement(self._spark, table)).collect()

    def _send(self, frame: Any, rows: int) -> None:
        """Send one wave."""
        sending = self._sending
        sending.check_interrupt()
        self._lock.check()
        self._task.check_time()
        tasks = self._tasks(rows)
        task = replace(self._task, tasks=tasks, seen=self.findings.seen)
        values = [name for name in frame.columns if name not in {KEY, SEQUENCE, ORDER}]
        if sending.options.sequence_id is not None:
            frame = frame.repartition(1).sortWithinPartitions(ORDER).select(KEY, *values)
        elif sending.options.sequence_by:
            frame = frame.repartition(tasks, SEQUENCE).sortWithinPartitions(SEQUENCE, ORDER)
            frame = frame.select(KEY, SEQUENCE, *values)
        else:
            # Not in turn: a task that is tried again gets the same rows, without sorting them. Nor by the key itself:
            # where rows are in the order of their keys already, Spark would leave the number of tasks out.
            frame = frame.selectExpr("*", f"xxhash64({KEY}) as {_SPREAD}").repartition(tasks, _SPREAD).drop(_SPREAD)
        with self._watched():
            frame.mapInArrow(partial(run_task, task), self._store.schema).write.insertInto(self._store.relation)
        self.count += 1
        figures = [Figures.from_json(text) for text in self._store.figures(self._run)]
        self.findings.add(figures)
        told = {one.number for one in figures}
        if not figures and frame.isEmpty():
            return  # Spark runs no task for nothing
        if any(one.stopped for one in figures):
            said = "the tasks of Spark were told to stop, and nobody says why: build again"
            raise RunError(InferenceError(said, reason=Reason.STOPPED, attempts=0), [])
        if told != set(range(tasks)) or len(figures) != tasks:
            raise DbtTritonError(
                f"{len(told)} of {tasks} tasks of Spark have left what they counted in {self._store.relation}: "
                "somebody else writes to the table, or removes its files. What is there is kept; build again"
            )
        if sending.progress is not None:
            sending.progress(self._so_far(Progress(0, 0, 0, 0, 0)))

    def _tasks(self, rows: int) -> int:
        """Return how many tasks send at once: each has enough to do, and at least one request in flight."""
        options, binding = self._sending.options, self._sending.binding
        if options.sequence_id is not None:
            return 1
        tasks = self._sending.tasks or _places(self._spark)
        if self._sending.tasks is None:
            tasks = min(tasks, max(-(-rows // max(_TASK_ROWS, _TASK_REQUESTS * binding.batch_size)), 1))
        return min(tasks, options.max_concurrent_operations or tasks)

    def _so_far(self, wave: Progress) -> Progress:
        stats = self.findings.stats
        return Progress(
            stats.rows + stats.rows_failed + wave.rows,
            stats.rows_failed + wave.rows_failed,
            wave.in_flight,
            wave.limit,
            stats.retries + wave.retries,
            self._tokens + wave.tokens,
        )

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Tell how far a wave is, while it runs, where that can be seen from here."""
        progress, folder = self._sending.progress, self._folder
        if progress is None or folder is None:
            yield
            return
        forget_progress(Path(folder))
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_WATCH_SECONDS):
                progress(self._so_far(read_progress(Path(folder))))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self._tokens += read_progress(Path(folder)).tokens


def _places(spark: Any) -> int:
    """Return how many tasks Spark runs at once."""
    if _is_classic(spark):
        return max(int(spark.sparkContext.defaultParallelism), 1)
    # Connect does not say; a range has as many parts.
    return max(int(spark.range(10_000).selectExpr("spark_partition_id() as part").distinct().count()), 1)


def _is_classic(spark: Any) -> bool:
    return not type(spark).__module__.startswith("pyspark.sql.connect")


@contextmanager
def _shared_folder(spark: Any) -> Generator[str | None]:
    """Make a folder that only this user can read, where tasks run on this machine; else None."""
    if not _is_classic(spark) or not str(spark.sparkContext.master).startswith("local"):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dbt_triton_") as folder:
        yield folder
