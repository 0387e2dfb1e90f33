"""What cannot go by Triton's generate endpoints: they take one row a request, as flat JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.options import Options
from dbt_triton.tensors import TensorSpec, datatype_of_tensor

#: What the server says itself in an answer, in place of an output of that name; and in a request.
_IN_ANSWERS, _IN_REQUESTS = frozenset({"id", "model_name", "model_version"}), frozenset({"id", "parameters"})


def route_problems(options: Options, served: ServedModel) -> Iterator[str]:
    """Yield a sentence on each option that the route has no place for."""
    because = "the model is decoupled" if served.decoupled else "route is generate"
    only = f"{because}, and the generate route"
    refused = [
        (options.binary_data is True, f"binary-data is true, but {only} has JSON only; leave it out"),
        (
            options.compression != "none",
            f"compression is {options.compression}, but {only} takes plain bodies only; leave it out",
        ),
        (options.priority is not None, f"priority is {options.priority}, but {only} passes it over; leave it out"),
        (options.in_sequence, f"{because}, and a sequence goes by the infer route only"),
        (
            options.classification is not None,
            f"classification is {options.classification}, but {only} gives the outputs themselves; leave it out",
        ),
        (
            (options.batch_size or 1) > 1,
            (
                f"batch-size is {options.batch_size}, but {only} takes one row a request; leave it out: the server "
                "makes batches of the requests in flight"
            ),
        ),
        (
            options.batch_tokens is not None,
            f"batch-tokens is {options.batch_tokens}, but {only} takes one row a request; leave it out",
        ),
        (options.batch_dim, f"batch-dim is true, but {only} takes one row a request; leave it out"),
    ]
    yield from (text for wrong, text in refused if wrong)
    inputs = {tensor.name for tensor in served.inputs}
    yield from (
        f"request-parameters has {shown(name, NAME_LENGTH)}, which is an input of the model, and by the generate route "
        "they are told by their names; say it in parameters"
        for name in options.request_parameters
        if name in inputs
    )


def tensor_problems(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], served: ServedModel, *, batched: bool
) -> Iterator[str]:
    """Yield a sentence on each tensor that flat JSON cannot carry.

    Args:
        inputs: with the constants.
        outputs: those that are asked for.
        served: what the server says.
        batched: whether the first axis of every tensor is the batch.
    """
    dims = {
        side: {tensor.name: tensor.row_dims(batched=batched) for tensor in tensors}
        for side, tensors in (("input", served.inputs), ("output", served.outputs))
    }
    for side, specs, taken in (("input", inputs, _IN_REQUESTS), ("output", outputs, _IN_ANSWERS)):
        for spec in specs:
            name = shown(spec.name, NAME_LENGTH)
            if not spec.datatype.has_json_form:
                yield f"the {side} {name} is {spec.datatype.name}, which the generate route has no form for"
            if spec.name in taken:
                yield f"the {side} {name} has a name that the generate route keeps for itself"
            if not _is_flat(spec.row_shape, dims[side].get(spec.name, ()), output=side == "output"):
                yield (
                    f"the {side} {name} has several axes, whose lengths the generate route loses: it carries flat "
                    f"lists (the column {spec.column} is {spec.sql.name})"
                )


def why_no_answer_has(tensor: ServedTensor, *, batched: bool) -> str | None:
    """Say why no answer of the route has an output with all its axes; None if one has.

    Args:
        tensor: an output whose datatype has a SQL type.
        batched: whether the first axis of every tensor is the batch.
    """
    datatype = datatype_of_tensor(tensor.datatype)
    if datatype is not None and not datatype.has_json_form:
        return f"the generate route has no form for {datatype.name}"
    if tensor.name in _IN_ANSWERS:
        return "the generate route keeps its name for itself"
    dims = tensor.row_dims(batched=batched)
    return None if _is_flat(dims, dims, output=True) else "the generate route loses the lengths of its axes"


def _is_flat(row_shape: Sequence[int], dims: Sequence[int], *, output: bool) -> bool:
    """Tell whether a row can be told by its elements alone.

    The server lays a list on the fixed axes first; then the innermost axis of any length takes the rest, and the others
    are of length 1 (measured).
    """
    open_axes = [axis for axis, size in enumerate(dims) if size == -1]
    if output or math.prod(row_shape) == 0:
        return list(row_shape).count(-1) <= 1
    return all(row_shape[axis] == 1 for axis in open_axes[:-1])
