"""What a call would send, counted without sending it."""

from __future__ import annotations

from contextlib import closing

from dbt_triton.errors import PERMANENT_REASONS
from dbt_triton.inference_model import Binding
from dbt_triton.warehouses import Operand, WarehouseError
from dbt_triton.warehouses.columns import ERROR, FINGERPRINT, KEY, REASON
from dbt_triton.warehouses.duckdb.dialect import quote
from dbt_triton.warehouses.duckdb.keys import is_wide, key_halves, key_of, salt_variable
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.duckdb.wide import WideInput
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.requests import Measured, encoded_size

_INPUT = "dbt_triton_dry_run_input"


def count(
    planned: PlannedCall, operand: Operand, binding: Binding, session: DuckDBSession, *, full_refresh: bool
) -> dict[str, int]:
    """Count what a call would send: the figures of a dry run by their names."""
    store = PredictionStore(planned.store, planned.model, binding.fingerprint)
    store.unlock(session, salt_variable(planned))
    known = _known_keys(planned, binding, session, full_refresh=full_refresh)
    try:
        if is_wide(planned):
            return _count_wide(planned, operand, binding, session, known=known, salt=store.salt)
        return _count(planned, operand, known, binding, session)
    finally:
        session.execute(f"drop table if exists {_INPUT}")


def _count(
    planned: PlannedCall, operand: Operand, known: str, binding: Binding, session: DuckDBSession
) -> dict[str, int]:
    values = ", ".join(f"{value} as value_{position}" for position, value in enumerate(planned.sent_values))
    session.execute(
        f"create or replace temp table {_INPUT} as select {key_of(planned)} as {KEY}, {values} from ({operand.query})"
    )
    counted = session.rows(
        f"select count(*) as found, count({KEY}) as filled, count(distinct {KEY}) as distinct_inputs, "
        f"count(distinct {KEY}) filter (where {KEY} in ({known})) as cached from {_INPUT}"
    )[0]
    rows, filled = int(counted["found"]), int(counted["filled"])
    distinct, cached = int(counted["distinct_inputs"]), int(counted["cached"])
    measured = _measure(planned, binding, session, known)
    to_send = filled if planned.in_order else distinct - cached
    return _figures(rows, rows - filled, distinct, cached, to_send) | measured._asdict()


def _count_wide(  # noqa: PLR0913 - what is read, and what is known of it
    planned: PlannedCall, operand: Operand, binding: Binding, session: DuckDBSession, *, known: str, salt: str
) -> dict[str, int]:
    """Count wide rows while they are read once."""
    if planned.is_table:
        table = ".".join(map(quote, planned.call.relation or ()))
    else:
        session.execute(f"create or replace temp table {_INPUT} as {operand.query}")
        table = _INPUT
    wide = WideInput(planned, table, "", session)
    with closing(wide.batches(f"select {key_halves(KEY)} from ({known})", salt, binding)) as batches:
        measured = encoded_size(batches, planned, binding)
    counts = wide.counts
    figures = _figures(counts.rows, counts.nulls, counts.known + counts.new, counts.known, counts.new)
    return figures | measured._asdict()


def _figures(rows: int, nulls: int, distinct: int, cached: int, to_send: int) -> dict[str, int]:
    return {"rows": rows, "nulls": nulls, "distinct": distinct, "cached": cached, "to_send": to_send}


def _known_keys(planned: PlannedCall, binding: Binding, session: DuckDBSession, *, full_refresh: bool) -> str:
    """Return the query for the keys that would not be sent, since the store has their answer."""
    nothing = f"select null::uhugeint as {KEY} where false"
    options = planned.model.options
    if full_refresh or planned.in_order or options.cache == "off":
        return nothing
    permanent = ", ".join(f"'{reason}'" for reason in sorted(PERMANENT_REASONS))
    kept = f"{ERROR} is null" + ("" if options.retry_errors else f" or {REASON} in ({permanent})")
    query = f"select {KEY} from {planned.store} where {FINGERPRINT} = '{binding.fingerprint}' and ({kept})"
    try:
        session.describe(query)
    except WarehouseError:
        return nothing  # there is no store yet, or one of another shape
    return query


def _measure(planned: PlannedCall, binding: Binding, session: DuckDBSession, known: str) -> Measured:
    """Encode what would be sent, and count it."""
    values = [f"value_{position}" for position in range(len(planned.sent_values))]
    chosen = ", ".join(values if planned.in_order else [f"any_value({value})" for value in values])
    query = f"select {chosen} from {_INPUT} where {KEY} is not null and {KEY} not in ({known})"
    if not planned.in_order:
        query += f" group by {KEY}"
    with closing(session.read(query)) as batches:
        return encoded_size(batches, planned, binding)
