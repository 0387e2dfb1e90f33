"""Tensors that every row has, with one value: their data is made once, and not row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from dbt_triton.tensors.elements import to_tensor
from dbt_triton.tensors.encode import encode_binary
from dbt_triton.tensors.generation import Constant, Json, TextParameters
from dbt_triton.tensors.spec import TensorSpec


def elements_of(value: Json) -> list[Any]:
    """Return the elements of a value, in the order of its tensor."""
    return list(_flat(value))


def _flat(value: Json) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner)
    else:
        yield value


def row_shape_of(constant: Constant) -> list[int]:
    """Return the shape of one row: an axis of any length has what the value has."""
    sizes: list[int] = []
    level = constant.value
    while isinstance(level, list | tuple):
        sizes.append(len(level))
        level = level[0] if level else None
    axes = constant.spec.axes or tuple(axis for axis, size in enumerate(constant.spec.row_shape) if size == -1)
    shape = [max(size, 1) for size in constant.spec.row_shape]
    for axis, size in zip(axes, sizes, strict=False):
        shape[axis] = size
    return shape


def binary_row(constant: Constant) -> bytes:
    """Return one row as binary tensor data."""
    spec, elements = constant.spec, elements_of(constant.value)
    datatype = spec.datatype
    if datatype.numpy is None:
        values = pa.array(elements, pa.large_string())
    else:
        values = pa.array(elements, datatype.arrow)
        sql = TensorSpec(spec.column, spec.name, datatype, ()).sql
        values, _ = to_tensor(values, sql, datatype, binary=True)
    encoded = encode_binary(values, datatype)
    return bytes(encoded.rows(0, len(values)))


def fixed_text(text: TextParameters) -> str:
    """Return the parameters that are the same in every row, without the keys that rows say themselves."""
    said = {column.key for column in text.columns}
    return orjson.dumps({key: value for key, value in text.fixed.items() if key not in said}).decode()
