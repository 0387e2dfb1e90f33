"""The type of a column as Spark describes it, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_ARRAY = re.compile(r"array<(.*)>", flags=re.DOTALL)
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
#: Spark's word → the kind of a `SqlType`.
_KINDS = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "byte": "TINYINT",
    "smallint": "SMALLINT",
    "short": "SMALLINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "long": "BIGINT",
    "float": "FLOAT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "char": "VARCHAR",
    "varchar": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp_ntz": "TIMESTAMP",
    "timestamp": "TIMESTAMPTZ",
    "timestamp_ltz": "TIMESTAMPTZ",
    "void": "NULL",
    "struct": "STRUCT",
    "map": "MAP",
    "variant": "VARIANT",
    "interval": "INTERVAL",
}


@dataclass(frozen=True)
class SourceType:
    """The type of a column.

    Args:
        kind: what its elements are: the kind of a `SqlType` where it is one, else Spark's word in capitals.
        name: the elements' type as Spark describes it.
        levels: of arrays.
        precision: digits of a DECIMAL.
        scale: those behind the point.
    """

    kind: str
    name: str
    levels: int = 0
    precision: int = 0
    scale: int = 0

    @property
    def element(self) -> SourceType:
        """The type of one element."""
        return replace(self, levels=0)


def parse_source_type(text: str) -> SourceType:
    """Read a type as Spark describes it, such as ``array<decimal(18,3)>``; in whatever case."""
    text, levels = text.strip().lower(), 0
    while array := _ARRAY.fullmatch(text):
        text, levels = array[1].strip(), levels + 1
    if decimal := _DECIMAL.fullmatch(text):
        return SourceType("DECIMAL", text, levels, int(decimal[1]), int(decimal[2]))
    word = re.split(r"[(<\s]", text, maxsplit=1)[0]
    return SourceType(_KINDS.get(word, word.upper()), text, levels)
