"""Which tensor datatype a SQL type is, in Flink's spelling and in DuckDB's.

Source: the KServe v2 protocol's datatypes, and Flink's own table of types (STRING → BYTES, FLOAT → FP32, …).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Datatype:
    """One tensor datatype.

    Args:
        name: as the protocol spells it, such as ``FP32``.
        arrow: the Arrow type of one element.
        numpy: the numpy type code of one element, little-endian; None for BYTES, whose elements vary in size.
    """

    name: str
    arrow: pa.DataType
    numpy: str | None


_BYTES = Datatype("BYTES", pa.string(), None)
_BLOB = Datatype("BYTES", pa.binary(), None)
_DATATYPES = {
    "BOOL": Datatype("BOOL", pa.bool_(), "|b1"),
    "INT8": Datatype("INT8", pa.int8(), "|i1"),
    "INT16": Datatype("INT16", pa.int16(), "<i2"),
    "INT32": Datatype("INT32", pa.int32(), "<i4"),
    "INT64": Datatype("INT64", pa.int64(), "<i8"),
    "UINT8": Datatype("UINT8", pa.uint8(), "|u1"),
    "UINT16": Datatype("UINT16", pa.uint16(), "<u2"),
    "UINT32": Datatype("UINT32", pa.uint32(), "<u4"),
    "UINT64": Datatype("UINT64", pa.uint64(), "<u8"),
    "FP32": Datatype("FP32", pa.float32(), "<f4"),
    "FP64": Datatype("FP64", pa.float64(), "<f8"),
    "BYTES": _BYTES,
}
#: SQL type → (datatype, DuckDB's name of the type).
_SQL_TYPES = {
    "BOOLEAN": ("BOOL", "BOOLEAN"),
    "BOOL": ("BOOL", "BOOLEAN"),
    "TINYINT": ("INT8", "TINYINT"),
    "SMALLINT": ("INT16", "SMALLINT"),
    "INT": ("INT32", "INTEGER"),
    "INTEGER": ("INT32", "INTEGER"),
    "BIGINT": ("INT64", "BIGINT"),
    "UTINYINT": ("UINT8", "UTINYINT"),
    "USMALLINT": ("UINT16", "USMALLINT"),
    "UINTEGER": ("UINT32", "UINTEGER"),
    "UBIGINT": ("UINT64", "UBIGINT"),
    "FLOAT": ("FP32", "FLOAT"),
    "REAL": ("FP32", "FLOAT"),
    "DOUBLE": ("FP64", "DOUBLE"),
    "DOUBLE PRECISION": ("FP64", "DOUBLE"),
    "STRING": ("BYTES", "VARCHAR"),
    "VARCHAR": ("BYTES", "VARCHAR"),
    "CHAR": ("BYTES", "VARCHAR"),
    "TEXT": ("BYTES", "VARCHAR"),
    "BYTES": ("BYTES", "BLOB"),
    "BLOB": ("BYTES", "BLOB"),
    "BYTEA": ("BYTES", "BLOB"),
    "BINARY": ("BYTES", "BLOB"),
    "VARBINARY": ("BYTES", "BLOB"),
}
_LENGTH = re.compile(r"\s*\(\s*\d+\s*\)$")
_LENGTH_TYPES = {"VARCHAR", "CHAR", "BINARY", "VARBINARY"}


def datatype_of_sql(sql_type: str) -> tuple[Datatype, str] | None:
    """Return the tensor datatype of a SQL type and DuckDB's name for it; None for a type that is not supported.

    ``NOT NULL`` is dropped, as is the length of ``VARCHAR(n)``, which DuckDB ignores too.
    """
    name = re.sub(r"\s+", " ", sql_type.strip().upper()).removesuffix(" NOT NULL").removesuffix(" NULL")
    short = _LENGTH.sub("", name)
    if short != name and short not in _LENGTH_TYPES:
        return None
    found = _SQL_TYPES.get(short)
    if found is None:
        return None
    datatype, duckdb_type = found
    return (_BLOB if duckdb_type == "BLOB" else _DATATYPES[datatype]), duckdb_type


def datatype_of_tensor(name: str) -> Datatype | None:
    """Return the datatype that a server calls ``name``; None for one that is not supported (FP16, BF16)."""
    return _DATATYPES.get(name)


def supported_sql_types() -> list[str]:
    """Return every SQL type that INPUT and OUTPUT may declare."""
    return list(_SQL_TYPES)
