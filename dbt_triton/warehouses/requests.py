"""The requests of a call, as every warehouse sends them: how they look, their headers, and their size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.credentials import request_headers
from dbt_triton.engine.source import exact_batches
from dbt_triton.inference_model import Binding
from dbt_triton.inference_model.language_model import TEXT_INPUT
from dbt_triton.tensors import RequestFormat
from dbt_triton.warehouses.planned_call import PlannedCall


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


def headers_of(planned: PlannedCall) -> dict[str, str]:
    """Return the headers of a call's requests."""
    return request_headers(planned.model.options, f'inference model "{planned.model.name}"')


class Measured(NamedTuple):
    """What would be sent: requests, their bytes, and how many of them are the prompts of a language model."""

    requests: int
    bytes: int
    prompt_bytes: int


def encoded_size(batches: Iterable[pa.RecordBatch], planned: PlannedCall, binding: Binding) -> Measured:
    """Encode record batches, whose last columns are the values, and count what would be sent."""
    form, values = request_format(planned, binding), len(planned.sent_values)
    return size_of(batches, form, values, binding.batch_size, in_order=planned.in_order)


def size_of(
    batches: Iterable[pa.RecordBatch], form: RequestFormat, values: int, batch_size: int, *, in_order: bool
) -> Measured:
    """Encode record batches, whose last columns are so many values, and count what would be sent."""
    requests = sent = prompts = 0
    prompt = next((spec.parts[0].position for spec in form.inputs if spec.name == TEXT_INPUT and spec.parts), None)
    for batch in exact_batches(batches, batch_size):
        if prompt is not None:
            prompts += _text_bytes(batch.column(batch.num_columns - values + prompt))
        for places, rows in form.encode(batch.columns[-values:], batch_size, in_order=in_order).groups:
            count = batch.num_rows if places is None else len(places)
            for start, end in rows.cuts(count, batch_size):
                body, _ = rows.body(start, end, None)
                requests += 1
                sent += len(body) + len(f'"id":"{requests}",')  # which the client puts in
    return Measured(requests, sent, prompts)


def _text_bytes(column: pa.Array) -> int:
    """Return the bytes of the texts of a column; arrays of texts, with theirs."""
    while isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        column = column.flatten()
    return int(pc.sum(pc.binary_length(column)).as_py() or 0)
