"""Record batches as rows of tensors: which rows cannot be sent, and which go together in one request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from dbt_triton.arrow_numbers import as_arrow, as_numpy
from dbt_triton.tensors.arrays import (
    Integers,
    Unnested,
    groups_of_one_shape,
    misshapen,
    row_shape,
    unnest,
)
from dbt_triton.tensors.elements import Mask, Unfit, to_tensor
from dbt_triton.tensors.encode import EncodedColumn, encode_binary, encode_json
from dbt_triton.tensors.lengths import BY_LENGTH, Batching, Lengths, lengths_at
from dbt_triton.tensors.padding import Length, PaddedLengths, groups_to_pad, is_padded, padded
from dbt_triton.tensors.spec import TensorSpec

Shape = tuple[int, ...]
#: So many elements rows of several lengths may have when they are padded.
_PADDED_ELEMENTS = 2**23


@dataclass(frozen=True)
class Refused:
    """Rows that cannot be sent: their places in the record batch, and why."""

    places: Integers
    why: str


@dataclass(frozen=True)
class Group:
    """Rows of one shape: their places in the record batch (None for all rows), encoded.

    If they are padded, ``lengths`` are those that they had; ``to_cut`` are those that a budget is for.
    """

    places: Integers | None
    columns: list[EncodedColumn]
    row_shapes: tuple[Shape, ...]
    lengths: PaddedLengths | None = None
    to_cut: Lengths = field(default_factory=list)


class Rows:
    """The rows of one record batch.

    Args:
        columns: the inputs; NULL stands for a value that is not one of the declared type.
        specs: what they are bound to.
        binary: binary tensor data, or JSON.
        no_empty: refuse empty arrays.
        order: the places of all rows in the order in which they go into requests; None for the one that they have.
    """

    def __init__(
        self,
        columns: Sequence[pa.Array],
        specs: Sequence[TensorSpec],
        *,
        binary: bool,
        no_empty: bool = False,
        order: Integers | None = None,
    ) -> None:
        self.refused: list[Refused] = []
        self._specs = specs
        self._binary = binary
        self._columns = list(columns) if order is None else [column.take(as_arrow(order)) for column in columns]
        self._places = order
        self._refuse_nulls()
        self._unnested = self._unnest()
        self._refuse([misshapen(rows.sizes, spec) for rows, spec in zip(self._unnested, specs, strict=True)])
        if no_empty:
            self._refuse([_empty(rows) for rows in self._unnested])
        self._elements = self._convert()

    def __len__(self) -> int:
        return len(self._columns[0])

    def groups(
        self,
        request_rows: int,
        *,
        in_order: bool,
        tell: bool = False,
        batching: Batching = BY_LENGTH,
        inputs: int | None = None,
    ) -> Iterator[Group]:
        """Yield rows that may share requests; none without rows.

        Args:
            request_rows: the rows of one request.
            in_order: rows keep their order.
            tell: rows are padded to more than one length, as `groups_to_pad` says.
            batching: how rows are put together.
            inputs: how many of the columns count in a budget: the first ones; all of them by default.
        """
        if not len(self):
            return
        exact, to_pad = self._sizes(pad=False), self._sizes(pad=True)
        to_cut = batching.lengths(self._unnested[:inputs], self._columns[:inputs], self._specs[:inputs])
        places: Integers | None
        for places in (
            self._cut_by_size(
                groups_to_pad(
                    exact,
                    to_pad,
                    lambda places: batching.cuts(lengths_at(to_cut, places), len(places), request_rows),
                    in_order=in_order,
                    by_length=batching.by_length,
                    tell=tell,
                )
            )
            if to_pad
            else groups_of_one_shape(exact, in_order=in_order)
        ):
            if places is None:
                encoded = [
                    self._encoded(*part) for part in zip(self._elements, self._unnested, self._specs, strict=True)
                ]
                columns, shapes = [column for column, _ in encoded], tuple(shape for _, shape in encoded)
                yield Group(self._places, columns, shapes, to_cut=to_cut)
            else:
                original = places if self._places is None else self._places[places]
                yield Group(original, *self._encoded_group(places), to_cut=lengths_at(to_cut, places))

    def _sizes(self, *, pad: bool) -> list[Integers]:
        """Return the lengths of every array level that is padded, or of those that are not."""
        columns = zip(self._unnested, self._specs, strict=True)
        return [lengths for rows, spec in columns if is_padded(spec) == pad for lengths in rows.sizes]

    def _cut_by_size(self, groups: Iterable[Integers]) -> Iterator[Integers]:
        """Halve groups that would be too large when padded: one long row makes all others of its group as long."""
        for places in groups:
            longest = sum(math.prod(int(lengths[places].max()) for lengths in rows.sizes) for rows in self._unnested)
            if len(places) > 1 and len(places) * longest > _PADDED_ELEMENTS:
                yield from self._cut_by_size(np.array_split(places, 2))
            else:
                yield places

    def _encoded_group(self, places: Integers) -> tuple[list[EncodedColumn], tuple[Shape, ...], PaddedLengths | None]:
        columns, shapes = [], []
        own: dict[Length, Integers] = {}
        made: dict[Length, int] = {}
        for column, spec in zip(self._columns, self._specs, strict=True):
            rows = unnest(column.take(as_arrow(places)), spec)
            if is_padded(spec):
                elements, longest = padded(rows, spec)
                # The column itself comes before what is made of its lengths.
                own = {(spec.column, level): lengths for level, lengths in enumerate(rows.sizes)} | own
                made = {(spec.column, level): size for level, size in enumerate(longest)} | made
                rows = Unnested(elements, [np.array([size]) for size in longest], [])
            elements, _ = to_tensor(rows.elements, spec.sql, spec.datatype, binary=self._binary)
            encoded, shape = self._encoded(elements, rows, spec)
            columns.append(encoded)
            shapes.append(shape)
        return columns, tuple(shapes), PaddedLengths(own, made) if own else None

    def _encoded(self, elements: pa.Array, rows: Unnested, spec: TensorSpec) -> tuple[EncodedColumn, Shape]:
        shape = row_shape([int(lengths[0]) for lengths in rows.sizes], spec)
        encoded = (encode_binary if self._binary else encode_json)(elements, spec.datatype)
        return (encoded.of_arrays(math.prod(shape)) if rows.sizes else encoded), shape

    def _refuse_nulls(self) -> None:
        unfit = []
        for column, spec in zip(self._columns, self._specs, strict=True):
            mask = as_numpy(column.is_null()) if column.null_count else None
            unfit.append([] if mask is None else [Unfit(mask, f"its value is no {spec.sql.name}")])
        self._refuse(unfit, unnested=False)

    def _unnest(self) -> list[Unnested]:
        unnested = [unnest(column, spec) for column, spec in zip(self._columns, self._specs, strict=True)]
        self._unnested = unnested
        self._refuse([rows.unfit for rows in unnested])
        return self._unnested

    def _convert(self) -> list[pa.Array]:
        """Convert the elements of every column, without the rows that hold one which cannot be converted."""
        while True:
            elements, unfit = [], []
            for rows, spec in zip(self._unnested, self._specs, strict=True):
                converted, bad = to_tensor(rows.elements, spec.sql, spec.datatype, binary=self._binary)
                elements.append(converted)
                unfit.append([Unfit(_of_rows(one.mask, rows), one.why) for one in bad])
            if not self._refuse(unfit):
                return elements

    def _refuse(self, unfit: Sequence[Sequence[Unfit]], *, unnested: bool = True) -> bool:
        """Leave out rows, given what is wrong in each column. Returns whether there were any."""
        if not any(one.mask.any() for found in unfit for one in found):
            return False
        bad = np.zeros(len(self), dtype=bool)
        places = np.arange(len(self)) if self._places is None else self._places
        for spec, found in zip(self._specs, unfit, strict=True):
            for one in found:
                if (one.mask & ~bad).any():
                    self.refused.append(Refused(places[one.mask & ~bad], f"not sent: {spec.column}: {one.why}"))
                bad |= one.mask
        kept = np.flatnonzero(~bad)
        self._places = places[kept]
        self._columns = [column.take(as_arrow(kept)) for column in self._columns]
        if unnested:
            self._unnested = [unnest(column, spec) for column, spec in zip(self._columns, self._specs, strict=True)]
        return True


def _of_rows(mask: Mask, rows: Unnested) -> Mask:
    """Tell which rows hold one of the elements."""
    if not rows.sizes:
        return mask
    counts = np.prod(np.stack(rows.sizes), axis=0)
    bad = np.zeros(len(counts), dtype=bool)
    bad[np.repeat(np.arange(len(counts)), counts)[mask]] = True
    return bad


def _empty(rows: Unnested) -> list[Unfit]:
    if not rows.sizes:
        return []
    mask = np.prod(np.stack(rows.sizes), axis=0) == 0
    return [Unfit(mask, "an empty array kills a server that is asked for classification")] if mask.any() else []
