"""The type of a column as DuckDB describes it, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_SUFFIX = re.compile(r"^(.*)\[(\d*)\]$", flags=re.DOTALL)
_DECIMAL = re.compile(r"^DECIMAL\((\d+),(\d+)\)$")
_NAMES = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ", "TIME WITH TIME ZONE": "TIMETZ", '"NULL"': "NULL"}


@dataclass(frozen=True)
class SourceType:
    """The type of a column.

    Args:
        kind: what its elements are: DuckDB's word without arguments, but for TIMESTAMPTZ, TIMETZ and NULL.
        name: the elements' type as DuckDB describes it.
        dims: the length of each array level, the outermost first; None for a list. Empty for one value.
        precision: digits of a DECIMAL.
        scale: those behind the point.
    """

    kind: str
    name: str
    dims: tuple[int | None, ...] = ()
    precision: int = 0
    scale: int = 0

    @property
    def element(self) -> SourceType:
        """The type of one element."""
        return replace(self, dims=())


def parse_source_type(text: str) -> SourceType:
    """Read a type as DuckDB describes it, such as ``DECIMAL(18,3)[2][]``."""
    dims: list[int | None] = []
    while suffix := _SUFFIX.match(text):
        text = suffix[1]
        dims.append(int(suffix[2]) if suffix[2] else None)
    if decimal := _DECIMAL.match(text):
        return SourceType("DECIMAL", text, tuple(dims), int(decimal[1]), int(decimal[2]))
    kind = _NAMES.get(text) or text.split("(", maxsplit=1)[0]
    return SourceType(kind, text, tuple(dims))
