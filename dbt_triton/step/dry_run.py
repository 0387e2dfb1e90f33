"""What a build would send, without sending it: rows, distinct inputs, requests and bytes, and what the store saves."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from dbt_triton.ddl.calls import Span
from dbt_triton.engine.source import exact_batches
from dbt_triton.engine.stats import Figures
from dbt_triton.errors import PERMANENT_REASONS
from dbt_triton.inference_model import Binding
from dbt_triton.step.plan import Plan
from dbt_triton.step.predict import request_format
from dbt_triton.step.preflight import preflight
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.columns import ERROR, FINGERPRINT, KEY, REASON
from dbt_triton.warehouses.duckdb.dialect import quote
from dbt_triton.warehouses.duckdb.keys import key_halves
from dbt_triton.warehouses.duckdb.rewrite import sampled
from dbt_triton.warehouses.duckdb.session import DuckDBWarehouse
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.duckdb.wide import WideInput
from dbt_triton.warehouses.planned_call import PlannedCall

_INPUT = "dbt_triton_dry_run_input"


@dataclass
class DryRun(Figures):
    """What the calls of a plan would do.

    ``rows`` are the input's, ``nulls`` those that are not sent, ``distinct`` the inputs that differ, ``cached`` those
    of them that the store has, ``to_send`` the rest, in ``requests`` with ``bytes`` before any compression.
    ``unknown_calls`` read the predictions of another call, so what they would send is not known before.
    """

    rows: int = 0
    nulls: int = 0
    distinct: int = 0
    cached: int = 0
    to_send: int = 0
    requests: int = 0
    bytes: int = 0
    stubs: int = 0
    unknown_calls: int = 0

    @property
    def message(self) -> str:
        """One line for the console."""
        text = (
            f"ML_PREDICT dry run: {self.rows:,} rows, {self.nulls:,} of them NULL, {self.distinct:,} distinct inputs, "
            f"{self.cached:,} in the store, {self.to_send:,} to send in {self.requests:,} "
            f"request{'' if self.requests == 1 else 's'}, "
            f"{self.bytes:,} bytes"
        )
        text += f", {self.stubs} call(s) stubbed" if self.stubs else ""
        return text + (f", {self.unknown_calls} call(s) depend on others" if self.unknown_calls else "")


def dry_run(plan: Plan, warehouse: DuckDBWarehouse, *, full_refresh: bool = False) -> dict[str, Any]:
    """Count what a build would send. The server is asked about its models, and nothing is written.

    Raises:
        ConfigurationError: a model does not fit what is served.
    """
    total = DryRun()
    bindings = preflight(plan, warehouse)
    for number, planned in enumerate(plan.calls):
        if planned.model.is_stub:
            total += DryRun(stubs=1)
        elif _reads_predictions(plan, planned):
            total += DryRun(unknown_calls=1)
        else:
            bound = planned.bound_to(bindings[number])
            total += _count(plan, bound, bindings[number], warehouse, full_refresh=full_refresh)
    return {"figures": asdict(total), "message": total.message}


def _reads_predictions(plan: Plan, planned: PlannedCall) -> bool:
    """Tell whether the input of a call holds another call."""
    marked: dict[Span, str] = {other.call.span: "null" for other in plan.calls if other is not planned}
    query = plan.statement.input_query(planned.call, {})
    return plan.statement.input_query(planned.call, marked) != query


def _count(
    plan: Plan, planned: PlannedCall, binding: Binding, warehouse: DuckDBWarehouse, *, full_refresh: bool
) -> DryRun:
    store = PredictionStore(planned.store, planned.model, binding.fingerprint)
    store.unlock(warehouse, planned.salt_variable)
    query = sampled(planned, plan.statement.input_query(planned.call, {}))
    if planned.is_wide:
        return _count_wide(planned, query, store, binding, warehouse, full_refresh=full_refresh)
    values = ", ".join(f"{value} as value_{position}" for position, value in enumerate(planned.sent_values))
    warehouse.execute(
        f"create or replace temp table {_INPUT} as select {planned.key} as {KEY}, {values} from ({query})"
    )
    try:
        known = _known_keys(planned, binding, warehouse, full_refresh=full_refresh)
        counted = warehouse.rows(
            f"select count(*) as found, count({KEY}) as filled, count(distinct {KEY}) as distinct_inputs, "
            f"count(distinct {KEY}) filter (where {KEY} in ({known})) as cached from {_INPUT}"
        )[0]
        rows, filled = int(counted["found"]), int(counted["filled"])
        distinct, cached = int(counted["distinct_inputs"]), int(counted["cached"])
        requests, size = _measure(planned, binding, warehouse, known)
    finally:
        warehouse.execute(f"drop table if exists {_INPUT}")
    to_send = filled if planned.in_order else distinct - cached
    return DryRun(rows, rows - filled, distinct, cached, to_send, requests, size)


def _count_wide(  # noqa: PLR0913 - what is read, and what is known of it
    planned: PlannedCall,
    query: str,
    store: PredictionStore,
    binding: Binding,
    warehouse: DuckDBWarehouse,
    *,
    full_refresh: bool,
) -> DryRun:
    """Count wide rows while they are read once."""
    if planned.is_table:
        table = ".".join(map(quote, planned.call.relation or ()))
    else:
        warehouse.execute(f"create or replace temp table {_INPUT} as {query}")
        table = _INPUT
    try:
        wide = WideInput(planned, table, "", warehouse)
        known = _known_keys(planned, binding, warehouse, full_refresh=full_refresh)
        with closing(wide.batches(f"select {key_halves(KEY)} from ({known})", store.salt, binding)) as batches:
            requests, size = _encoded(batches, planned, binding)
    finally:
        warehouse.execute(f"drop table if exists {_INPUT}")
    counts = wide.counts
    distinct = counts.known + counts.new
    return DryRun(counts.rows, counts.nulls, distinct, counts.known, counts.new, requests, size)


def _known_keys(planned: PlannedCall, binding: Binding, warehouse: DuckDBWarehouse, *, full_refresh: bool) -> str:
    """Return the query for the keys that would not be sent, since the store has their answer."""
    nothing = f"select null::uhugeint as {KEY} where false"
    options = planned.model.options
    if full_refresh or planned.in_order or options.cache == "off":
        return nothing
    permanent = ", ".join(f"'{reason}'" for reason in sorted(PERMANENT_REASONS))
    kept = f"{ERROR} is null" + ("" if options.retry_errors else f" or {REASON} in ({permanent})")
    query = f"select {KEY} from {planned.store} where {FINGERPRINT} = '{binding.fingerprint}' and ({kept})"
    try:
        warehouse.describe(query)
    except WarehouseError:
        return nothing  # there is no store yet, or one of another shape
    return query


def _measure(planned: PlannedCall, binding: Binding, warehouse: DuckDBWarehouse, known: str) -> tuple[int, int]:
    """Encode what would be sent. Returns the number of requests and their bytes."""
    values = [f"value_{position}" for position in range(len(planned.sent_values))]
    chosen = ", ".join(values if planned.in_order else [f"any_value({value})" for value in values])
    query = f"select {chosen} from {_INPUT} where {KEY} is not null and {KEY} not in ({known})"
    if not planned.in_order:
        query += f" group by {KEY}"
    with closing(warehouse.read(query)) as batches:
        return _encoded(batches, planned, binding)


def _encoded(batches: Iterable[pa.RecordBatch], planned: PlannedCall, binding: Binding) -> tuple[int, int]:
    """Encode record batches, whose last columns are the values. Returns the number of requests and their bytes."""
    form, size, values = request_format(planned, binding), binding.batch_size, len(planned.sent_values)
    requests = sent = 0
    for batch in exact_batches(batches, size):
        for places, rows in form.encode(batch.columns[-values:], size, in_order=planned.in_order).groups:
            count = batch.num_rows if places is None else len(places)
            for start, end in rows.cuts(count, size):
                body, _ = rows.body(start, end, None)
                requests += 1
                sent += len(body) + len(f'"id":"{requests}",')  # which the client puts in
    return requests, sent
