"""One tensor of a model, as a column is bound to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dbt_triton.tensors.datatypes import Datatype, natural_sql_type
from dbt_triton.tensors.sql_types import SqlType, parse_sql_type

#: What Triton's classification extension says of a class: ``score:index[:label]``.
ClassPart = Literal["label", "score", "index"]


@dataclass(frozen=True)
class Part:
    """A column of the record batches that a tensor is made of.

    Args:
        position: among the columns of INPUT.
        column: its name.
        sql: its type as it is declared.
        sent: its type as it comes: a DOUBLE in place of a number that has no NaN, where a NULL is sent as NaN.
        elements: how many it gives to each row of the tensor.
    """

    position: int
    column: str
    sql: SqlType
    sent: SqlType
    elements: int = 1


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a model as a column is bound to it.

    Args:
        column: the column of INPUT or OUTPUT.
        name: the tensor's name.
        datatype: its datatype.
        row_shape: the shape of one row, without the batch dimension; -1 where rows may differ.
        declared: the column's SQL type; by default the datatype's own, one value a row.
        axes: which axis of ``row_shape`` each array level of the column is, the outermost first; the other axes
            are of length 1.
        pad: what fills rows up to the longest of their request, as text; None for requests of rows of one shape.
        classes: how many classes to ask for (the classification extension); 0 for the tensor itself.
        part: what the column holds of each class.
        parts: the columns of INPUT that it is made of, in their order; none where the record batches have one column
            for each tensor.
        lengths: of the axes of a BLOB: a number, -1 for the one that follows from the size, or a column of INPUT, by
            its name. None where the size says it all.
        optional: whether an input may be left out of a request.
        trim: whether an output is cut to the lengths that rows had before they were padded.
        trim_to: the INPUT column, in lower case, whose length it has, where that is said; None where it is seen.
    """

    column: str
    name: str
    datatype: Datatype
    row_shape: tuple[int, ...]
    declared: SqlType | None = None
    axes: tuple[int, ...] = ()
    pad: str | None = None
    classes: int = 0
    part: ClassPart | None = None
    parts: tuple[Part, ...] = ()
    lengths: tuple[int | str, ...] | None = None
    optional: bool = False
    trim: bool = False
    trim_to: str | None = None

    @cached_property
    def sql(self) -> SqlType:
        """The column's SQL type."""
        if self.declared is not None:
            return self.declared
        parsed = parse_sql_type(
            "BLOB" if str(self.datatype.arrow) == "binary" else natural_sql_type(self.datatype.name)
        )
        assert not isinstance(parsed, str)  # noqa: S101 - each is in the table
        return parsed

    @property
    def row_bytes(self) -> int:
        """What one row takes at least as binary tensor data: texts and open axes count as nothing."""
        if self.datatype.numpy is None or min(self.row_shape, default=0) < 0:
            return 0
        return np.dtype(self.datatype.numpy).itemsize * math.prod(self.row_shape)

    @property
    def raw(self) -> bool:
        """Whether the column's bytes are the tensor's own: a BLOB as elements of any datatype but BYTES."""
        return self.datatype.numpy is not None and self.sql.kind == "BLOB"

    @property
    def trimmed_axes(self) -> tuple[int, ...]:
        """The axes of an output that may be cut: those of any length, and a fixed one where its length is said."""
        if not self.trim or self.part is not None:
            return ()
        if self.raw:
            return tuple(axis for axis, size in enumerate(self.row_shape) if size == -1)
        levels = zip(self.axes, self.sql.dims, strict=True)
        return tuple(
            axis
            for axis, declared in levels
            if declared is None and (self.row_shape[axis] == -1 or self.trim_to is not None)
        )
