"""The tensor datatypes of the KServe v2 protocol, and which SQL type each can hold exactly.

Source: the protocol's table of tensor datatypes. A type fits where every value of it survives: whole numbers in
floating point up to the bits of the significand, decimals up to the digits that a binary number is sure to give back
(15 for FP64, 6 for FP32: DBL_DIG and FLT_DIG of the C standard).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType, parse_sql_type, supported_sql_types

__all__ = ["Datatype", "datatype_of_sql", "datatype_of_tensor", "fits", "natural_sql_type", "supported_sql_types"]


@dataclass(frozen=True)
class Datatype:
    """One tensor datatype.

    Args:
        name: as the protocol spells it, such as ``FP32``.
        arrow: the Arrow type of one element; FP16 and BF16 are widened to 32 bits.
        numpy: the numpy type code of one element, little-endian; None for BYTES, whose elements vary in size.
    """

    name: str
    arrow: pa.DataType
    numpy: str | None

    @property
    def has_json_form(self) -> bool:
        """Whether Triton takes and sends it as JSON."""
        return self.name not in {"FP16", "BF16"}


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
    "FP16": Datatype("FP16", pa.float32(), "<f2"),
    "BF16": Datatype("BF16", pa.float32(), "<u2"),  # numpy has no bfloat16: its bits
    "FP32": Datatype("FP32", pa.float32(), "<f4"),
    "FP64": Datatype("FP64", pa.float64(), "<f8"),
    "BYTES": Datatype("BYTES", pa.string(), None),
}
_NATURAL = {
    "BOOLEAN": "BOOL",
    "TINYINT": "INT8",
    "SMALLINT": "INT16",
    "INTEGER": "INT32",
    "BIGINT": "INT64",
    "UTINYINT": "UINT8",
    "USMALLINT": "UINT16",
    "UINTEGER": "UINT32",
    "UBIGINT": "UINT64",
    "FLOAT16": "FP16",
    "BFLOAT16": "BF16",
    "FLOAT": "FP32",
    "DOUBLE": "FP64",
}
_SQL_OF = {datatype: kind for kind, datatype in _NATURAL.items()} | {"BYTES": "STRING"}
#: Whole numbers of so many bits are exact in a floating-point number; and so many decimal digits survive.
_SIGNIFICAND_BITS = {"FP16": 11, "BF16": 8, "FP32": 24, "FP64": 53}
_DECIMAL_DIGITS = {"FP32": 6, "FP64": 15}
_WIDER_FLOATS = {
    "FLOAT16": ("FP16",),
    "BFLOAT16": ("BF16",),
    "FLOAT": ("FP32", "FP64"),
    "DOUBLE": ("FP64",),
}
_FLOATS_WITHIN = {
    "FLOAT16": ("FP16",),
    "BFLOAT16": ("BF16",),
    "FLOAT": ("FP16", "BF16", "FP32"),
    "DOUBLE": ("FP16", "BF16", "FP32", "FP64"),
}
#: Dates and times travel as ISO 8601 texts, or as days or microseconds since 1970-01-01 (TIME: since midnight).
_EPOCHS = {"DATE": ("INT32", "INT64"), "TIME": ("INT64",), "TIMESTAMP": ("INT64",), "TIMESTAMPTZ": ("INT64",)}


def fits(sql: SqlType, datatype: Datatype, *, output: bool) -> bool:
    """Tell whether the elements of a SQL type travel in a datatype without loss.

    Args:
        sql: the declared type; only its elements count here, not its dimensions.
        datatype: of the server's tensor.
        output: the tensor must fit into the SQL type, rather than the SQL type into the tensor.
    """
    kind, name = sql.kind, datatype.name
    if name == "BYTES":
        return kind in {"VARCHAR", "BLOB", "JSON", "DECIMAL", *_EPOCHS}
    if kind in {"BOOLEAN", "BLOB"}:
        return kind == "BLOB" or name == "BOOL"  # bytes are the elements of any datatype
    if kind in _EPOCHS:
        return name in _EPOCHS[kind]
    if kind == "DECIMAL":
        return _decimal_fits(sql, name, output=output)
    if kind in INTEGER_BITS:
        return _integer_fits(kind, name, output=output)
    return name in (_FLOATS_WITHIN if output else _WIDER_FLOATS).get(kind, ())


def _integer_fits(kind: str, name: str, *, output: bool) -> bool:
    signed, bits = INTEGER_BITS[kind]
    natural = _SQL_OF.get(name)
    if natural in INTEGER_BITS:
        inner, outer = (signed, bits), INTEGER_BITS[natural]
        if output:
            inner, outer = outer, inner
        return inner == outer or (inner[1] < outer[1] and (outer[0] or not inner[0]))
    return not output and bits - signed <= _SIGNIFICAND_BITS.get(name, 0)


def _decimal_fits(sql: SqlType, name: str, *, output: bool) -> bool:
    if name in _DECIMAL_DIGITS:
        return sql.precision <= _DECIMAL_DIGITS[name]
    natural = _SQL_OF.get(name)
    if natural not in INTEGER_BITS:
        return False
    signed, bits = INTEGER_BITS[natural]
    largest = 2 ** (bits - signed) - 1
    if output:
        return sql.precision - sql.scale >= len(str(largest))
    return signed and sql.scale == 0 and 10**sql.precision - 1 <= largest


def natural_sql_type(datatype: str) -> str:
    """Return the SQL type that is a datatype's own, such as FLOAT for FP32."""
    return _SQL_OF.get(datatype, "STRING")


def datatype_of_sql(sql_type: str) -> tuple[Datatype, str] | None:
    """Return the datatype that is a SQL type's own and the name of the type; None where it is not supported."""
    sql = parse_sql_type(sql_type)
    if isinstance(sql, str):
        return None
    if sql.kind == "BLOB":
        return _BLOB, sql.name
    return _DATATYPES[_NATURAL.get(sql.kind, "BYTES")], sql.name


def datatype_of_tensor(name: str) -> Datatype | None:
    """Return the datatype that a server calls ``name``; None for one that the protocol does not have."""
    return _DATATYPES.get(name)
