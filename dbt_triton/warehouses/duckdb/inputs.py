"""The input of a call: how much of it there is, and the queries for what is to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.warehouses import InputSize
from dbt_triton.warehouses.duckdb.dialect import table_type
from dbt_triton.warehouses.duckdb.keys import Part, is_wide, key_halves, key_of, salt_of
from dbt_triton.warehouses.duckdb.rewrite import Source
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.sequence_order import ASCENDING


def key_of_row(planned: PlannedCall, hidden: str | None = None) -> str:
    """Return the SQL of a row's key; ``hidden`` is the quoted column that has its place in a sequence."""
    if hidden is None:
        return key_of(planned)
    # Each row of a sequence is a step of its own, so its place is its key.
    return f"case when {planned.filled} then cast({hidden} as uhugeint) end"


def measure(planned: PlannedCall, source: Source, warehouse: DuckDBSession) -> InputSize:
    """Count rows and bytes. Of wide values that would read them all: every row counts as one to send, of no bytes."""
    if is_wide(planned):
        rows = int(warehouse.rows(f"select count(*) as n from {source.relation}")[0]["n"])
        return InputSize(rows, rows, rows, 0)
    filled = f"filter (where {planned.filled})"
    sizes = [
        f"coalesce(sum(octet_length(encode({value}))) {filled}, 0)"
        if table_type(column.type) == "VARCHAR"
        else f"coalesce(sum(octet_length({value})) {filled}, 0)"
        for value, column in zip(planned.values, planned.model.inputs, strict=True)
        if table_type(column.type) in {"VARCHAR", "BLOB"}
    ]
    total = " + ".join(sizes) or "0"
    found = warehouse.rows(
        f"select count(*) as every_row, count(*) filter (where {planned.any_filled}) as any_filled, "
        f"count(*) {filled} as filled, {total} as size from {source.relation}"
    )[0]
    return InputSize(*(int(found[name]) for name in ("every_row", "any_filled", "filled", "size")))


def inputs_queries(
    planned: PlannedCall, source: Source, store: PredictionStore, cut: Sequence[Part], *, anything_known: bool
) -> list[str]:
    """Return the queries for what is to be sent: the key's halves, then the values of INPUT."""
    if not planned.in_order:
        has_rowid = "rowid" not in map(str.lower, planned.columns)
        return [
            store.pending_query(
                source.relation,
                planned.sent_values,
                source.key,
                salt=salt_of(planned),
                anything_known=anything_known,
                filled=planned.filled,
                part=part,
                has_rowid=has_rowid,
            )
            for part in cut
        ]
    columns, order = [key_halves(source.key), *planned.sent_values], [f"{source.hidden[0]} {ASCENDING}"]
    if planned.sequence_by:
        keys = [f"{key} {ASCENDING}" for key in planned.sequence_by]
        columns.insert(1, f"dense_rank() over (order by {', '.join(keys)})")
        order = [*keys, *planned.order_by, *order]
    selected, ordered = ", ".join(columns), ", ".join(order)
    return [f"select {selected} from {source.relation} where {source.key} is not null order by {ordered}"]
