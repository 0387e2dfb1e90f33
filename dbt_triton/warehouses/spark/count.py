"""What a call would send on Spark, counted without sending it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from dbt_triton.inference_model import Binding
from dbt_triton.warehouses import Operand
from dbt_triton.warehouses.columns import KEY
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.requests import Measured, size_of
from dbt_triton.warehouses.spark.call import store_of
from dbt_triton.warehouses.spark.keys import key_expression
from dbt_triton.warehouses.spark.shipping import prepare_executors
from dbt_triton.warehouses.spark.task import Task, without_secrets
from dbt_triton.warehouses.spark.type_names import from_spark

if TYPE_CHECKING:
    from dbt_triton.warehouses.spark.session import SparkWarehouse

_COUNTED = ", ".join(f"{name} bigint" for name in Measured._fields)


def count(
    warehouse: SparkWarehouse, planned: PlannedCall, operand: Operand, binding: Binding, *, full_refresh: bool
) -> dict[str, int]:
    """Count what a call would send: the figures of a dry run by their names.

    Requests are counted as Spark's tasks would send them: the last one of each may not be full.
    """
    options, store = planned.model.options, store_of(warehouse, planned, binding.fingerprint)
    source, key = f"({operand.query})", key_expression(planned.key_values, planned.optional, planned.filled)
    counted = warehouse.rows(
        f"select count(*) as found, count({KEY}) as filled, count(distinct {KEY}) as different "
        f"from (select {key} as {KEY} from {source})"
    )[0]
    rows, filled, distinct = (int(counted[name]) for name in ("found", "filled", "different"))
    starts_anew = full_refresh or planned.in_order or options.cache == "off"
    known = None if starts_anew else store.keys_to_keep(retry_errors=options.retry_errors)
    cached = 0
    if known is not None:
        keys = f"select distinct {key} as {KEY} from {source}"
        cached = int(warehouse.rows(f"select count(*) as n from ({keys}) where {KEY} in ({known})")[0]["n"])
    if planned.in_order:
        values = ", ".join(f"{value} as value_{place}" for place, value in enumerate(planned.sent_values))
        query = f"select {key} as {KEY}, {values} from {source} where {key} is not null"
    else:
        query = store.pending_query(source, planned.sent_values, key, anything_known=known is not None)
    prepare_executors(warehouse)
    frame = warehouse.sql(query)
    types = tuple(column.type for column in planned.model.inputs)
    outputs = tuple(column.type.in_tables for column in planned.model.outputs)
    task = Task(binding, without_secrets(options), "", types, outputs, run="")
    measured = frame.mapInArrow(partial(_measure, task), _COUNTED)
    sums = warehouse.asked(measured.selectExpr(*(f"sum({name}) as {name}" for name in Measured._fields)).collect)[0]
    return {
        "rows": rows,
        "nulls": rows - filled,
        "distinct": distinct,
        "cached": cached,
        "to_send": filled if planned.in_order else distinct - cached,
        **{name: int(sums[name] or 0) for name in Measured._fields},
    }


def _measure(task: Task, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Encode what a task would send; it runs on executors."""
    count = len(task.inputs)

    def values(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = batch.columns[1:]
        read = [from_spark(column, kind) for column, kind in zip(columns, task.inputs, strict=False)]
        read += columns[count:]
        return pa.RecordBatch.from_arrays(read, names=[str(place) for place in range(len(read))])

    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return
    rows = (values(batch) for batch in chain([first], batches) if batch.num_rows)
    form, in_order = task.request_format, task.options.in_sequence
    measured = size_of(rows, form, first.num_columns - 1, task.binding.batch_size, in_order=in_order)
    yield pa.RecordBatch.from_pydict({name: [count] for name, count in measured._asdict().items()})
