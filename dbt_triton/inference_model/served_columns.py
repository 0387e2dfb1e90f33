"""The columns of INPUT and OUTPUT where nobody has declared them: the server's tensors, with SQL types of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton.ddl import Column
from dbt_triton.known_names import listed_names
from dbt_triton.tensors.datatypes import natural_sql_type
from dbt_triton.tensors.shapes import array_type, axes_of_levels, example

#: A message declares so many columns, and says how many more there are.
_MOST_DECLARED = 100
#: Column types of the warehouse in which an array may be written as a text.
_TEXTS = {"VARCHAR", "ENUM", "JSON"}


@dataclass(frozen=True)
class GivenColumn:
    """A column of a call's DESCRIPTOR: its name, what its elements are, and its array levels."""

    name: str
    kind: str
    levels: int = 0


@dataclass(frozen=True)
class ServedColumn:
    """A tensor as a column.

    Args:
        name: of the column.
        datatype: of the tensor.
        dims: the shape of one row as it is served, without the batch; -1 for any length.
        output: whether it is one of OUTPUT.
        optional: whether an input may be left out.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    output: bool = False
    optional: bool = False

    @property
    def element(self) -> str:
        """The SQL type of one element. Of a 16-bit output it is FLOAT, which holds every value of it."""
        natural = natural_sql_type(self.datatype)
        return "FLOAT" if self.output and natural in {"FLOAT16", "BFLOAT16"} else natural

    @property
    def sql_type(self) -> str:
        """The type that is the tensor's own: an array level for each axis that is longer than 1, or may be."""
        return example(self.element, self.dims)

    @property
    def declared(self) -> Column:
        """The column as a definition would declare it."""
        return Column(self.name, self.sql_type)

    def type_for(self, given: GivenColumn) -> str:
        """Return the type in which the values of a given column can be sent.

        A BLOB stays one; and of the axes that may be left out, as many are as the column has no array level for.
        """
        if given.kind == "BLOB" and self.datatype != "BYTES" and not given.levels:
            return "BLOB"
        element = "BLOB" if given.kind == "BLOB" and self.datatype == "BYTES" else self.element
        levels = given.levels
        if given.kind == "NULL" or (not levels and given.kind in _TEXTS and not self._is_text_of(given)):
            levels = sum(size != 1 for size in self.dims)
        axes = axes_of_levels(self.dims, levels)
        if len(axes) != levels:
            return example(element, self.dims)
        return array_type(element, [self.dims[axis] for axis in axes])

    def _is_text_of(self, given: GivenColumn) -> bool:
        """Tell whether a text is one value of the tensor, rather than an array that is written as a text."""
        return self.datatype == "BYTES" and given.kind != "JSON"

    def as_json(self) -> dict[str, Any]:
        """Return the column as the metadata row keeps it; without a datatype, it would be one that was declared."""
        said = {"name": self.name, "type": self.sql_type, "datatype": self.datatype, "dims": list(self.dims)}
        return said | ({"optional": True} if self.optional else {})

    @classmethod
    def from_json(cls, said: dict[str, Any], *, output: bool) -> ServedColumn:
        """Read what `as_json` has written."""
        optional = bool(said.get("optional"))
        return cls(said["name"], said["datatype"], tuple(said["dims"]), output=output, optional=optional)


def clause(side: str, columns: Sequence[ServedColumn]) -> str:
    """Write INPUT (…) or OUTPUT (…), ready for a CREATE MODEL statement; of a message, so that thousands are cut."""
    return f"{side} ({listed_names(map(_declared, columns), _MOST_DECLARED)})"


def _declared(column: ServedColumn) -> str:
    return f"`{column.name.replace('`', '``')}` {column.sql_type}"
