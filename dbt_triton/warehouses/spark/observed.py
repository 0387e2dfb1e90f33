"""What the run log says of a call on Spark: its distinct inputs, its failed rows, and its predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from dbt_triton.run_log.profile import TEXT_LENGTH
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.run_log import failed_by_reason_query
from dbt_triton.warehouses.spark.joined import Source, joined

if TYPE_CHECKING:
    from dbt_triton.warehouses.spark.session import SparkWarehouse
    from dbt_triton.warehouses.spark.store import SparkStore

#: So many rows are brought to the driver at most.
_SAMPLED_ROWS = 20_000


def about_distinct(warehouse: SparkWarehouse, source: Source) -> int:
    """Count distinct inputs by hashes of their keys: about 5 % off, without bringing equal ones together."""
    counted = f"select approx_count_distinct({source.key}) as n from {source.relation}"
    return int(warehouse.rows(counted)[0]["n"])


def failed_by_reason(warehouse: SparkWarehouse, source: Source, store: SparkStore) -> dict[str, int]:
    """Count the rows of the input that failed, by the kind of the reason."""
    found = warehouse.rows(failed_by_reason_query(source.key, source.relation, store.current))
    return {str(row["reason"]): int(row["n"]) for row in found}


def sampled_outputs(  # noqa: PLR0913, PLR0917 - where the rows are, and how many
    warehouse: SparkWarehouse, planned: PlannedCall, source: Source, store: SparkStore, rows: int, of: int
) -> dict[str, pa.Array]:
    """Return predictions by the columns of OUTPUT, of about so many rows of the input at most."""
    dialect, most = warehouse.dialect, min(rows, _SAMPLED_ROWS)
    if of > most:
        source = replace(source, relation=f"(select * from {source.relation} where rand(1) < {most / of:.9f})")
    columns = []
    for column, name in zip(planned.model.outputs, planned.output_names, strict=True):
        value, kind = dialect.quote(name), column.type.in_tables
        if kind.kind == "VARCHAR" and not kind.dims:
            value = f"left({value}, {TEXT_LENGTH + 1})"
        elif column.type.dims or kind.kind == "BLOB":
            value = f"case when {value} is not null then X'' end"
        columns.append(f"{value} as {dialect.quote(name)}")
    found = warehouse.rows(f"select {', '.join(columns)} from {joined(planned, source, store, dialect)}")
    return {
        column.name: pa.array([row[name] for row in found])
        for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
    }
