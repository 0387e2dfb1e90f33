"""Carrying out a plan: send what has no prediction yet, and write the SELECT that joins them back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.ddl.calls import Span
from dbt_triton.engine import Engine, FailedRows, RunError, RunStats, SequenceEngine
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import Binding
from dbt_triton.step.plan import Plan
from dbt_triton.step.preflight import headers_of, preflight
from dbt_triton.step.report import ended_early, failed_rows, kept
from dbt_triton.tensors import RequestFormat
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.duckdb.dialect import quote
from dbt_triton.warehouses.duckdb.inputs import inputs_queries, key_of_row, measure
from dbt_triton.warehouses.duckdb.keys import KEY_COLUMNS, parts
from dbt_triton.warehouses.duckdb.rewrite import Source, joined, sampled, stubbed
from dbt_triton.warehouses.duckdb.session import DuckDBWarehouse, TableWriter
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.duckdb.unchanged import Target, built_of, is_note
from dbt_triton.warehouses.duckdb.wide import WideInput, copy_statements
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name
from dbt_triton.warehouses.progress import reporter

logger = logging.getLogger("dbt_triton.step")

_OUT_OF_MEMORY = (
    "DuckDB has 2,048 rows of a list, a fixed array or a compressed BLOB in memory at once, however few are read. Keep "
    "the values as BLOBs that are not compressed (set force_compression = 'uncompressed' where the table is made), or "
    "raise memory_limit"
)


def run_plan(
    plan: Plan, warehouse: DuckDBWarehouse, *, name: str, full_refresh: bool = False, target: Target | None = None
) -> dict[str, Any]:
    """Predict for every call, in order.

    Args:
        plan: the planned statement.
        warehouse: the session of the predicting model.
        name: of the predicting model.
        full_refresh: forget what earlier runs have left in the stores.
        target: the table, where it is made anew as a whole.

    Returns:
        ``build_sql``, the SELECT of the table; ``clean_up``, statements for after its commit; ``figures``;
        ``unchanged``, whether the table is that already; ``remember``, what is to be kept for the next build to tell.

    Raises:
        ConfigurationError: a model does not fit what is served; found for all models before a row is sent.
        WarehouseError: DuckDB refused to read or write on the way; with its words, and what is kept.
        DbtTritonError: the run ended early, or rows failed; what was predicted stays in the store.
    """
    started = time.perf_counter()
    run = _Run(plan, warehouse, name=name, full_refresh=full_refresh, target=target)
    try:
        for number, planned in enumerate(plan.calls):
            run.predict(number, planned)
    except BaseException:
        run.give_up()
        raise
    figures = {
        "rows": run.rows,
        "rows_predicted": run.stats.rows,
        "rows_reused": run.rows_reused,
        "rows_failed": run.rows_failed,
        "requests": run.stats.requests,
        "retries": run.stats.retries,
        "bytes_sent": run.stats.bytes_sent,
        "bytes_received": run.stats.bytes_received,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return {
        "build_sql": plan.statement.render(run.replacements),
        "clean_up": run.clean_up,
        "figures": figures,
        "unchanged": run.unchanged,
        "remember": run.remember,
    }


class _Run:
    """One run of a plan, and what has come of its calls so far."""

    def __init__(
        self, plan: Plan, warehouse: DuckDBWarehouse, *, name: str, full_refresh: bool, target: Target | None
    ) -> None:
        self.unchanged = False
        self.remember: dict[str, str] | None = None
        self.replacements: dict[Span, str] = {}
        self.clean_up: list[str] = []
        self.stats = RunStats()
        #: Of the inputs of all calls; None where a stub reads them.
        self.rows: int | None = 0
        self.rows_reused = 0
        self.rows_failed = 0
        self._drop_at_once: list[str] = []
        self._plan = plan
        self._warehouse = warehouse
        self._name = name
        self._full_refresh = full_refresh
        self._target = target
        self._bindings: dict[int, Binding] = {}

    def predict(self, number: int, planned: PlannedCall) -> None:
        """Send what has no prediction yet, and find what replaces the call in the statement."""
        if planned.model.is_stub:
            query = sampled(planned, self._plan.statement.operand_query(planned.call, self.replacements))
            self.replacements[planned.call.span] = stubbed(planned, query)
            self.rows = None
            return
        source = self._source(number, planned)
        planned, source, rows, size = self._measured(number, planned, source)
        if not rows:
            # Nothing to send: no server is needed (dbt's --empty, an empty table).
            self.replacements[planned.call.span] = planned.check_form(source.rows)
            return
        binding = self._bindings[number]
        store = PredictionStore(planned.store, planned.model, binding.fingerprint)
        wide = self._wide_input(number, planned, source)
        source = wide.source if wide else source
        self.replacements[planned.call.span] = joined(planned, source, store)
        with self._warehouse.writer() as writer:
            known = store.prepare(self._warehouse, writer, retry_errors=planned.model.options.retry_errors)
            store.unlock(self._warehouse, planned.salt_variable)
            comment = store.comment(self._warehouse)
            if self._is_unchanged(source, store, comment):
                self.rows_reused += rows
                self._judge_failures(planned, source, store)
                return
            if is_note(comment):
                # Until the table is made, it is not known what it is made of.
                writer.execute(store.forget_comment)
            known = self._prepare(store, planned, writer, known)
            at_most = rows - known if known < rows else rows
            if wide:
                batches = wide.batches(store.known_halves if known else None, store.salt, binding)
            else:
                queries = inputs_queries(planned, source, store, parts(rows, size), anything_known=known > 0)
                batches = self._warehouse.read(*queries)
            sending = self._send(planned, binding, _StoreSink(store, writer), batches, at_most)
            sent = self._sent(sending, planned, source, store, writer)
        logger.debug("%s: %s", planned.model.name, sent)
        self.stats += sent
        if known:
            rows = wide.filled if wide else rows
            self.rows_reused += rows - sent.rows - sent.rows_failed
            store.check_keys(self._warehouse, self._name)  # what this run has written has no key twice
        self._judge_failures(planned, source, store)

    def _measured(self, number: int, planned: PlannedCall, source: Source) -> tuple[PlannedCall, Source, int, int]:
        """Count the rows that are sent and their bytes; what becomes of NULL there, the server says."""
        found = measure(planned, source, self._warehouse)
        self.rows = None if self.rows is None else self.rows + found.every_row
        if found.any_filled or (found.every_row and planned.nan_values):
            self._bindings = self._bindings or preflight(self._plan, self._warehouse)
            planned = planned.bound_to(self._bindings[number])
            if planned.optional or planned.nan_values:
                source = replace(source, key=key_of_row(planned, *source.hidden))
                found = measure(planned, source, self._warehouse)
        return planned, source, found.filled, found.bytes

    def _sent(
        self,
        sending: Coroutine[Any, Any, RunStats],
        planned: PlannedCall,
        source: Source,
        store: PredictionStore,
        writer: TableWriter,
    ) -> RunStats:
        """Send, and say what is kept where that fails."""
        is_wide = any(column.type.is_wide for column in planned.model.outputs)
        try:
            with self._warehouse.fewer_checkpoints() if is_wide else nullcontext():
                sent = asyncio.run(sending)
            source.keep_keys()
        except RunError as error:
            source.keep_keys()
            if error.no_answer_counts:
                store.disown(writer)
            else:
                store.absolve(writer)
            text = ended_early(error, planned, source, self._warehouse, full_refresh=self._full_refresh)
            raise DbtTritonError(text) from error
        except WarehouseError as error:
            # Such as a full disk: DuckDB's words say nothing of what is done already.
            why = f"\n  {_OUT_OF_MEMORY}" if planned.is_wide and "Out of Memory" in str(error) else ""
            raise WarehouseError(f"{error}{why}\n  {kept(planned, full_refresh=self._full_refresh)}") from error
        return sent

    def _wide_input(self, number: int, planned: PlannedCall, source: Source) -> WideInput | None:
        if not planned.is_wide:
            return None
        keys_table = self._temporary(f"dbt_triton_keys_{number}")
        return WideInput(planned, source.relation, keys_table, self._warehouse)

    def _is_unchanged(self, source: Source, store: PredictionStore, comment: str | None) -> bool:
        """Tell whether the table is what would be built; if it is not, note what it will be built of."""
        if comment is not None and not is_note(comment):
            return False  # somebody else's comment stays
        built = built_of(self._plan, self._target, store, source, self._warehouse)
        if built is None:
            return False
        self.unchanged = built.is_unchanged(comment)
        self.remember = None if self.unchanged else built.to_remember
        return self.unchanged

    def give_up(self) -> None:
        """Free what a failed run has put into the session, and what it must not leave behind."""
        for statement in self._drop_at_once:
            self._warehouse.execute(statement)

    def _prepare(self, store: PredictionStore, planned: PlannedCall, writer: TableWriter, rows: int) -> int:
        """Make the store ready. Returns how many of its rows need not be sent again."""
        options = planned.model.options
        # The steps of a sequence belong together: it starts again.
        if self._full_refresh or planned.in_order or options.cache == "off":
            store.clear(writer)
            rows = 0
        drop = f"drop table if exists {planned.store}"
        self.clean_up.append(store.forget_others if options.cache == "persistent" else drop)
        if options.cache == "off":
            self._drop_at_once.append(drop)
        return rows

    def _source(self, number: int, planned: PlannedCall) -> Source:
        """Make the input readable more than once: what is not a plain table goes into a temporary one."""
        if planned.is_table and not planned.in_order:
            return Source(self._plan.statement.operand_sql(planned.call, {}), planned.key)
        query = sampled(planned, self._plan.statement.input_query(planned.call, self.replacements))
        table = self._temporary(f"dbt_triton_input_{number}")
        hidden = unused_name("ml_row", planned.columns) if planned.in_order else None
        if hidden is not None:
            query = f"select *, row_number() over () as {quote(hidden)} from ({query})"
        copy = [f"create or replace temp table {table} as {query}"]
        if planned.is_wide:
            copy = copy_statements(query, table, planned, self._warehouse, may_peek=self._is_read_as_it_is(planned))
        for statement in copy:
            self._warehouse.execute(statement)
        if hidden is None:
            return Source(table, planned.key)
        return Source(table, key_of_row(planned, quote(hidden)), hidden=(quote(hidden),))

    def _is_read_as_it_is(self, planned: PlannedCall) -> bool:
        """Tell whether an operand is a relation, a file or a table function, rather than a query."""
        operand = self._plan.statement.operand_sql(planned.call, {})
        return planned.call.relation is not None or (not operand.startswith("(") and not operand.isidentifier())

    def _temporary(self, name: str) -> str:
        """Quote the name of a temporary table, which is dropped whatever comes of the run."""
        drop = f"drop table if exists {quote(name)}"
        self.clean_up.append(drop)
        self._drop_at_once.append(drop)
        return quote(name)

    async def _send(
        self,
        planned: PlannedCall,
        binding: Binding,
        sink: _StoreSink,
        read: Generator[pa.RecordBatch, None, None],
        rows: int,
    ) -> RunStats:
        options = planned.model.options
        with (
            reporter(self._name, rows) as progress,
            self._warehouse.interrupts() as interrupts,
            closing(read) as batches,
        ):
            form = request_format(planned, binding)
            expected = form.answer_bytes(binding.batch_size)
            async with TritonClient(options, headers_of(planned), expected_bytes=expected) as client:
                kind = partial(SequenceEngine, correlation_id=binding.correlation_id) if options.sequence_by else Engine
                engine = kind(
                    client,
                    form,
                    batch_size=binding.batch_size,
                    key_columns=KEY_COLUMNS,
                    sink=sink,
                    shared_batches=binding.shared_batches,
                    version=binding.version,
                    progress=progress,
                    check_interrupt=interrupts.check,
                )
                return await engine.run(batches)

    def _judge_failures(self, planned: PlannedCall, source: Source, store: PredictionStore) -> None:
        """Fail the build for failed rows, or let them pass, as ``on-error`` and ``max-error-ratio`` say."""
        options = planned.model.options
        if not self._warehouse.rows(f"{store.failed_keys} limit 1"):
            return
        counted = self._warehouse.rows(
            f"select count(*) filter (where {source.key} in ({store.failed_keys})) as failed, "
            f"count({source.key}) as sent from {source.relation}"
        )[0]
        failed, sent = int(counted["failed"]), int(counted["sent"])
        self.rows_failed += failed
        if not failed or (options.on_error == "null" and failed <= options.max_error_ratio * sent):
            return
        text = failed_rows(failed, planned, source, store, self._warehouse, of=sent)
        if options.on_error == "null":
            text = f"{failed:,} of {sent:,} rows failed, more than max-error-ratio {options.max_error_ratio}. {text}"
        raise DbtTritonError(text)


class _StoreSink:
    """Puts what comes of rows into the store."""

    def __init__(self, store: PredictionStore, writer: TableWriter) -> None:
        self._store = store
        self._writer = writer

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        self._store.append(self._writer, keys, outputs)

    def failures(self, failed: Sequence[FailedRows]) -> None:
        self._store.append_failures(self._writer, failed)


def request_format(planned: PlannedCall, binding: Binding) -> RequestFormat:
    """Return how the requests of a call look."""
    priority = planned.model.options.priority
    return RequestFormat(
        binding.inputs,
        binding.outputs,
        binary=binding.binary,
        batched=binding.batched,
        parameters={} if priority is None else {"priority": priority},
        made=binding.made,
    )
