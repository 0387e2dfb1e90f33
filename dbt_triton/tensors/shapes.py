"""Which axis of a tensor each array level of a column is."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.tensors.datatypes import Datatype
from dbt_triton.tensors.sql_types import SqlType


def bind_shape(
    sql: SqlType, datatype: Datatype, dims: Sequence[int], *, output: bool
) -> tuple[tuple[int, ...], tuple[int, ...]] | str:
    """Lay the array levels of a column on the axes of a tensor.

    An axis more than the column has levels must be of length 1: one that the server says is 1, else the first ones
    that take any length.

    Args:
        sql: the declared type.
        datatype: of the tensor.
        dims: the shape of one row as it is served, -1 for any length.
        output: whether the tensor is an output.

    Returns:
        The shape of one row (-1 where rows may differ) and the axis of each level, or a sentence on what does not fit.
    """
    levels = len(sql.dims)
    if sql.kind == "BLOB" and datatype.name == "UINT8":
        return _raw(sql, dims, output=output)
    if levels == 0:
        if any(size not in {1, -1} for size in dims):
            return f"one value a row does not fit; declare {example(sql.kind, dims)}"
        return (1,) * len(dims), ()
    surplus = len(dims) - levels
    ones = [axis for axis, size in enumerate(dims) if size == 1]
    any_length = [axis for axis, size in enumerate(dims) if size == -1]
    left_out = set((ones + any_length)[:surplus]) if surplus > 0 else set()
    axes = tuple(axis for axis in range(len(dims)) if axis not in left_out)
    if len(axes) != levels:
        return f"an array of {levels} level(s) does not fit; declare {example(sql.kind, dims)}"
    row_shape = [1] * len(dims)
    for declared, axis in zip(sql.dims, axes, strict=True):
        served = dims[axis]
        if declared is not None and served not in {-1, declared}:
            return f"an array of {declared} does not fit into an axis of {served}; declare {example(sql.kind, dims)}"
        row_shape[axis] = declared if served == -1 and declared is not None else served
    return tuple(row_shape), axes


def _raw(sql: SqlType, dims: Sequence[int], *, output: bool) -> tuple[tuple[int, ...], tuple[int, ...]] | str:
    if sql.dims:
        return "a BLOB is a tensor of UINT8 by itself; declare BLOB"
    if not output and list(dims).count(-1) > 1:
        return f"the size of a BLOB does not say the lengths of two axes; declare {example('UTINYINT', dims)}"
    return tuple(dims), ()


def example(kind: str, dims: Sequence[int]) -> str:
    """Write the type that a tensor of such elements and dimensions is, in DuckDB's spelling."""
    levels = [size for size in dims if size != 1]
    return kind + "".join(f"[{'' if size == -1 else size}]" for size in reversed(levels))
