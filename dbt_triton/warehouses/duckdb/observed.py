"""What the run log says of a call on DuckDB: its distinct inputs, its failed rows, and its predictions."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from dbt_triton.run_log.profile import TEXT_LENGTH
from dbt_triton.warehouses.duckdb.dialect import quote, table_type
from dbt_triton.warehouses.duckdb.rewrite import Source, joined
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.run_log import failed_by_reason_query

#: Of so many hashes.
_HASHES = 2**64


def about_distinct(planned: PlannedCall, source: Source, session: DuckDBSession) -> int:
    """Count distinct inputs by hashes of their values: about 2 % off, at a small part of the price."""
    values = ", ".join(planned.sent_values)
    counted = f"select approx_count_distinct(hash({values})) as n from {source.relation} where {planned.filled}"
    return int(session.rows(counted)[0]["n"])


def failed_by_reason(source: Source, store: PredictionStore, session: DuckDBSession) -> dict[str, int]:
    """Count the rows of the input that failed, by the kind of the reason."""
    found = session.rows(failed_by_reason_query(source.key, source.relation, store.current))
    return {str(row["reason"]): int(row["n"]) for row in found}


def sampled_outputs(  # noqa: PLR0913, PLR0917 - where the rows are, and how many
    planned: PlannedCall, source: Source, store: PredictionStore, session: DuckDBSession, rows: int, of: int
) -> dict[str, pa.Array]:
    """Return predictions by the columns of OUTPUT, of so many rows of the input at most."""
    if of > rows:
        source = replace(
            source, relation=f"(select * from {source.relation} where {_sampled(planned, source, rows / of)})"
        )
    columns = []
    for column, name in zip(planned.model.outputs, planned.output_names, strict=True):
        value, kind = quote(name), table_type(column.type)
        if kind in {"VARCHAR", "JSON"}:
            value = f"left(cast({value} as varchar), {TEXT_LENGTH + 1})"
        elif column.type.dims or kind == "BLOB":
            value = f"case when {value} is not null then ''::blob end"
        columns.append(f"{value} as {quote(name)}")
    query = f"select {', '.join(columns)} from {joined(planned, source, store)}"
    with closing(session.read(query)) as batches:
        read = list(batches)
    if not read:
        return {}
    return {
        column.name: pa.chunked_array([batch.column(place) for batch in read])
        for place, column in enumerate(planned.model.outputs)
    }


def _sampled(planned: PlannedCall, source: Source, share: float) -> str:
    """Return the SQL that is true for a share of the rows, the same ones each time: chosen by their places.

    Reading a place costs next to nothing, and only the rows that are chosen are looked up in the store.
    """
    if source.hidden:
        place = source.hidden[-2:][0]  # of a sequence, its only hidden column; of wide rows, the one beside their key
    elif "rowid" in map(str.lower, planned.columns):
        return f"random() < {share:.9f}"
    else:
        place = "rowid"
    return f"hash({place}) < {int(share * _HASHES)}::ubigint"
