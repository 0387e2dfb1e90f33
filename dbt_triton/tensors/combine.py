"""From the columns of a record batch to one column for each tensor, with no Python object a row.

Several columns are the elements of one tensor, in their order, as numpy's ``column_stack`` lays them; a BLOB goes
together with the columns that say its lengths. What becomes of rows then is up to `dbt_triton.tensors.rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dbt_triton.arrow_numbers import as_arrow, as_numpy
from dbt_triton.tensors.arrays import Integers, unnest
from dbt_triton.tensors.elements import Unfit, to_tensor
from dbt_triton.tensors.parameter_text import Found
from dbt_triton.tensors.raw import named_columns
from dbt_triton.tensors.rows import Refused
from dbt_triton.tensors.spec import Part, TensorSpec

_HALVES = {"FP16", "BF16"}


@dataclass(frozen=True)
class Combined:
    """The rows of a record batch whose columns make tensors.

    Args:
        columns: one for each tensor.
        places: the places of these rows in the record batch; None for all rows.
        refused: rows that a column keeps from being sent.
    """

    columns: list[pa.Array]
    places: Integers | None
    refused: list[Refused]

    def original(self, places: Integers | None) -> Integers | None:
        """Return the places in the record batch, given places among these rows."""
        if self.places is None or places is None:
            return self.places if places is None else places
        return self.places[places]

    def also_refused(self, refused: Sequence[Refused]) -> list[Refused]:
        """Return all rows that cannot be sent, given those that were found among these rows."""
        places = self.places
        if places is not None:
            refused = [Refused(places[one.places], one.why) for one in refused]
        return [*self.refused, *refused]


def combine(
    columns: Sequence[pa.Array],
    specs: Sequence[TensorSpec],
    *,
    binary: bool,
    also: Callable[[Sequence[pa.Array]], tuple[pa.Array, Found]] | None = None,
) -> Combined:
    """Make one column for each tensor.

    Args:
        columns: those of INPUT; NULL stands for a value that is not one of the declared type.
        specs: the tensors.
        binary: binary tensor data, or JSON.
        also: makes one more column, the last one, and says which rows have none.
    """
    rows = _Rows(columns)
    while True:
        made = [_made(rows.columns, position, spec, binary=binary) for position, spec in enumerate(specs)]
        made += [also(rows.columns)] if also is not None else []
        if not rows.refuse([one for _, unfit in made for one in unfit]):
            return Combined([column for column, _ in made], rows.places, rows.refused)


class _Rows:
    """The rows of a record batch that are left."""

    def __init__(self, columns: Sequence[pa.Array]) -> None:
        self.columns = list(columns)
        self.places: Integers | None = None
        self.refused: list[Refused] = []

    def refuse(self, unfit: Sequence[tuple[str, Unfit]]) -> bool:
        """Leave out rows, given what is wrong in a column. Returns whether there were any."""
        unfit = [(column, one) for column, one in unfit if one.mask.any()]
        if not unfit:
            return False
        count = len(self.columns[0])
        places = np.arange(count) if self.places is None else self.places
        bad = np.zeros(count, dtype=bool)
        for column, one in unfit:
            if (one.mask & ~bad).any():
                self.refused.append(Refused(places[one.mask & ~bad], f"not sent: {column}: {one.why}"))
            bad |= one.mask
        kept = np.flatnonzero(~bad)
        self.places = places[kept]
        self.columns = [column.take(as_arrow(kept)) for column in self.columns]
        return True


def _made(columns: Sequence[pa.Array], position: int, spec: TensorSpec, *, binary: bool) -> tuple[pa.Array, Found]:
    """Return the column of one tensor, and the rows that have none: with these it is not to be used."""
    if not spec.parts or (len(spec.parts) == 1 and spec.parts[0].sent == spec.parts[0].sql):
        return columns[spec.parts[0].position if spec.parts else position], []
    parts = [columns[part.position] for part in spec.parts]
    nulls = _nulls(parts, spec.parts)
    if nulls:
        return parts[0], nulls
    if spec.raw:
        return _with_lengths(parts, spec), []
    unfit: Found = []
    elements = [_elements(*each, spec, unfit, binary=binary) for each in zip(parts, spec.parts, strict=True)]
    if unfit:
        return parts[0], unfit
    if not spec.sql.dims:
        return elements[0], []
    together = (_texts if spec.datatype.numpy is None else _numbers)(elements, spec, len(parts[0]))
    return pa.FixedSizeListArray.from_arrays(together, sum(part.elements for part in spec.parts)), []


def _with_lengths(arrays: Sequence[pa.Array], spec: TensorSpec) -> pa.Array:
    """Put a BLOB and its lengths together."""
    by_name = dict(zip((part.column for part in spec.parts), arrays, strict=True))
    fields = [arrays[0], *(by_name[name] for name in named_columns(spec))]
    return pa.StructArray.from_arrays(fields, names=[str(number) for number in range(len(fields))])


def _nulls(arrays: Sequence[pa.Array], parts: Sequence[Part]) -> Found:
    return [
        (part.column, Unfit(as_numpy(array.is_null()), f"its value is no {part.sql.name}"))
        for array, part in zip(arrays, parts, strict=True)
        if array.null_count
    ]


def _elements(array: pa.Array, part: Part, spec: TensorSpec, unfit: Found, *, binary: bool) -> pa.Array:
    """Return the elements of one column as those of the tensor; FP16 and BF16 are narrowed later."""
    rows = len(array)
    if part.sent.dims:
        unnested = unnest(array, TensorSpec(part.column, spec.name, spec.datatype, (part.elements,), part.sent, (0,)))
        found = unnested.unfit
        found.append(Unfit(unnested.sizes[0] != part.elements, f"the length of its array is not {part.elements}"))
        array = unnested.elements
        if any(one.mask.any() for one in found):
            unfit.extend((part.column, one) for one in found if one.mask.any())
            return array
    elements, bad = to_tensor(array, part.sent, spec.datatype, binary=binary)
    unfit.extend((part.column, Unfit(one.mask.reshape(rows, part.elements).any(axis=1), one.why)) for one in bad)
    return array.cast(pa.float32()) if spec.datatype.name in _HALVES else elements


def _numbers(elements: Sequence[pa.Array], spec: TensorSpec, rows: int) -> pa.Array:
    """Lay the numbers of columns beside one another, row by row."""
    kind = np.dtype(np.float32 if spec.datatype.name in _HALVES else spec.datatype.numpy)
    together = np.empty((rows, sum(part.elements for part in spec.parts)), dtype=kind)
    start = 0
    for column, part in zip(elements, spec.parts, strict=True):
        values = as_numpy(column).reshape(rows, part.elements)
        together[:, start : start + part.elements] = values
        start += part.elements
    return as_arrow(together.reshape(-1))


def _texts(elements: Sequence[pa.Array], spec: TensorSpec, rows: int) -> pa.Array:
    """Lay the texts of columns beside one another, row by row."""
    every = pa.concat_arrays([column.cast(pa.large_binary()) for column in elements])
    places = np.empty((rows, sum(part.elements for part in spec.parts)), dtype=np.int64)
    start = 0
    for part in spec.parts:
        count = rows * part.elements
        numbers = np.arange(start * rows, start * rows + count).reshape(rows, part.elements)
        places[:, start : start + part.elements] = numbers
        start += part.elements
    return every.take(as_arrow(places.reshape(-1)))
