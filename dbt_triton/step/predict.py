"""Carrying out a plan: send what has no prediction yet, and write the SELECT that joins them back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.credentials import request_headers
from dbt_triton.ddl.ml_predict import Span
from dbt_triton.engine import Engine, RowsError, RunStats
from dbt_triton.errors import ConfigurationError, DbtTritonError, InferenceError
from dbt_triton.inference_model import Binding, bind
from dbt_triton.step.plan import INPUT_ALIAS, STORE_ALIAS, Plan, PlannedCall
from dbt_triton.store import FINGERPRINT, KEY, KEY_COLUMNS, PredictionStore, key_halves, key_of_halves
from dbt_triton.tensors import RequestFormat
from dbt_triton.warehouse import DuckDBWarehouse, TableWriter, quote

logger = logging.getLogger("dbt_triton.step")

_SHOWN_ROWS = 3
_SHOWN_COLUMNS = 4
_SHOWN_LENGTH = 60


@dataclass(frozen=True)
class _Source:
    """Where a call's input is read: a FROM clause, the key of a row, and a column to leave out of the result."""

    relation: str
    key: str
    hidden: str | None = None

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        exclude = f" exclude ({quote(self.hidden)})" if self.hidden else ""
        return f"select *{exclude} from {self.relation}"


def run_plan(plan: Plan, warehouse: DuckDBWarehouse, *, full_refresh: bool = False) -> dict[str, Any]:
    """Predict for every call, in order.

    Args:
        plan: the planned statement.
        warehouse: the session of the predicting model.
        full_refresh: forget what a failed run has left in the stores.

    Returns:
        ``build_sql``, the SELECT of the table; ``stores``, to be dropped after its commit; ``temporary``, tables of
        the session to be dropped; ``figures``.

    Raises:
        ConfigurationError: a model does not fit what is served; found for all models before a row is sent.
        DbtTritonError: a request failed for good; what was predicted stays in the store.
    """
    started = time.perf_counter()
    run = _Run(plan, warehouse, full_refresh=full_refresh)
    try:
        for number, planned in enumerate(plan.calls):
            run.predict(number, planned)
    except BaseException:
        run.drop_temporary()
        raise
    figures = {
        "rows_predicted": run.stats.rows,
        "rows_reused": run.rows_reused,
        "requests": run.stats.requests,
        "retries": run.stats.retries,
        "bytes_sent": run.stats.bytes_sent,
        "bytes_received": run.stats.bytes_received,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return {
        "build_sql": plan.statement.render(run.replacements),
        "stores": run.stores,
        "temporary": run.temporary,
        "figures": figures,
    }


class _Run:
    """One run of a plan, and what has come of its calls so far."""

    def __init__(self, plan: Plan, warehouse: DuckDBWarehouse, *, full_refresh: bool) -> None:
        self.replacements: dict[Span, str] = {}
        self.stores: list[str] = []
        self.temporary: list[str] = []
        self.stats = RunStats()
        self.rows_reused = 0
        self._plan = plan
        self._warehouse = warehouse
        self._full_refresh = full_refresh
        self._bindings: list[Binding] = []

    def predict(self, number: int, planned: PlannedCall) -> None:
        """Send what has no prediction yet, and find what replaces the call in the statement."""
        source = self._source(number, planned)
        if not self._warehouse.rows(f"select 1 from {source.relation} where {source.key} is not null limit 1"):
            # Nothing to send: no server is needed (dbt's --empty, an empty table).
            self.replacements[planned.call.span] = planned.check_form(source.rows)
            return
        self._bindings = self._bindings or _preflight(self._plan)
        binding = self._bindings[number]
        store = PredictionStore(planned.store, planned.model, binding.fingerprint)
        with self._warehouse.writer() as writer:
            known = store.prepare(self._warehouse, writer)
            # The steps of a sequence belong together: it starts again.
            if known and (self._full_refresh or planned.in_order):
                store.clear(writer)
                known = 0
            self.rows_reused += known
            self.stores.append(planned.store)
            try:
                self.stats += asyncio.run(self._send(planned, binding, store, source, writer))
            except RowsError as error:
                raise DbtTritonError(self._failed_rows(error, planned, source)) from error
        logger.debug("%s: %s", planned.model.name, self.stats)
        self.replacements[planned.call.span] = _joined(planned, source, store)

    def drop_temporary(self) -> None:
        """Free what a failed run has put into the session."""
        for table in self.temporary:
            self._warehouse.execute(f"drop table if exists {table}")

    def _source(self, number: int, planned: PlannedCall) -> _Source:
        """Make the input readable more than once: what is not a plain table goes into a temporary one."""
        if planned.is_table and not planned.in_order:
            return _Source(self._plan.statement.render({}, planned.call.operand), planned.key)
        query = self._plan.statement.input_query(planned.call, self.replacements)
        table = quote(f"dbt_triton_input_{number}")
        hidden = _unused("ml_row", planned.columns) if planned.in_order else None
        if hidden is not None:
            query = f"select *, row_number() over () as {quote(hidden)} from ({query})"
        self._warehouse.execute(f"create or replace temp table {table} as {query}")
        self.temporary.append(table)
        if hidden is None:
            return _Source(table, planned.key)
        # Each row of a sequence is a step of its own, so its place is its key.
        filled = " and ".join(f"{value} is not null" for value in planned.values)
        return _Source(table, f"case when {filled} then cast({quote(hidden)} as uhugeint) end", hidden)

    async def _send(
        self, planned: PlannedCall, binding: Binding, store: PredictionStore, source: _Source, writer: TableWriter
    ) -> RunStats:
        options = planned.model.options
        request_format = RequestFormat(
            binding.inputs,
            binding.outputs,
            binary=binding.binary,
            batched=binding.batched,
            parameters={} if options.priority is None else {"priority": options.priority},
        )

        def sink(keys: list[pa.Array], outputs: list[pa.Array]) -> None:
            store.append(writer, keys, outputs)

        query = (
            f"select {key_halves(source.key)}, {', '.join(planned.values)} from {source.relation} "
            f"where {source.key} is not null"
            if planned.in_order
            else store.pending_query(source.relation, planned.values, source.key)
        )
        with closing(self._warehouse.read(query)) as batches:
            async with TritonClient(options, _headers(planned)) as client:
                engine = Engine(
                    client, request_format, batch_size=binding.batch_size, key_columns=KEY_COLUMNS, sink=sink
                )
                return await engine.run(batches)

    def _failed_rows(self, error: RowsError, planned: PlannedCall, source: _Source) -> str:
        """Say what failed, in Triton's own words, and for which rows."""
        halves = zip(*(column.to_pylist()[:_SHOWN_ROWS] for column in error.keys), strict=True)
        keys = ", ".join(key_of_halves(str(high), str(low)) for high, low in halves)
        shown = self._warehouse.rows(f"{source.rows} where {source.key} in ({keys}) limit {_SHOWN_ROWS}")
        rows = "\n".join("    " + _shown(row) for row in shown)
        options = planned.model.options
        status = f"status {error.status}" if error.status else "no answer"
        return (
            f"Triton at {options.endpoint}, model {options.model_name} version {options.model_version}: "
            f"{status} after {error.attempts} attempt(s): {error.message}\n"
            f"  It concerns a request of {len(error.keys[0])} row(s), such as:\n{rows}\n"
            f"  Predictions made so far are kept in {planned.store}; the next run goes on from there"
        )


def _preflight(plan: Plan) -> list[Binding]:
    """Compare every model with what is served, before any row is sent."""
    bindings: list[Binding] = []
    problems: list[str] = []
    for planned in plan.calls:
        try:
            bindings.append(asyncio.run(_bind(planned)))
        except ConfigurationError as error:
            problems += [f"{error.subject}: {problem}" for problem in error.problems]
        except InferenceError as error:
            problems.append(f'inference model "{planned.model.name}": {error}')
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)), "ML_PREDICT, before any row was sent")
    return bindings


async def _bind(planned: PlannedCall) -> Binding:
    async with TritonClient(planned.model.options, _headers(planned)) as client:
        return bind(planned.model, await client.served_model())


def _headers(planned: PlannedCall) -> dict[str, str]:
    return request_headers(planned.model.options, f'inference model "{planned.model.name}"')


def _joined(planned: PlannedCall, source: _Source, store: PredictionStore) -> str:
    """Return the input joined with its predictions; a row that should have one and has none is an error."""
    key_name = quote(_unused("input_key", planned.columns))
    input_key, store_key = f"{INPUT_ALIAS}.{key_name}", f"{STORE_ALIAS}.{KEY}"
    lost = "error('ML_PREDICT has no prediction for a row: was the input changed during the run?')"
    outputs = ", ".join(
        f"case when {store_key} is null and {input_key} is not null then {lost} "
        f"else {STORE_ALIAS}.{quote(column.name)} end as {quote(name)}"
        for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
    )
    columns = ", ".join(f"{INPUT_ALIAS}.{quote(name)}" for name in planned.columns)
    return (
        f"(select {columns}, {outputs} from (select *, {source.key} as {key_name} from {source.relation}) "
        f"as {INPUT_ALIAS} left join (select * from {store.relation} where {FINGERPRINT} = '{store.fingerprint}') "
        f"as {STORE_ALIAS} on {store_key} = {input_key})"
    )


def _unused(name: str, columns: Sequence[str]) -> str:
    """Lengthen a name until no column has it."""
    taken = {column.lower() for column in columns}
    while name in taken:
        name += "_"
    return name


def _shown(row: Mapping[str, Any]) -> str:
    """Show the first columns of a row, where its key usually is."""
    values = []
    for name, value in list(row.items())[:_SHOWN_COLUMNS]:
        text = repr(value)
        values.append(f"{name} = {text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + '…'}")
    return ", ".join(values)
