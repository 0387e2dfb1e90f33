"""A BLOB as the elements of a tensor: its bytes are theirs, little-endian and row-major, as on the wire."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.tensors.elements import Mask, Unfit
from dbt_triton.tensors.spec import TensorSpec

Integers = np.ndarray[Any, np.dtype[np.int64]]
#: The lengths of a tensor without elements are bounded: nothing else bounds what a server would make of them.
_MOST_EMPTY = 2**20


def elements_of_bytes(array: pa.Array, spec: TensorSpec) -> tuple[pa.Array, list[Integers], list[Unfit]]:
    """Take bytes as elements, without touching them.

    Args:
        array: a BLOB a row; where ``spec.lengths`` names columns, a struct of the BLOB and of these, in order.
        spec: what it is bound to.

    Returns:
        The elements in the form of the wire; the lengths of every axis, one array of rows each; and the rows whose
        size does not fit, with which there are no elements.
    """
    told: list[Integers] = []
    if pa.types.is_struct(array.type):
        fields = [array.field(number) for number in range(array.type.num_fields)]
        array, told = fields[0], [field.cast(pa.int64()).to_numpy(zero_copy_only=False) for field in fields[1:]]
    values = array.cast(pa.large_binary())
    _, offsets, data = values.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    kind = np.dtype(np.uint8 if spec.datatype.name == "BOOL" else spec.datatype.numpy)
    sizes, unfit = _sizes(np.diff(starts), told, spec, kind.itemsize)
    if unfit:
        return pa.array([], pa.uint8()), sizes, unfit
    elements = np.frombuffer(data or b"", dtype=np.uint8)[starts[0] : starts[-1]].view(kind)
    return pa.array(np.require(elements, requirements="A")), sizes, []


def _sizes(
    size: Integers, told: Sequence[Integers], spec: TensorSpec, width: int
) -> tuple[list[Integers], list[Unfit]]:
    """Return the length of every axis of each row, given sizes in bytes, and the rows where they do not go together."""
    rows, unfit = len(size), []
    names = named_columns(spec)
    lengths: list[Integers | None] = []
    for axis, served in enumerate(spec.row_shape):
        length = served if spec.lengths is None else spec.lengths[axis]
        if isinstance(length, str):
            column = told[names.index(length)]
            wrong = (column < 0) | ((served != -1) & (column != served))
            unfit.append(Unfit(wrong, f"its length in {length} does not fit {_shown(spec)}"))
            lengths.append(np.where(wrong, 0, column))
        else:
            lengths.append(None if length == -1 else np.full(rows, length, dtype=np.int64))
    known = np.full(rows, float(width))  # whatever the lengths are, it does not overflow
    for one in lengths:
        known *= 1.0 if one is None else one
    opened = np.floor_divide(size, known, out=np.zeros(rows), where=known > 0).astype(np.int64)
    found = [opened if one is None else one for one in lengths]
    is_open = any(one is None for one in lengths)
    wrong = size != (known * opened if is_open else known)
    unfit.append(Unfit(wrong, f"its size in bytes does not make {_wanted(spec, width)}"))
    unfit += _too_empty(size, found, spec)
    return found, [one for one in unfit if one.mask.any()]


def _too_empty(size: Integers, lengths: Sequence[Integers], spec: TensorSpec) -> list[Unfit]:
    shape = np.ones(len(size))
    for one in lengths:
        shape *= np.maximum(one, 1)
    mask: Mask = (size == 0) & (shape > _MOST_EMPTY)
    return [Unfit(mask, f"it is empty, but a length of {_shown(spec)} is not")]


def named_columns(spec: TensorSpec) -> list[str]:
    """Return the columns of INPUT that say lengths, each once."""
    return list(dict.fromkeys(length for length in spec.lengths or () if isinstance(length, str)))


def _wanted(spec: TensorSpec, width: int) -> str:
    if named_columns(spec):
        each = f"{width} byte" + ("s" if width > 1 else "")
        return f"{_shown(spec)} of the lengths {', '.join(map(str, spec.lengths or ()))}, of {each} an element"
    size = math.prod(size for size in spec.row_shape if size != -1) * width
    of = "a multiple of " if -1 in spec.row_shape else ""
    return f"{_shown(spec)}, which takes {of}{size:,} byte{'' if size == 1 else 's'}"


def _shown(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype.name}{list(spec.row_shape)}"


def bytes_of_elements(
    payloads: Sequence[memoryview | pa.Array], elements: Integers, spec: TensorSpec, kept: Mask | None = None
) -> pa.Array:
    """Return each row of an output as the bytes of its elements.

    Args:
        payloads: of each answer, binary tensor data, or the elements that JSON gave.
        elements: how many each row has, over all answers.
        spec: the output.
        kept: which elements of the payloads are kept; None for all.
    """
    assert spec.datatype.numpy is not None  # noqa: S101 - BYTES are no raw output
    kind = np.dtype(spec.datatype.numpy)
    data = b"".join(
        np.ascontiguousarray(payload.to_numpy(zero_copy_only=False).astype(kind)).tobytes()
        if isinstance(payload, pa.Array)
        else payload
        for payload in payloads
    )
    if kept is not None:
        data = np.frombuffer(data, dtype=np.uint8).reshape(-1, kind.itemsize)[kept].tobytes()
    offsets = np.zeros(len(elements) + 1, dtype=np.int64)
    np.cumsum(elements * kind.itemsize, out=offsets[1:])
    return pa.Array.from_buffers(pa.large_binary(), len(elements), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
