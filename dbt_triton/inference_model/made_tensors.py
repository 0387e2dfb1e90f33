"""Tensors without a column of their own, as ``mask.<tensor>`` and ``zeros.<tensor>`` ask for them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from dbt_triton.client.served import ServedTensor, listed
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.inference_model.input_columns import named_tensor
from dbt_triton.options import MASK_PREFIX, ZEROS_PREFIX, Options
from dbt_triton.tensors import TensorSpec, datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.datatypes import natural_sql_type
from dbt_triton.tensors.made import MadeTensor
from dbt_triton.tensors.shapes import bind_shape


def names_of_made(options: Options, tensors: Sequence[ServedTensor]) -> frozenset[str]:
    """Return the names of the served tensors that need no column."""
    asked = [*options.masks, *options.zeros]
    return frozenset(tensor.name for name in asked if (tensor := named_tensor(name, tensors)) is not None)


def made_tensors(
    options: Options,
    tensors: Sequence[ServedTensor],
    specs: Sequence[TensorSpec],
    problems: list[str],
    *,
    batched: bool,
) -> tuple[MadeTensor, ...]:
    """Bind what the options ask for.

    Args:
        options: of the model.
        tensors: the served inputs.
        specs: the bound columns of INPUT.
        problems: takes a sentence on each that does not fit.
        batched: whether the first axis of every tensor is the batch.
    """
    made: list[MadeTensor] = []
    taken = {spec.name: f"the column {spec.column}" for spec in specs}
    for prefix, names, value in ((MASK_PREFIX, options.masks, 1), (ZEROS_PREFIX, options.zeros, 0)):
        for name, column in names.items():
            key = prefix + name
            source = next((at for at, spec in enumerate(specs) if spec.column.lower() == column.lower()), None)
            tensor = named_tensor(name, tensors)
            if tensor is None:
                problems.append(f"{key}: the model has no tensor {name}{_hint(name, tensors)}")
                continue
            if tensor.name in taken:
                problems.append(f"{key}: the tensor {shown(tensor.name, NAME_LENGTH)} is {taken[tensor.name]} already")
                continue
            taken[tensor.name] = key
            if source is None and any(_is_part(column, spec) for spec in specs):
                problems.append(f"{key}: {column} is one of several columns of a tensor, whose length is fixed")
            if source is None:
                continue  # the column itself does not fit, and that is said
            levels = _levels(tensor.row_dims(batched=batched), specs[source])
            spec = _spec(tensor, specs[source], levels, batched=batched)
            if isinstance(spec, str):
                problems.append(f"{key}: {spec}")
            else:
                made.append(MadeTensor(spec, source, value, levels))
    return tuple(made)


def _is_part(column: str, spec: TensorSpec) -> bool:
    return any(part.column.lower() == column.lower() for part in spec.parts)


def _hint(name: str, tensors: Sequence[ServedTensor]) -> str:
    names = {tensor.name.lower(): tensor.name for tensor in tensors}
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    said = f"; did you mean {shown(names[near[0]], NAME_LENGTH)}? It" if near else "; it"
    return f"{said} serves {listed(tensors)}"


def _levels(dims: Sequence[int], source: TensorSpec) -> tuple[int, ...]:
    """Return the array levels of a column whose lengths a tensor has.

    Where it has fewer axes than the column has levels, it has those of any length (the mask [-1, -1] of pictures
    [3, -1, -1]) if there are as many, and else the outer ones (the mask [-1] of vectors [-1, 80]).
    """
    every = range(len(source.sql.dims))
    count = min(len(every), max(sum(size != 1 for size in dims), 1))
    opened = tuple(level for level in every if source.row_shape[source.axes[level]] == -1)
    return opened if len(opened) == count else tuple(every[:count])


def _spec(tensor: ServedTensor, source: TensorSpec, levels: Sequence[int], *, batched: bool) -> TensorSpec | str:
    """Lay the lengths of a column on the axes of a tensor, or say why they do not fit."""
    serves = f"the server's {tensor.sentence}"
    datatype = datatype_of_tensor(tensor.datatype)
    if datatype is None or datatype.name == "BYTES":
        return f"it is of numbers or BOOL, but {serves}"
    element = parse_sql_type(natural_sql_type(datatype.name))
    assert not isinstance(element, str)  # noqa: S101 - each is in the table
    sql = replace(element, dims=(None,) * len(levels))
    bound = bind_shape(sql, datatype, tensor.row_dims(batched=batched), output=False)
    if isinstance(bound, str):
        return f"the lengths of {source.column} ({source.sql.name}) do not fit, since {serves}"
    shape, axes = list(bound[0]), bound[1]
    for axis, level in zip(axes, levels, strict=True):
        if shape[axis] == -1:
            shape[axis] = source.row_shape[source.axes[level]]
    pad = None if source.pad is None else "0"
    return TensorSpec(source.column, tensor.name, datatype, tuple(shape), sql, axes, pad, optional=tensor.optional)
