"""One call on Spark: its input, its predictions, and what is asked of rows that failed."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dbt_triton.client.statistics import Counts
from dbt_triton.engine import RunError, RunStats
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import Binding
from dbt_triton.inference_model.input_columns import sent_as_nan
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses import (
    FailedRow,
    Failures,
    InputSize,
    Operand,
    Predicted,
    RunContext,
    ServerSeconds,
    StoppedError,
    WarehouseError,
)
from dbt_triton.warehouses.columns import ERROR, HTTP_STATUS, KEY, REASON
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name
from dbt_triton.warehouses.progress import reporter
from dbt_triton.warehouses.requests import headers_of, open_servers
from dbt_triton.warehouses.run_log import server_counts, server_seconds
from dbt_triton.warehouses.spark.joined import Source, joined
from dbt_triton.warehouses.spark.keys import key_expression
from dbt_triton.warehouses.spark.observed import about_distinct, failed_by_reason, sampled_outputs
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.shipping import prepare_executors
from dbt_triton.warehouses.spark.store import IS_FAILED, SparkStore
from dbt_triton.warehouses.spark.store_lock import StoreLock
from dbt_triton.warehouses.spark.table_formats import drop_statement
from dbt_triton.warehouses.spark.waves import ORDER, SEQUENCE, Sending, send_in_waves

if TYPE_CHECKING:
    from dbt_triton.warehouses.spark.session import SparkWarehouse

#: Longer keys make no query that a user would copy.
_SHOWN_KEY = 200
_NAME = re.compile(r"`((?:[^`]|``)*)`")
# No column of a user's is called so.
_WHY, _STATUS, _REASON = "dbt_triton_why", "dbt_triton_status", "dbt_triton_reason"


class SparkCall:
    """One call that is being carried out.

    Args:
        warehouse: the session.
        planned: the call.
        operand: its TABLE operand.
        context: what is known of the model.
    """

    def __init__(self, warehouse: SparkWarehouse, planned: PlannedCall, operand: Operand, context: RunContext) -> None:
        self._warehouse = warehouse
        self._dialect = warehouse.dialect
        self._context = context
        self._run = RunName.new()
        self._staged: str | None = None
        self._row: str | None = None
        self._place: str | None = None
        self._store: SparkStore | None = None
        self._lock: StoreLock | None = None
        self._size = InputSize(0, 0, 0)
        self._planned = planned
        #: What was done so far.
        self.stats = RunStats()
        self.server_seconds: ServerSeconds | None = None
        try:
            self._source = self._read_from(planned, operand)
        except BaseException:
            self.close(failed=True)
            raise

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        return self._source.rows

    @property
    def clean_up(self) -> list[str]:
        """Statements for after the table is there, as far as they are known by now."""
        statements = [] if self._staged is None else [drop_statement(self._warehouse.spark, self._staged)]
        if self._store is None or self._lock is None:
            return statements
        kept = self._planned.model.options.cache == "persistent"
        statements += self._store.forget_others() if kept else [self._store.drop]
        return [*statements, self._lock.release_statement]

    def measure(self, planned: PlannedCall) -> InputSize:
        """Count the rows of the input."""
        self._planned = planned
        self._source = Source(self._source.relation, self._source.columns, self._key(planned))
        found = self._warehouse.rows(
            f"select count(*) as every_row, count_if({planned.any_filled}) as any_filled, "
            f"count_if({planned.filled}) as filled from {self._source.relation}"
        )[0]
        self._size = InputSize(int(found["every_row"]), int(found["any_filled"]), int(found["filled"]))
        return self._size

    def predict(self, planned: PlannedCall, binding: Binding, size: InputSize) -> Predicted:
        """Send what has no prediction yet, in waves.

        Raises:
            RunError: the run ended early; what was answered is in the store, unless no answer counts.
            StoppedError: Spark refused something while rows were sent, or the run was interrupted.
            ConfigurationError: the executors cannot send: a secret or a TLS file is not there.
            WarehouseError: Spark refused something before or after.
            DbtTritonError: another run fills the store.
        """
        options = planned.model.options
        prepare_executors(self._warehouse)
        store = store_of(self._warehouse, planned, binding.fingerprint)
        lock = StoreLock(self._warehouse.spark, store, self._run)
        lock.take()
        self._store, self._lock = store, lock
        start_anew = self._context.full_refresh or planned.in_order or options.cache == "off"
        known = store.prepare(retry_errors=options.retry_errors, start_anew=start_anew)
        at_most = size.filled - known if known < size.filled else size.filled
        with self._server_time(planned, binding):
            stats = self._sent(planned, binding, store, at_most, anything_known=known > 0)
        if known:
            store.check_keys(self._context.name)
        if options.cache == "persistent":
            store.compact()
        return Predicted(
            joined=joined(planned, self._source, store, self._dialect),
            stats=stats,
            reused=size.filled - stats.rows - stats.rows_failed if known else 0,
            anything_known=known > 0,
        )

    def distinct(self) -> int:
        """Count the distinct inputs, about."""
        return about_distinct(self._warehouse, self._source)

    def outputs(self, rows: int, of: int) -> dict[str, pa.Array]:
        """Return predictions by their columns, of about so many rows at most."""
        return sampled_outputs(self._warehouse, self._planned, self._source, self._the_store, rows, of)

    def failed_by_reason(self) -> dict[str, int]:
        """Count the rows of the input that failed, by the kind of the reason."""
        return failed_by_reason(self._warehouse, self._source, self._the_store)

    def failures(self) -> Failures:
        """Count the rows of the input that failed, in this run or before."""
        store = self._the_store
        if not self._warehouse.rows(f"{store.failed_keys} limit 1"):
            return Failures(0, self._size.filled)
        keys = f"(select {self._source.key} as {KEY} from {self._source.relation})"
        failed = self._warehouse.rows(f"select count(*) as n from {keys} where {KEY} in ({store.failed_keys})")
        return Failures(int(failed[0]["n"]), self._size.filled)

    def first_failures(self, limit: int) -> list[FailedRow]:
        """Return some rows that failed; Spark's tables have no order."""
        key = self._dialect.quote(unused_name("input_key", self._planned.columns))
        own = ", ".join(f"input_rows.{name}" for name in self._source.columns)
        found = self._warehouse.rows(
            f"select failed.{ERROR} as {_WHY}, failed.{HTTP_STATUS} as {_STATUS}, failed.{REASON} as {_REASON}, {own} "
            f"from (select *, {self._source.key} as {key} from {self._source.relation}) as input_rows "
            f"join {self._the_store.current} as failed on failed.{KEY} = input_rows.{key} "
            f"where failed.{ERROR} is not null limit {limit}"
        )
        return [
            FailedRow(row, why=str(row.pop(_WHY)), status=row.pop(_STATUS), reason=str(row.pop(_REASON)))
            for row in found
        ]

    def different_reasons(self) -> int:
        """Count the reasons for which rows failed."""
        counted = f"select count(distinct {ERROR}) as n from {self._the_store.current} where {ERROR} is not null"
        return int(self._warehouse.rows(counted)[0]["n"])

    def rows_with(self, keys: Sequence[pa.Array], limit: int) -> list[dict[str, Any]]:
        """Return rows of the input that have one of these keys, each a binary value."""
        wanted = ", ".join(f"X'{bytes(key).hex()}'" for key in keys[0].to_pylist()[:limit])
        return self._warehouse.rows(f"{self._source.rows} where {self._source.key} in ({wanted}) limit {limit}")

    def every_reason(self) -> str:
        """Return the query by which a user selects the reasons of all failed rows."""
        return f"select * from {self._the_store.relation} where {IS_FAILED}"

    def every_row(self) -> str | None:
        """Return the query by which a user selects all failed rows; None where there is none that is short."""
        named = self._planned.call.relation
        if named is None or self._planned.in_order or len(self._source.key) > _SHOWN_KEY:
            return None
        relation = ".".join(map(self._dialect.quote, named))
        failed = f"select {KEY} from {self._the_store.relation} where {IS_FAILED}"
        return f"select * from {relation} where {self._source.key} in ({failed})"

    def close(self, *, failed: bool) -> None:
        """Free what the run has put beside the store; after a failed one, also what it must not leave behind."""
        if failed:
            options = self._planned.model.options
            statements = [] if self._staged is None else [drop_statement(self._warehouse.spark, self._staged)]
            if self._store is not None and options.cache == "off":
                statements.append(self._store.drop)
            if self._lock is not None:
                statements.append(self._lock.release_statement)
            for statement in statements:
                with suppress(WarehouseError):  # the next run does it
                    self._warehouse.execute(statement)
        self._run.end()

    @property
    def _the_store(self) -> SparkStore:
        assert self._store is not None  # noqa: S101 - rows fail when they are sent
        return self._store

    def _sent(
        self, planned: PlannedCall, binding: Binding, store: SparkStore, rows: int, *, anything_known: bool
    ) -> RunStats:
        sending = Sending(
            query=self._query(planned, store, anything_known=anything_known),
            rows=rows,
            inputs=_sent_types(planned, binding),
            binding=binding,
            options=planned.model.options,
            tasks=planned.model.options.spark_tasks,
            subject=f'inference model "{planned.model.name}"',
            check_interrupt=self._warehouse.check,
            on_stats=self._keep_stats,
        )
        with reporter(self._context.name, rows) as progress:
            try:
                return send_in_waves(self._warehouse.spark, store, replace(sending, progress=progress), self._run)
            except RunError:
                if self._warehouse.jobs.interrupted:  # which is no fault of the server's
                    raise StoppedError("the run was interrupted") from None
                raise
            except DbtTritonError:
                raise
            except Exception as error:
                raise StoppedError(str(self._warehouse.error_of(error))) from error

    def _keep_stats(self, stats: RunStats) -> None:
        self.stats = stats

    @contextmanager
    def _server_time(self, planned: PlannedCall, binding: Binding) -> Generator[None]:
        """Ask the servers before and after the block what they have counted, from the driver."""
        if not self._context.asks_servers:
            yield
            return

        async def ask() -> Counts | None:
            async with open_servers(planned.model.options, binding, headers_of(planned)) as servers:
                return await server_counts(servers, binding.version)

        before = self._warehouse.unless_interrupted(ask())
        try:
            yield
        finally:
            with suppress(Exception):  # what the block raised says more
                self.server_seconds = server_seconds(before, self._warehouse.unless_interrupted(ask()))

    def _query(self, planned: PlannedCall, store: SparkStore, *, anything_known: bool) -> str:
        """Return the query for what is to be sent: the key, the values, and the order of a sequence."""
        source = self._source
        if not planned.in_order:
            return store.pending_query(source.relation, planned.sent_values, source.key, anything_known=anything_known)
        columns = [f"{source.key} as {KEY}"]
        columns += [f"{value} as value_{place}" for place, value in enumerate(planned.sent_values)]
        if planned.sequence_by:
            # One column of bytes: Arrow cannot tell neighbours in a column of structs apart.
            every = range(len(planned.sequence_by))
            columns.append(f"{key_expression(planned.sequence_by, optional=every)} as {SEQUENCE}")
        columns.append(f"{self._place} as {ORDER}")
        return f"select {', '.join(columns)} from {source.relation} where {source.key} is not null"

    def _key(self, planned: PlannedCall) -> str:
        if self._row is None:
            return key_expression(planned.key_values, planned.optional, planned.filled)
        # Each row of a sequence is a step of its own, so its place is its key.
        return f"case when {planned.filled} then unhex(lpad(hex({self._row}), 32, '0')) end"

    def _read_from(self, planned: PlannedCall, operand: Operand) -> Source:
        """Make the input readable more than once: what is not a plain table goes into one beside the store."""
        columns = tuple(map(self._dialect.quote, planned.columns))
        if planned.is_table and not planned.in_order:
            return Source(operand.relation, columns, self._key(planned))
        query = operand.query
        if planned.in_order:
            query = self._in_order(planned, query)
        # Of which fingerprint it is, is not known yet, and no matter.
        staged = store_of(self._warehouse, planned, "").input_table(self._run)
        self._staged = staged
        self._warehouse.execute(f"create table {staged} using {file_format(self._warehouse)} as {query}")
        return Source(staged, columns, self._key(planned))

    def _in_order(self, planned: PlannedCall, query: str) -> str:
        """Number the rows, and the places in their sequences: where the order is not said, as Spark reads them."""
        row, place = (self._dialect.quote(unused_name(name, planned.columns)) for name in ("ml_row", "ml_place"))
        self._row = self._place = row
        query = f"select *, monotonically_increasing_id() as {row} from ({query})"
        if not planned.sequence_by:
            return query
        self._place = place
        window = f"partition by {', '.join(planned.sequence_by)} order by {', '.join([*planned.order_by, row])}"
        return f"select *, row_number() over ({window}) as {place} from ({query})"


def _sent_types(planned: PlannedCall, binding: Binding) -> list[SqlType]:
    """Return the types of the values: a number whose NULL is NaN is sent as a floating-point number."""
    types = [column.type for column in planned.model.inputs]
    as_nan = {place: sent_as_nan(types[place]) for place in binding.nan_columns}
    return [as_nan.get(place) or kind for place, kind in enumerate(types)]


def parts_of(relation: str) -> list[str]:
    """Return the parts of a quoted name."""
    return [part.replace("``", "`") for part in _NAME.findall(relation)]


def file_format(warehouse: SparkWarehouse) -> str:
    """Return the format of the model's table, which its store has as well."""
    return str(warehouse.arguments.get("file_format") or "parquet")


def store_of(warehouse: SparkWarehouse, planned: PlannedCall, fingerprint: str) -> SparkStore:
    """Return the prediction store of a call."""
    parts = parts_of(planned.store)
    return SparkStore(warehouse.spark, parts, planned.model, warehouse.dialect, fingerprint, file_format(warehouse))
