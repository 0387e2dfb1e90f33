"""Padding: shorter rows filled up to the longest of their request, and how long they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.tensors.arrays import Integers, Unnested, groups_of_one_shape
from dbt_triton.tensors.spec import TensorSpec

#: An array level of a padded input: the column, and the level, 0 for the outermost.
Length = tuple[str, int]


@dataclass(frozen=True)
class PaddedLengths:
    """How long the rows of a padded group are, and how long they were made.

    Args:
        own: by the level, the length of each row.
        padded: by the level, the length of all of them in the request.
    """

    own: Mapping[Length, Integers]
    padded: Mapping[Length, int]

    @property
    def differ(self) -> bool:
        """Whether any row was made longer."""
        return any((lengths != self.padded[length]).any() for length, lengths in self.own.items())

    def rows(self, start: int, end: int) -> PaddedLengths:
        """Return those of rows ``start`` to ``end`` (exclusive)."""
        return PaddedLengths({length: lengths[start:end] for length, lengths in self.own.items()}, self.padded)


def is_padded(spec: TensorSpec) -> bool:
    """Tell whether rows of a tensor are filled up."""
    return spec.pad is not None and bool(spec.axes)


def groups_to_pad(  # noqa: PLR0913 - lengths, and how they are put together
    exact: Sequence[Integers],
    sizes: Sequence[Integers],
    cuts: Callable[[Integers], list[tuple[int, int]]],
    *,
    in_order: bool,
    by_length: bool = True,
    tell: bool = False,
) -> Iterator[Integers]:
    """Yield the places of the rows of each request, rows of similar lengths together, so that little is padded.

    Args:
        exact: the lengths of every array level that is not padded: they are equal within a request.
        sizes: those of the levels that are.
        cuts: given the places of rows that could all share a request, says from which to which each request goes.
        in_order: rows keep their order.
        by_length: rows of similar lengths go together; without it, they go as they come.
        tell: rows of one length have requests of their own where all others would have one padded length.
    """
    places = np.arange(len(sizes[0]))
    for group in groups_of_one_shape(exact, in_order=in_order):
        of_one_shape = places if group is None else group
        if by_length and not in_order:
            # The longest first, as texts go.
            of_one_shape = of_one_shape[np.lexsort([-lengths[of_one_shape] for lengths in reversed(sizes)])]
        requests = [of_one_shape[start:end] for start, end in cuts(of_one_shape)]
        yield from _telling(requests, sizes) if tell and not in_order else requests


def _telling(requests: list[Integers], sizes: Sequence[Integers]) -> list[Integers]:
    """Cut requests so that an axis of an answer can be seen to be one of the padded ones, and which.

    The padded length of each level then differs between two requests, unless all rows are of one length; and that of
    two levels differs in one request, unless it does in no row. It takes one request more for each that lacks this.
    """
    distinct: list[Integers] = []
    for lengths in sizes:
        if not any(np.array_equal(lengths, other) for other in distinct):
            distinct.append(lengths)
    for lengths in distinct:
        everywhere = np.concatenate(requests)
        if len({int(lengths[places].max()) for places in requests}) == 1:
            shorter = everywhere[(lengths[everywhere] > 0) & (lengths[everywhere] < lengths[everywhere].max())]
            if len(shorter):
                requests = _set_apart(requests, sizes, int(shorter[np.argmin(lengths[shorter])]))
    for one, other in combinations(distinct, 2):
        everywhere = np.concatenate(requests)
        if all(one[places].max() == other[places].max() for places in requests):
            differing = everywhere[one[everywhere] != other[everywhere]]
            if len(differing):
                requests = _set_apart(requests, sizes, int(differing[0]))
    return requests


def _set_apart(requests: list[Integers], sizes: Sequence[Integers], row: int) -> list[Integers]:
    """Give the rows of one shape, out of the request that one of them is in, a request of their own, the first."""
    rest = []
    for places in requests:
        if row not in places:
            rest.append(places)
            continue
        same = np.all([lengths[places] == lengths[row] for lengths in sizes], axis=0)
        alone = places[same]
        if not same.all():
            rest.append(places[~same])
    return [alone, *rest]


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
