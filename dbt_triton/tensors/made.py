"""Tensors that are made of the lengths of a column's rows: an attention mask, and zeros of the same shape."""

from __future__ import annotations

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
    """

    spec: TensorSpec
    source: int
    value: int

    def column(self, source: pa.Array) -> pa.Array:
        """Return the values, in arrays of the lengths of the column; NULL where the column is NULL."""
        sql = self.spec.sql
        return _filled_like(source, len(sql.dims), pa.scalar(self.value, pa.int8()).cast(sql.arrow_element))


def _filled_like(array: pa.Array, levels: int, value: pa.Scalar) -> pa.Array:
    """Put a value in the place of whatever the arrays of so many levels hold, on their offsets alone."""
    if levels == 0:
        return pa.repeat(value, len(array))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    # An offset of NULL is a list that is NULL.
    nulls = np.append(array.is_null().to_numpy(zero_copy_only=False), [False]) if array.null_count else None
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, mask=nulls), _filled_like(array.flatten(), levels - 1, value)
    )
