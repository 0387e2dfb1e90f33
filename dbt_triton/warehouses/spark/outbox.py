"""From the engine's thread to Spark's: predictions and failed rows as record batches in the shape of the store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa

from dbt_triton.engine import FailedRows
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses.spark.figures import Figures
from dbt_triton.warehouses.spark.store_columns import FIGURES, OK, PASSING, PERMANENT
from dbt_triton.warehouses.spark.type_names import for_spark, spark_arrow_type

#: Chunks of predictions that wait for Spark; the engine waits then.
_WAITING = 2
_LOOK_SECONDS = 0.2
#: JVMs take record batches whole: larger ones are cut.
_BATCH_ROWS = 16_384


class ClosedError(Exception):
    """Spark does not want the rest of a task's rows."""


class Outbox:
    """A bounded queue of record batches, which neither end can make the other one wait for in vain.

    Args:
        outputs: the types of the predictions.
        fingerprint: of the inference model.
        run: the name of the run.
    """

    def __init__(self, outputs: Sequence[SqlType], fingerprint: str, run: str) -> None:
        self.rows = self.rows_failed = 0
        self._outputs = outputs
        self._fingerprint = fingerprint
        self._run = run
        self._queue: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_WAITING)
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Take what the engine hands over, until it is done; raise what it raised."""
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    @property
    def closed(self) -> bool:
        """Whether nobody takes anything any more."""
        return self._closed.is_set()

    def close(self) -> None:
        """Take nothing any more."""
        self._closed.set()

    def done(self, error: BaseException | None = None) -> None:
        """Say that nothing follows, or why."""
        try:
            self._put(error)
        except ClosedError:
            return

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        """Take a chunk of predictions."""
        columns = [for_spark(array, sql) for array, sql in zip(outputs, self._outputs, strict=True)]
        self._hand_over(keys[0], columns, [None, None, None, None], OK)
        self.rows += len(keys[0])

    def failures(self, failed: Sequence[FailedRows]) -> None:
        """Take failed rows."""
        for rows in failed:
            error = rows.error
            why = [error.message, error.reason.value, error.status, error.attempts]
            self._hand_over(rows.keys[0], None, why, PERMANENT if rows.permanent else PASSING)
            self.rows_failed += len(rows.keys[0])

    def figures(self, figures: Figures) -> None:
        """Take what the task has counted."""
        why = [figures.to_json(), None, None, None]
        self._hand_over(pa.nulls(1, pa.binary()), None, why, f"{FIGURES}_{self._run}")

    def _hand_over(
        self, keys: pa.Array, outputs: Sequence[pa.Array] | None, why: Sequence[str | int | None], kind: str
    ) -> None:
        count = len(keys)
        if outputs is None:
            outputs = [pa.nulls(count, spark_arrow_type(sql)) for sql in self._outputs]
        kinds = (pa.string(), pa.string(), pa.int32(), pa.int32())
        constants = [pa.repeat(pa.scalar(value, kind_), count) for value, kind_ in zip(why, kinds, strict=True)]
        partition = [pa.repeat(pa.scalar(text, pa.string()), count) for text in (self._fingerprint, kind)]
        columns = [keys.cast(pa.binary()), *outputs, *constants, *partition]
        batch = pa.RecordBatch.from_arrays(columns, names=[f"c{place}" for place in range(len(columns))])
        for start in range(0, count, _BATCH_ROWS):
            self._put(batch.slice(start, _BATCH_ROWS))

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        while True:
            if self.closed:
                raise ClosedError
            try:
                self._queue.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return
