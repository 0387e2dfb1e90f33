"""Some of the rows that a call would send, for trials. Nothing is written, not even a temporary table."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa

from dbt_triton.warehouses import Operand, SampleBounds, WarehouseError
from dbt_triton.warehouses.duckdb.keys import is_wide
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.planned_call import PlannedCall, all_of

#: The sample is taken at random from this many times its rows, the first of the input: a larger part would take the
#: time of reading it all, and the first rows alone are often of one kind.
_READ_FOR_A_ROW = 20
#: Rows read at once; wide ones may have megabytes each.
_ROWS, _WIDE_ROWS = 2_048, 16


def sample(
    planned: PlannedCall, operand: Operand, session: DuckDBSession, bounds: SampleBounds
) -> list[pa.RecordBatch]:
    """Read rows until one of the bounds is reached.

    Raises:
        WarehouseError: the input cannot be read, or its first rows take longer than they may.
    """
    wide, found, size, rows = is_wide(planned), list[pa.RecordBatch](), 0, 0
    with session.interrupted_after(bounds.seconds) as is_late:
        try:
            with closing(
                session.read(_query(planned, operand, bounds.rows, wide=wide), rows=_WIDE_ROWS if wide else _ROWS)
            ) as read:
                for batch in read:
                    found.append(batch)
                    size, rows = size + batch.nbytes, rows + batch.num_rows
                    if size >= bounds.bytes or rows >= bounds.rows:
                        break
        except WarehouseError as error:
            if is_late() and not found:
                raise WarehouseError(
                    f"the first rows of the input took longer than {bounds.seconds:g} s. Tune on a smaller input, "
                    "such as a table that is built of it"
                ) from error
            if not is_late():
                raise
    return found


def _query(planned: PlannedCall, operand: Operand, rows: int, *, wide: bool) -> str:
    """Return the query for distinct rows; wide ones are compared by nobody, and are the first."""
    names = [f"value_{place}" for place in range(len(planned.sent_values))]
    values = ", ".join(f"{value} as {name}" for value, name in zip(planned.sent_values, names, strict=True))
    needed = [f"{names[place]} is not null" for place in range(len(planned.values)) if place not in planned.optional]
    first = rows if wide else rows * _READ_FOR_A_ROW
    read = f"select {values} from ({operand.query}) where {planned.filled}"
    read = f"select * from ({read}) where {all_of(needed)} limit {first}"
    if wide:
        return read
    return f"select * from (select distinct * from ({read})) using sample reservoir({rows} rows) repeatable (1)"
