"""The requests of a call, as every warehouse sends them: by which route, how they look, how many at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.client.open_files import allow_connections
from dbt_triton.client.places import Place, may_have_several_addresses, places_of
from dbt_triton.credentials import request_headers
from dbt_triton.engine import ConcurrencyLimit, Server, Servers
from dbt_triton.engine.concurrency import MAX, MAX_SELF_BATCHING, START
from dbt_triton.engine.source import exact_batches
from dbt_triton.inference_model import Binding
from dbt_triton.inference_model.language_model import TEXT_INPUT
from dbt_triton.options import Options
from dbt_triton.tensors import Format, GenerateFormat, RequestFormat

if TYPE_CHECKING:
    from dbt_triton.warehouses.planned_call import PlannedCall


def request_format(options: Options, binding: Binding) -> Format:
    """Return how the requests and answers of a call look: those of the route that the binding says."""
    if binding.route == "generate":
        return GenerateFormat(
            binding.inputs,
            binding.outputs,
            responses=binding.responses,
            parameters=binding.request_parameters,
            made=binding.made,
            constants=binding.constants,
            text=binding.text_parameters,
            structured=binding.structured,
        )
    priority = {} if options.priority is None else {"priority": options.priority}
    return RequestFormat(
        binding.inputs,
        binding.outputs,
        binary=binding.binary,
        batched=binding.batched,
        parameters={**binding.request_parameters, **priority},
        made=binding.made,
        constants=binding.constants,
        text=binding.text_parameters,
        structured=binding.structured,
    )


@asynccontextmanager
async def open_servers(
    options: Options, binding: Binding, headers: Mapping[str, str], *, tasks: int = 1, number: int = 0
) -> AsyncGenerator[Servers]:
    """Open clients of all servers of a model, by the route that the binding says, and close them afterwards.

    Args:
        options: of the model.
        binding: the model as it is served.
        headers: of the requests.
        tasks: how many share the servers.
        number: of the task, from 0.
    """
    route = binding.route
    expected = request_format(options, binding).answer_bytes(binding.batch_size)
    places = await places_of(options)

    def server(place: Place) -> Server:
        client = place.client(options.by_route(route), headers, expected_bytes=expected, route=route)
        return Server(client, limit_of(options, binding, tasks=tasks, number=number))

    async def newcomers(known: Collection[str]) -> list[Server]:
        return [server(place) for place in await places_of(options) if place.name not in known]

    several = len(places) > 1
    if several and options.max_concurrent_operations is None:
        allow_connections(len(places) * (MAX_SELF_BATCHING if route == "generate" else MAX))
    opened = [server(place) for place in places]
    servers = Servers(
        opened,
        total=opened[0].limit.current if several and options.max_concurrent_operations is not None else None,
        expected=binding.served if several else None,
        newcomers=newcomers if several and may_have_several_addresses(options) else None,
    )
    async with servers:
        yield servers


def limit_of(options: Options, binding: Binding, *, tasks: int = 1, number: int = 0) -> ConcurrencyLimit:
    """Return the limit on the requests in flight at a server; a number that is fixed is that of all servers.

    Args:
        options: of the model.
        binding: by its route, the server puts requests together by itself.
        tasks: how many share the server: those of all of them together are what the options say.
        number: of the task, from 0.
    """
    total = 1 if options.sequence_id is not None else options.max_concurrent_operations
    if total is not None:
        share, rest = divmod(total, tasks)
        return ConcurrencyLimit(max(share + (number < rest), 1))
    generates = binding.route == "generate"
    return ConcurrencyLimit(
        None,
        start=max(START // tasks, 1),
        most=max((MAX_SELF_BATCHING if generates else MAX) // tasks, 1),
        timeout=options.by_route(binding.route).timeout / 1000 if generates else None,
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
    form, values = request_format(planned.model.options, binding), len(planned.sent_values)
    return size_of(batches, form, values, binding.batch_size, in_order=planned.in_order)


def size_of(
    batches: Iterable[pa.RecordBatch], form: Format, values: int, batch_size: int, *, in_order: bool
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
                sent += len(body) + (len(f'"id":"{requests}",') if form.takes_id else 0)  # which the client puts in
    return Measured(requests, sent, prompts)


def _text_bytes(column: pa.Array) -> int:
    """Return the bytes of the texts of a column; arrays of texts, with theirs."""
    while isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        column = column.flatten()
    return int(pc.sum(pc.binary_length(column)).as_py() or 0)
