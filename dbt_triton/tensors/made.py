"""Tensors that are made of the lengths of a column's rows: an attention mask, and zeros of the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.tensors.spec import TensorSpec


@dataclass(frozen=True)
class MadeTensor:
    """A tensor without a column of its own: one value wherever another column has an element, and 0 as its padding.

    Args:
        spec: the tensor; ``spec.column`` is the column that it is made of.
        source: the place of that column among the inputs.
        value: 1 for a mask.
        levels: the array levels of that column whose lengths it has.
    """

    spec: TensorSpec
    source: int
    value: int
    levels: tuple[int, ...]

    def column(self, source: pa.Array) -> pa.Array:
        """Return the values, in arrays of the lengths of the column; NULL where the column is NULL."""
        value = pa.scalar(self.value, pa.int8()).cast(self.spec.sql.arrow_element)
        return _filled_like(source, self.levels, value)


def _filled_like(array: pa.Array, levels: Sequence[int], value: pa.Scalar) -> pa.Array:
    """Put a value in the place of whatever the arrays of some levels hold, on their offsets alone."""
    if not levels:
        return pa.repeat(value, len(array))
    rest = [level - 1 for level in levels if level]
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths, dtype=np.int64)
    if levels[0]:
        # Another level's: its arrays are of one length, or the row is refused, so that the first of them says it.
        firsts = pa.array(ends - lengths, mask=lengths == 0)
        return _filled_like(array.flatten().take(firsts), rest, value)
    offsets = np.concatenate([[0], ends])
    # An offset of NULL is a list that is NULL.
    nulls = np.append(array.is_null().to_numpy(zero_copy_only=False), [False]) if array.null_count else None
    return pa.LargeListArray.from_arrays(pa.array(offsets, mask=nulls), _filled_like(array.flatten(), rest, value))
