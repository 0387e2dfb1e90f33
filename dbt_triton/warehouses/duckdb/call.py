"""One call on DuckDB: its rows stream from the session into the engine, and predictions into the store, by chunks."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from dbt_triton.engine import Engine, FailedRows, RunError, RunStats, SequenceEngine, event_loop
from dbt_triton.inference_model import Binding
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
from dbt_triton.warehouses.duckdb.dialect import quote
from dbt_triton.warehouses.duckdb.inputs import inputs_queries, key_of_row, measure
from dbt_triton.warehouses.duckdb.keys import (
    KEY_COLUMNS,
    is_wide,
    key_of_halves,
    key_with,
    parts,
    salt_of_store,
    salt_variable,
)
from dbt_triton.warehouses.duckdb.observed import about_distinct, failed_by_reason, sampled_outputs
from dbt_triton.warehouses.duckdb.rewrite import Source, joined
from dbt_triton.warehouses.duckdb.session import DuckDBSession, TableWriter
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.duckdb.unchanged import BuiltOf, built_of, is_note
from dbt_triton.warehouses.duckdb.wide import WideInput, copy_statements
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name
from dbt_triton.warehouses.progress import reporter
from dbt_triton.warehouses.requests import headers_of, open_servers, request_format
from dbt_triton.warehouses.run_log import ServerTime

_OUT_OF_MEMORY = (
    "DuckDB has 2,048 rows of a list, a fixed array or a compressed BLOB in memory at once, however few are read. Keep "
    "the values as BLOBs that are not compressed (set force_compression = 'uncompressed' where the table is made), or "
    "raise memory_limit"
)
_SHOWN_KEY = 200
# No column of a user's is called so.
_WHY, _STATUS, _REASON = "dbt_triton_why", "dbt_triton_status", "dbt_triton_reason"


class DuckDBCall:
    """One call that is being carried out.

    Args:
        planned: the call.
        operand: its input.
        context: the model that it belongs to.
        session: of that model.
    """

    def __init__(self, planned: PlannedCall, operand: Operand, context: RunContext, session: DuckDBSession) -> None:
        self.clean_up: list[str] = []
        self._unbound = self._planned = planned
        self._context = context
        self._session = session
        self._store = PredictionStore(planned.store, planned.model, "")
        self._drop_at_once: list[str] = []
        self._engine: Engine | None = None
        self._wide: WideInput | None = None
        self.server_seconds: ServerSeconds | None = None
        try:
            self._source = self._readable(operand)
        except BaseException:
            self.close(failed=True)
            raise

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        return self._source.rows

    def measure(self, planned: PlannedCall) -> InputSize:
        """Count the rows of the input."""
        self._planned = planned
        self._source = replace(self._source, key=key_of_row(planned, *self._source.hidden))
        return measure(planned, self._source, self._session)

    def predict(self, planned: PlannedCall, binding: Binding, size: InputSize) -> Predicted:
        """Send what has no prediction yet."""
        self._planned = planned
        store = self._store = PredictionStore(planned.store, planned.model, binding.fingerprint)
        wide = self._wide = self._wide_input()
        source = self._source = wide.source if wide else self._source
        rows, table = size.filled, joined(planned, source, store)
        with self._session.writer() as writer:
            known = store.prepare(self._session, writer, retry_errors=planned.model.options.retry_errors)
            store.unlock(self._session, salt_variable(planned))
            comment = store.comment(self._session)
            built = self._built_of(comment)
            if built is not None and built.is_unchanged(comment):
                return Predicted(table, reused=rows, unchanged=True, anything_known=True)
            if is_note(comment):
                # Until the table is made, it is not known what it is made of.
                writer.execute(store.forget_comment)
            known = self._prepare(writer, known)
            at_most = rows - known if known < rows else rows
            if wide:
                batches = wide.batches(store.known_halves if known else None, store.salt, binding)
            else:
                cut = parts(rows, size.bytes, self._session.memory_limit())
                batches = self._session.read(*inputs_queries(planned, source, store, cut, anything_known=known > 0))
            sent = self._sent(self._send(binding, _StoreSink(store, writer), batches, at_most), writer)
        reused = 0
        if known:
            reused = (wide.filled if wide else rows) - sent.rows - sent.rows_failed
            store.check_keys(self._session, self._context.name)  # what this run has written has no key twice
        remember = None if built is None else built.to_remember
        return Predicted(table, sent, reused, remember=remember, anything_known=known > 0)

    @property
    def stats(self) -> RunStats:
        """What was done so far."""
        return RunStats() if self._engine is None else self._engine.stats

    def distinct(self) -> int:
        """Count the distinct inputs, about; exactly where they were looked at one by one."""
        if self._wide is not None:
            return self._wide.counts.known + self._wide.counts.new
        return about_distinct(self._planned, self._source, self._session)

    def outputs(self, rows: int, of: int) -> dict[str, pa.Array]:
        """Return predictions by their columns, of so many rows at most."""
        return sampled_outputs(self._planned, self._source, self._store, self._session, rows, of)

    def failed_by_reason(self) -> dict[str, int]:
        """Count the rows of the input that failed, by the kind of the reason."""
        return failed_by_reason(self._source, self._store, self._session)

    def failures(self) -> Failures:
        """Count the rows of the input that failed, in this run or before."""
        if not self._session.rows(f"{self._store.failed_keys} limit 1"):
            return Failures(0, 0)
        key = self._source.key
        counted = self._session.rows(
            f"select count(*) filter (where {key} in ({self._store.failed_keys})) as failed, "
            f"count({key}) as sent from {self._source.relation}"
        )[0]
        return Failures(int(counted["failed"]), int(counted["sent"]))

    def first_failures(self, limit: int) -> list[FailedRow]:
        """Return the first rows that failed, in the order of the input."""
        source, columns = self._source, self._planned.columns
        key, place = (quote(unused_name(name, columns)) for name in ("input_key", "input_place"))
        first = self._session.rows(
            f"select failed.{ERROR} as {_WHY}, failed.{HTTP_STATUS} as {_STATUS}, "
            f"failed.{REASON} as {_REASON}, input_rows.* exclude ({', '.join([key, place, *source.hidden])}) "
            f"from (select *, {source.key} as {key}, rowid as {place} from {source.relation}) as input_rows "
            f"join {self._store.current} as failed on failed.{KEY} = input_rows.{key} "
            f"where failed.{ERROR} is not null order by input_rows.{place} asc limit {limit}"
        )
        return [FailedRow(row, str(row.pop(_WHY)), row.pop(_STATUS), str(row.pop(_REASON))) for row in first]

    def different_reasons(self) -> int:
        """Count the reasons for which rows failed."""
        counted = f"select count(distinct {ERROR}) as n from {self._store.current} where {ERROR} is not null"
        return int(self._session.rows(counted)[0]["n"])

    def rows_with(self, keys: Sequence[pa.Array], limit: int) -> list[dict[str, Any]]:
        """Return rows of the input that have one of these keys."""
        halves = zip(*(column.to_pylist()[:limit] for column in keys), strict=True)
        wanted = ", ".join(key_of_halves(str(high), str(low)) for high, low in halves)
        return self._session.rows(f"{self._source.rows} where {self._source.key} in ({wanted}) limit {limit}")

    def every_reason(self) -> str:
        """Return the query by which a user selects the reasons of all failed rows."""
        return f"select * from {self._store.relation} where {ERROR} is not null"

    def every_row(self) -> str | None:
        """Return the query for all failed rows; None for those of a query, steps of a sequence, or with a long key."""
        planned, store = self._planned, self._store
        named = planned.call.relation
        # A Python model's input is a temporary table, which is gone by then.
        is_gone = named is None or named[0] == "temp"
        if (
            named is None
            or is_gone
            or planned.in_order
            or is_wide(planned)
            or sum(map(len, planned.key_values)) > _SHOWN_KEY
        ):
            return None
        key = key_with(planned, salt_of_store(store.relation, store.fingerprint))
        relation = ".".join(map(quote, named))
        failed = f"select {KEY} from {store.relation} where {ERROR} is not null"
        return f"select * from {relation} where {key} in ({failed})"

    def close(self, *, failed: bool) -> None:
        """Free what a failed run has put into the session, and what it must not leave behind."""
        for statement in self._drop_at_once if failed else ():
            self._session.execute(statement)

    def _readable(self, operand: Operand) -> Source:
        """Make the input readable more than once: what is not a plain table goes into a temporary one."""
        planned = self._planned
        if planned.is_table and not planned.in_order:
            return Source(operand.relation, key_of_row(planned))
        query, table = operand.query, self._temporary(f"dbt_triton_input_{planned.number}")
        hidden = quote(unused_name("ml_row", planned.columns)) if planned.in_order else None
        if hidden is not None:
            query = f"select *, row_number() over () as {hidden} from ({query})"
        copy = [f"create or replace temp table {table} as {query}"]
        if is_wide(planned):
            copy = copy_statements(query, table, planned, self._session, may_peek=not operand.is_query)
        for statement in copy:
            self._session.execute(statement)
        return Source(table, key_of_row(planned, hidden), hidden=() if hidden is None else (hidden,))

    def _wide_input(self) -> WideInput | None:
        if not is_wide(self._planned):
            return None
        keys_table = self._temporary(f"dbt_triton_keys_{self._planned.number}")
        return WideInput(self._planned, self._source.relation, keys_table, self._session)

    def _temporary(self, name: str) -> str:
        """Quote the name of a temporary table, which is dropped whatever comes of the run."""
        drop = f"drop table if exists {quote(name)}"
        self.clean_up.append(drop)
        self._drop_at_once.append(drop)
        return quote(name)

    def _built_of(self, comment: str | None) -> BuiltOf | None:
        """Return what the table will be built of, where the next build can tell by it that nothing has changed."""
        if comment is not None and not is_note(comment):
            return None  # somebody else's comment stays
        return built_of(self._unbound, self._context, self._store, self._source, self._session)

    def _prepare(self, writer: TableWriter, rows: int) -> int:
        """Make the store ready. Returns how many of its rows need not be sent again."""
        planned, store = self._planned, self._store
        options = planned.model.options
        # The steps of a sequence belong together: it starts again.
        if self._context.full_refresh or planned.in_order or options.cache == "off":
            store.clear(writer)
            rows = 0
        drop = f"drop table if exists {planned.store}"
        self.clean_up.append(store.forget_others if options.cache == "persistent" else drop)
        if options.cache == "off":
            self._drop_at_once.append(drop)
        return rows

    def _sent(self, sending: Coroutine[Any, Any, RunStats], writer: TableWriter) -> RunStats:
        """Send, and keep what is known by then where that fails."""
        has_wide_output = any(column.type.is_wide for column in self._planned.model.outputs)
        try:
            with self._session.fewer_checkpoints() if has_wide_output else nullcontext():
                sent = event_loop.run(sending)
            self._source.keep_keys()
        except RunError as error:
            self._source.keep_keys()
            if error.no_answer_counts:
                self._store.disown(writer)
            else:
                self._store.absolve(writer)
            raise
        except WarehouseError as error:
            why = f"\n  {_OUT_OF_MEMORY}" if is_wide(self._planned) and "Out of Memory" in str(error) else ""
            raise StoppedError(f"{error}{why}") from error
        return sent

    async def _send(
        self, binding: Binding, sink: _StoreSink, read: Generator[pa.RecordBatch, None, None], rows: int
    ) -> RunStats:
        options = self._planned.model.options
        with (
            reporter(self._context.name, rows) as progress,
            self._session.interrupts() as interrupts,
            closing(read) as batches,
        ):
            async with open_servers(options, binding, headers_of(self._planned)) as servers:
                kind = partial(SequenceEngine, correlation_id=binding.correlation_id) if options.sequence_by else Engine
                engine = kind(
                    servers,
                    request_format(options, binding),
                    batch_size=binding.batch_size,
                    key_columns=KEY_COLUMNS,
                    sink=sink,
                    shared_batches=binding.shared_batches,
                    version=binding.version,
                    progress=progress,
                    check_interrupt=interrupts.check,
                )
                self._engine = engine
                if not self._context.asks_servers:
                    return await engine.run(batches)
                time = ServerTime(servers, binding.version)
                try:
                    return await engine.run(time.before(batches))
                finally:
                    self.server_seconds = await time.after()


class _StoreSink:
    """Puts what comes of rows into the store."""

    def __init__(self, store: PredictionStore, writer: TableWriter) -> None:
        self._store = store
        self._writer = writer

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        self._store.append(self._writer, keys, outputs)

    def failures(self, failed: Sequence[FailedRows]) -> None:
        self._store.append_failures(self._writer, failed)
