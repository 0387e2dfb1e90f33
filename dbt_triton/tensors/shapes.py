"""Which axis of a tensor each array level of a column is."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.tensors.datatypes import Datatype, natural_sql_type
from dbt_triton.tensors.sql_types import SqlType

#: The elements of DuckDB's longest fixed array.
MAX_ARRAY_LENGTH = 100_000
#: What elements are called in an error.
_ELEMENTS = ("a", "b", "c")


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
    if sql.kind == "BLOB" and datatype.numpy is not None:
        return _raw(sql, datatype, dims, output=output)
    if levels == 0:
        if any(size not in {1, -1} for size in dims):
            return f"one value a row does not fit; declare {example(sql.kind, dims)}{'' if output else _given(dims)}"
        return (1,) * len(dims), ()
    axes = axes_of_levels(dims, levels)
    if len(axes) != levels:
        return f"an array of {levels} level(s) does not fit; declare {example(sql.kind, dims)}"
    row_shape = [1] * len(dims)
    for declared, axis in zip(sql.dims, axes, strict=True):
        served = dims[axis]
        if declared is not None and served not in {-1, declared}:
            return f"an array of {declared} does not fit into an axis of {served}; declare {example(sql.kind, dims)}"
        row_shape[axis] = declared if served == -1 and declared is not None else served
    return tuple(row_shape), axes


def axes_of_levels(dims: Sequence[int], levels: int) -> tuple[int, ...]:
    """Return the axis of each array level, the outermost first; not as many where the levels do not fit."""
    surplus = len(dims) - levels
    ones = [axis for axis, size in enumerate(dims) if size == 1]
    any_length = [axis for axis, size in enumerate(dims) if size == -1]
    left_out = set((ones + any_length)[:surplus]) if surplus > 0 else set()
    return tuple(axis for axis in range(len(dims)) if axis not in left_out)


def _given(dims: Sequence[int]) -> str:
    """Say how the elements of a list are given."""
    sizes = [size for size in dims if size != 1]
    if len(sizes) != 1 or sizes[0] == -1:
        return ""
    names = ", ".join(_ELEMENTS[: sizes[0]]) + (", …" if sizes[0] > len(_ELEMENTS) else "")
    return f" and give it [{names}], or declare {sizes[0]} columns, of one element each"


def _raw(
    sql: SqlType, datatype: Datatype, dims: Sequence[int], *, output: bool
) -> tuple[tuple[int, ...], tuple[int, ...]] | str:
    if sql.dims:
        return f"a BLOB is a tensor of {datatype.name} by itself; declare BLOB"
    if not output and list(dims).count(-1) > 1:
        return (
            "the size of a BLOB does not say the lengths of two axes; write 'shape.<column>', with a length for each "
            f"axis: a number, or a column of INPUT. Or declare {example(natural_sql_type(datatype.name), dims)}"
        )
    return tuple(dims), ()


def told_lengths(text: Sequence[int | str], dims: Sequence[int]) -> tuple[int | str, ...] | str:
    """Lay what ``shape.<column>`` says on the axes of a tensor.

    Args:
        text: a number, -1, or a column of INPUT for each axis.
        dims: the shape of one row as it is served, -1 for any length.

    Returns:
        The same with the served length in place of -1, where there is one; or a sentence on what does not fit.
    """
    written = ",".join(map(str, text))
    if len(text) != len(dims):
        return f"the shape {written} has {len(text)} length(s), for {len(dims)} axes"
    lengths = []
    for length, served in zip(text, dims, strict=True):
        if not isinstance(length, str) and -1 not in {length, served} and length != served:
            return f"the shape {written} has the length {length} where the server has {served}"
        lengths.append(served if length == -1 else length)
    if lengths.count(-1) > 1:
        return f"the shape {written} leaves two lengths open; write a number, or a column of INPUT"
    return tuple(lengths)


def example(kind: str, dims: Sequence[int]) -> str:
    """Write the type that a tensor of such elements and dimensions is, in DuckDB's spelling."""
    return array_type(kind, [size for size in dims if size != 1])


def array_type(kind: str, levels: Sequence[int]) -> str:
    """Write the type of an array with levels of these lengths, the outermost first, in DuckDB's spelling.

    A level of any length is a list, and so is one that DuckDB has no fixed array for.
    """
    return kind + "".join(f"[{size if 0 < size <= MAX_ARRAY_LENGTH else ''}]" for size in reversed(levels))
