"""The shape of an answer, where a model has left out axes of length 1, or has put some in.

A Python model often answers ``(N,)`` for dims ``[1]``, and ``(N, 1)`` for ``[]``: Triton lets both pass. The elements
and their order are the same, so such an answer is read where it has one meaning. ``(N, 4)`` for dims ``[-1, 4]`` has
two: one box of each row, or N boxes that were found in all rows together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from dbt_triton.tensors.spec import TensorSpec

Shape = tuple[int, ...]
#: More axes of length 1 are no slip of a model, and every way to place them would be tried.
_MOST_AXES = 8


def row_shape_of(answered: Sequence[int], spec: TensorSpec, rows: int = 1) -> Shape | None:
    """Lay the answered shape of one row on the axes of its tensor.

    Args:
        answered: without the batch dimension.
        spec: what was asked for.
        rows: how many rows the answer has. Where there are several, an axis of any length is not one that was left out.

    Returns:
        The same lengths on the tensor's axes, or None where they do not fit: an axis has another length, or axes of
        length 1 are to be put in or left out and the lengths of the column's array levels depend on which.
    """
    shape = tuple(answered)
    if len(shape) == len(spec.row_shape):
        return shape if _fits(shape, spec) else None
    optional = [axis for axis in range(len(spec.row_shape)) if rows == 1 or not _is_open(axis, spec)]
    fitting = [candidate for candidate in _with_axes(shape, len(spec.row_shape), optional) if _fits(candidate, spec)]
    meanings = {tuple(candidate[axis] for axis in spec.axes) for candidate in fitting}
    return fitting[0] if len(meanings) == 1 else None


def _fits(row_shape: Shape, spec: TensorSpec) -> bool:
    """Tell whether a row has the shape of its tensor; -1 takes any length on the axes of an array."""
    return all(
        size == max(wanted, 1) or _is_open(axis, spec)
        for axis, (wanted, size) in enumerate(zip(spec.row_shape, row_shape, strict=True))
    )


def _is_open(axis: int, spec: TensorSpec) -> bool:
    return spec.row_shape[axis] == -1 and (spec.raw or axis in spec.axes)


def _with_axes(shape: Shape, axes: int, optional: Sequence[int]) -> Iterator[Shape]:
    """Yield the shape with so many axes, some of length 1 being left out, or put in where they are optional."""
    if max(axes, len(shape)) > _MOST_AXES:
        return
    surplus = len(shape) - axes
    if surplus > 0:
        ones = [axis for axis, size in enumerate(shape) if size == 1]
        yield from (_without(shape, left_out) for left_out in combinations(ones, surplus))
        return
    for places in combinations(optional, -surplus):
        rest = iter(shape)
        yield tuple(1 if axis in places else next(rest) for axis in range(axes))


def _without(shape: Shape, axes: Iterable[int]) -> Shape:
    left_out = set(axes)
    return tuple(size for axis, size in enumerate(shape) if axis not in left_out)
