"""Rows of arrays: their elements and lengths, rows of one shape put together, and the way back.

Everything is done on the offsets of whole Arrow arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.arrow_numbers import as_arrow, as_numpy
from dbt_triton.tensors.elements import Unfit
from dbt_triton.tensors.raw import elements_of_bytes
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
        return Unnested(*elements_of_bytes(array, spec))
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
            sizes.append(np.where(counts > 0, lengths[0], _of_none(spec, level)))
            counts = counts * lengths[0]
        else:
            row_of = np.repeat(np.arange(rows), counts)
            sizes.append(np.where(counts > 0, _inner_sizes(lengths, row_of, rows, unfit), _of_none(spec, level)))
            counts = np.bincount(row_of, weights=lengths, minlength=rows).astype(np.int64)
        if array.null_count:
            row_of = np.repeat(np.arange(rows), counts)
            mask = np.zeros(rows, dtype=bool)
            mask[row_of[as_numpy(array.is_null())]] = True
            unfit.append(Unfit(mask, f"an array holds NULL, or a value that is no {spec.sql.element.name}"))
            return Unnested(array, sizes, unfit)
    return Unnested(array, sizes, unfit)


def _lengths(array: pa.Array) -> Integers:
    if pa.types.is_fixed_size_list(array.type):
        return np.full(len(array), array.type.list_size, dtype=np.int64)
    offsets: Integers = as_numpy(array.offsets).astype(np.int64, copy=False)
    return np.diff(offsets)


def _of_none(spec: TensorSpec, level: int) -> int:
    """Return the length of a level in a row that has no array of it: no points of [-1, 3] are [0, 3]."""
    return max(spec.row_shape[spec.axes[level]], 0)


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
        return []  # their size was looked at
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
        return tuple(sizes)
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


def nest(elements: pa.Array, spec: TensorSpec, rows: Integers, sizes: Integers) -> pa.Array:
    """Put the elements of an output into the arrays of its column.

    Args:
        elements: those of all rows, in order.
        spec: what the column is bound to.
        rows: how many rows there are of each shape, one after the other.
        sizes: the lengths of their array levels; a row a shape.
    """
    dims = spec.sql.in_tables.dims
    for level in range(len(dims) - 1, -1, -1):
        size = dims[level]
        if size is not None:
            elements = pa.FixedSizeListArray.from_arrays(elements, size)
            continue
        counts = rows * np.prod(sizes[:, :level], axis=1, dtype=np.int64)
        lengths = np.repeat(sizes[:, level], counts)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        elements = pa.LargeListArray.from_arrays(as_arrow(offsets), elements)
    return elements
