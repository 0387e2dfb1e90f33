"""The SQL types that INPUT and OUTPUT may declare, in Flink's spelling and in that of databases."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import pyarrow as pa

#: Whether it has a sign, and its bits.
INTEGER_BITS = {
    "TINYINT": (True, 8),
    "SMALLINT": (True, 16),
    "INTEGER": (True, 32),
    "BIGINT": (True, 64),
    "UTINYINT": (False, 8),
    "USMALLINT": (False, 16),
    "UINTEGER": (False, 32),
    "UBIGINT": (False, 64),
}
#: A type as it may be written → what it is.
_KINDS = {
    "BOOLEAN": "BOOLEAN",
    "BOOL": "BOOLEAN",
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INT": "INTEGER",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "UTINYINT": "UTINYINT",
    "USMALLINT": "USMALLINT",
    "UINTEGER": "UINTEGER",
    "UBIGINT": "UBIGINT",
    "FLOAT16": "FLOAT16",
    "HALF": "FLOAT16",
    "BFLOAT16": "BFLOAT16",
    "FLOAT": "FLOAT",
    "REAL": "FLOAT",
    "DOUBLE": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "DECIMAL": "DECIMAL",
    "NUMERIC": "DECIMAL",
    "DEC": "DECIMAL",
    "STRING": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "CHAR": "VARCHAR",
    "CHARACTER": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "CHAR VARYING": "VARCHAR",
    "TEXT": "VARCHAR",
    "JSON": "JSON",
    "BYTES": "BLOB",
    "BLOB": "BLOB",
    "BYTEA": "BLOB",
    "BINARY": "BLOB",
    "VARBINARY": "BLOB",
    "BINARY VARYING": "BLOB",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIME WITHOUT TIME ZONE": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMPTZ",
    "TIMESTAMP_LTZ": "TIMESTAMPTZ",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "TIMESTAMP WITH LOCAL TIME ZONE": "TIMESTAMPTZ",
}
_ARROW = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "FLOAT16": pa.float32(),
    "BFLOAT16": pa.float32(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.large_string(),
    "JSON": pa.large_string(),
    "BLOB": pa.large_binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
}
#: What messages and fingerprints call a kind. No warehouse has 16-bit floats: each fits into a FLOAT.
_NAMES = {"FLOAT16": "FLOAT", "BFLOAT16": "FLOAT", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
_WITH_LENGTH = {
    *("VARCHAR", "CHAR", "CHARACTER", "CHARACTER VARYING", "CHAR VARYING"),
    *("BINARY", "VARBINARY", "BINARY VARYING"),
}
_MAX_PRECISION = 38
_MICROSECOND_DIGITS = 6
_SUFFIX = re.compile(r"^(.*?)\s*(?:\[\s*(\d*)\s*\]|\bARRAY(?:\s*\[\s*(\d*)\s*\])?)$")
_NULLABILITY = re.compile(r"\s+(NOT\s+)?NULL$")
_ARRAY_OF = re.compile(r"ARRAY\s*<(.*)>")
#: Far more than a tensor or a database has.
MAX_DIMENSIONS = 64
_MAX_LENGTH = 1000
_ARGUMENTS = re.compile(r"\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


#: DuckDB makes room for 2,048 rows of a fixed array at once, however few there are, in every operator and thread.
#: Larger ones than this (in bytes a row; 128 MB for 2,048 rows) are lists in every table, which take what they hold.
FIXED_BYTES = 64 * 2**10
#: From so many bytes on, a fixed array is wide: below, DuckDB hashes its text in less time than Python its bytes.
_WIDE_BYTES = 1024
#: Arrays of these, of any length, are mostly audio or images.
_WIDE_ELEMENTS = {"FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "UTINYINT"}
_BITS = 8
#: What DuckDB has of a text in an array, besides its characters.
_TEXT_BYTES = 16


@dataclass(frozen=True)
class SqlType:
    """One declared type.

    Args:
        kind: what its elements are, one word for all spellings.
        dims: the length of each array level, the outermost first; None for a level of any length. Empty for one value.
        precision: digits of a DECIMAL.
        scale: those behind the point.
    """

    kind: str
    dims: tuple[int | None, ...] = ()
    precision: int = 0
    scale: int = 0

    @property
    def element(self) -> SqlType:
        """The type of one element."""
        return replace(self, dims=())

    @property
    def name(self) -> str:
        """The name of the type, whatever the warehouse. Fingerprints are made of it, so it stays as it is."""
        name = _NAMES.get(self.kind, self.kind)
        if self.kind == "DECIMAL":
            name = f"DECIMAL({self.precision},{self.scale})"
        return name + "".join(f"[{'' if size is None else size}]" for size in reversed(self.dims))

    @property
    def element_bytes(self) -> int:
        """What an element takes in Arrow: 0 where elements are of different lengths."""
        kind = self.arrow_element
        if kind in {pa.large_string(), pa.large_binary()}:
            return 0
        return max(int(kind.bit_width) // _BITS, 1)

    @property
    def row_bytes(self) -> int | None:
        """What one value takes in Arrow, without texts; None where its arrays may be of any length."""
        return None if None in self.dims else self.element_bytes * math.prod(size or 0 for size in self.dims)

    @property
    def is_wide(self) -> bool:
        """Whether its values mostly take kilobytes or more: BLOBs, large arrays, images and audio of any length."""
        if self.kind == "BLOB" and not self.dims:
            return True
        if not self.dims or not self.element_bytes:
            return False
        if self.row_bytes is None:
            return len(self.dims) > 1 or self.kind in _WIDE_ELEMENTS
        return self.row_bytes >= _WIDE_BYTES

    @property
    def in_tables(self) -> SqlType:
        """The type that a table has for it: without lengths where these would take too much memory."""
        fixed = math.prod(size or 1 for size in self.dims) * (self.element_bytes or _TEXT_BYTES)
        if not self.dims or fixed <= FIXED_BYTES:
            return self
        return replace(self, dims=(None,) * len(self.dims))

    @property
    def arrow_element(self) -> pa.DataType:
        """The Arrow type of one element."""
        return pa.decimal128(self.precision, self.scale) if self.kind == "DECIMAL" else _ARROW[self.kind]


def parse_sql_type(text: str) -> SqlType | str:
    """Read a type; ``NOT NULL`` and the length of ``VARCHAR(n)`` are dropped, as DuckDB drops the length.

    Returns:
        The type, or a sentence that says why it is not supported.
    """
    if len(text) > _MAX_LENGTH:
        return f"the type {text[:20]}… is longer than {_MAX_LENGTH} characters"
    name = re.sub(r"\s+", " ", text.strip().upper())
    dims: list[int | None] = []
    while True:
        name = _NULLABILITY.sub("", name).strip()
        if array := _ARRAY_OF.fullmatch(name):
            name, size = array[1], None
        elif (suffix := _SUFFIX.match(name)) and suffix[1]:
            name, size = suffix[1], suffix[2] or suffix[3]
        else:
            break
        dims.append(int(size) if size else None)
        if len(dims) > MAX_DIMENSIONS:
            return f"the type is an array of more than {MAX_DIMENSIONS} levels"
    scalar = _scalar(name, name if dims else text)
    if isinstance(scalar, str):
        return scalar
    return "an array of length 0 holds nothing" if 0 in dims else replace(scalar, dims=tuple(dims))


def _scalar(name: str, text: str) -> SqlType | str:
    found = _ARGUMENTS.search(name)
    word = (name[: found.start()] + name[found.end() :]).strip() if found else name
    kind = _KINDS.get(word)
    if kind is None:
        return f"the type {text} is not supported; supported are {', '.join(supported_sql_types())}, and arrays of them"
    arguments = [int(number) for number in found.groups() if number is not None] if found else []
    if kind == "DECIMAL":
        return _decimal(arguments)
    if not arguments or (len(arguments) == 1 and word in _WITH_LENGTH):
        return SqlType(kind)
    if kind in {"TIME", "TIMESTAMP", "TIMESTAMPTZ"} and len(arguments) == 1:
        if arguments[0] <= _MICROSECOND_DIGITS:
            return SqlType(kind)
        return f"the type {text} has more than microseconds, which DuckDB's {kind} would lose"
    return f"the type {text} is not supported: {word} takes no ({', '.join(map(str, arguments))})"


def _decimal(arguments: list[int]) -> SqlType | str:
    if not arguments:
        return "write DECIMAL(precision, scale): a bare DECIMAL is (10, 0) in Flink and (18, 3) in DuckDB"
    precision, scale = arguments[0], arguments[1] if len(arguments) > 1 else 0
    if not 1 <= precision <= _MAX_PRECISION or scale > precision:
        return f"DECIMAL({precision}, {scale}) does not exist: 1 to {_MAX_PRECISION} digits, the scale within them"
    return SqlType("DECIMAL", (), precision, scale)


def supported_sql_types() -> list[str]:
    """Return every SQL type that INPUT and OUTPUT may declare, without arrays."""
    return [f"{name}(p, s)" if name == "DECIMAL" else name for name in _KINDS]
