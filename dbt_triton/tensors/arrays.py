"""Rows of arrays: their elements and lengths, rows of one shape put together, shorter rows padded, and the way back.

Everything is done on the offsets of whole Arrow arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.tensors.elements import Unfit
from dbt_triton.tensors.spec import TensorSpec

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Unnested:
    """A column as elements.

    Args:
        elements: those of all rows, in order.
        sizes: the lengths of each row's array levels, the outermost first; one array of rows a level.
        unfit: rows that have no shape.
    """

    elements: pa.Array
    sizes: list[Integers]
    unfit: list[Unfit]


def unnest(array: pa.Array, spec: TensorSpec) -> Unnested:
    """Take a column apart.

    Args:
        array: the column, without NULLs but perhaps with NULLs within its arrays.
        spec: what it is bound to.
    """
    if spec.raw:
        return _raw(array)
    rows = len(array)
    sizes: list[Integers] = []
    unfit: list[Unfit] = []
    #: How many arrays of this level each row has.
    counts = np.ones(rows, dtype=np.int64)
    for level in range(len(spec.sql.dims)):
        lengths = _lengths(array)
        array = array.flatten()
        if level == 0:
            sizes.append(lengths)
            counts = lengths
        elif len(lengths) and (lengths == lengths[0]).all():  # an image has many of them, all alike
            sizes.append(np.where(counts > 0, lengths[0], 0))
            counts = counts * lengths[0]
        else:
            row_of = np.repeat(np.arange(rows), counts)
            sizes.append(_inner_sizes(lengths, row_of, rows, unfit))
            counts = np.bincount(row_of, weights=lengths, minlength=rows).astype(np.int64)
        if array.null_count:
            row_of = np.repeat(np.arange(rows), counts)
            mask = np.zeros(rows, dtype=bool)
            mask[row_of[array.is_null().to_numpy(zero_copy_only=False)]] = True
            unfit.append(Unfit(mask, f"an array holds NULL, or a value that is no {spec.sql.element.duckdb}"))
            return Unnested(array, sizes, unfit)
    return Unnested(array, sizes, unfit)


def _raw(array: pa.Array) -> Unnested:
    """Take bytes as elements, without touching them."""
    values = array.cast(pa.large_binary())
    _, offsets, data = values.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    pixels = np.frombuffer(data or b"", dtype=np.uint8)[starts[0] : starts[-1]]
    return Unnested(pa.array(pixels), [np.diff(starts)], [])


def _lengths(array: pa.Array) -> Integers:
    if pa.types.is_fixed_size_list(array.type):
        return np.full(len(array), array.type.list_size, dtype=np.int64)
    offsets: Integers = np.asarray(array.offsets, dtype=np.int64)
    return np.diff(offsets)


def _inner_sizes(lengths: Integers, row_of: Integers, rows: int, unfit: list[Unfit]) -> Integers:
    """Return the length that all arrays of a level have within each row; a row where they differ is no tensor."""
    sizes = np.zeros(rows, dtype=np.int64)
    sizes[row_of[::-1]] = lengths[::-1]  # the first of each row stays
    ragged = lengths != sizes[row_of]
    if ragged.any():
        mask = np.zeros(rows, dtype=bool)
        mask[row_of[ragged]] = True
        unfit.append(Unfit(mask, "its inner arrays are of different lengths, which is no tensor"))
    return sizes


def misshapen(sizes: Sequence[Integers], spec: TensorSpec) -> list[Unfit]:
    """Find rows whose lengths are not those of the tensor."""
    if spec.raw:
        wanted = math.prod(size for size in spec.row_shape if size != -1)
        free = -1 in spec.row_shape
        mask = sizes[0] % max(wanted, 1) != 0 if free else sizes[0] != wanted
        return [Unfit(mask, f"its size in bytes does not make {_shown(spec)}")] if mask.any() else []
    unfit = []
    for lengths, axis, declared in zip(sizes, spec.axes, spec.sql.dims, strict=True):
        size = spec.row_shape[axis]
        too_long_to_pad = lengths > size if spec.pad is not None and declared is None else lengths != size
        if size != -1 and too_long_to_pad.any():
            unfit.append(Unfit(too_long_to_pad, f"the length of its array does not fit {_shown(spec)}"))
    return unfit


def _shown(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype.name}{list(spec.row_shape)}"


def row_shape(sizes: Sequence[int], spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape of rows whose array levels have these lengths."""
    if spec.raw:
        fixed = math.prod(size for size in spec.row_shape if size != -1)
        return tuple(sizes[0] // max(fixed, 1) if size == -1 else size for size in spec.row_shape)
    shape = [max(size, 1) for size in spec.row_shape]
    for axis, size in zip(spec.axes, sizes, strict=True):
        shape[axis] = size
    return tuple(shape)


def groups_of_one_shape(sizes: Sequence[Integers], *, in_order: bool) -> Iterator[Integers | None]:
    """Yield the places of rows that have one shape; None for all rows.

    Args:
        sizes: the lengths of every array level of every column.
        in_order: rows keep their order, so that only neighbours are put together.
    """
    varying = [lengths for lengths in sizes if len(lengths) and (lengths != lengths[0]).any()]
    if not varying:
        yield None
        return
    shapes = np.stack(varying, axis=1)
    if in_order:
        starts = np.flatnonzero((shapes[1:] != shapes[:-1]).any(axis=1)) + 1
        yield from np.split(np.arange(len(shapes)), starts)
        return
    _, shape_of = np.unique(shapes, axis=0, return_inverse=True)
    order = np.argsort(shape_of.ravel(), kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(shape_of.ravel()[order])) + 1)


def groups_to_pad(sizes: Sequence[Integers], rows: int, *, in_order: bool) -> Iterator[Integers]:
    """Yield the places of the rows of each request, rows of similar lengths together, so that little is padded."""
    places = np.arange(sum(map(len, sizes[:1])))
    if not in_order and sizes:
        places = np.lexsort(list(reversed(sizes)))
    yield from (places[start : start + rows] for start in range(0, len(places), rows))


def padded(unnested: Unnested, spec: TensorSpec) -> tuple[pa.Array, list[int]]:
    """Fill every row up to the longest, at the end of each array level.

    Returns:
        The elements, and the length of each array level.
    """
    sizes = unnested.sizes
    longest = [
        spec.row_shape[axis] if spec.row_shape[axis] != -1 else int(lengths.max(initial=0))
        for axis, lengths in zip(spec.axes, sizes, strict=True)
    ]
    rows = len(sizes[0])
    in_row = math.prod(longest)
    counts = np.prod(np.stack(sizes), axis=0)
    row_of = np.repeat(np.arange(rows), counts)
    rest = np.arange(len(row_of)) - np.repeat(np.cumsum(counts) - counts, counts)
    target, stride = row_of * in_row, 1
    for lengths, size in zip(reversed(sizes), reversed(longest), strict=True):
        here = lengths[row_of]
        target = target + rest % here * stride
        rest, stride = rest // here, stride * size
    places = np.full(rows * in_row, -1, dtype=np.int64)
    places[target] = np.arange(len(target))
    taken = unnested.elements.take(pa.array(places, mask=places < 0))
    return pc.fill_null(taken, pad_value(spec, unnested.elements.type)), longest


def pad_value(spec: TensorSpec, kind: pa.DataType) -> pa.Scalar:
    """Read ``pad`` as an element.

    Raises:
        pa.ArrowInvalid: it is none of the column's type.
    """
    return pa.scalar(spec.pad, pa.string()).cast(kind)


def nest(elements: pa.Array, spec: TensorSpec, parts: Sequence[tuple[int, tuple[int, ...]]]) -> pa.Array:
    """Put the elements of an output into the arrays of its column.

    Args:
        elements: those of all rows, in order.
        spec: what the column is bound to.
        parts: for each answer its rows and the lengths of their array levels.
    """
    dims = spec.sql.in_tables.dims
    for level in range(len(dims) - 1, -1, -1):
        size = dims[level]
        if size is not None:
            elements = pa.FixedSizeListArray.from_arrays(elements, size)
            continue
        counts = [rows * math.prod(sizes[:level]) for rows, sizes in parts]
        lengths = np.repeat([sizes[level] for _, sizes in parts], counts)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        elements = pa.LargeListArray.from_arrays(pa.array(offsets), elements)
    return elements
