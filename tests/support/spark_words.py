"""DuckDB's SQL of tests, which both warehouses share, in Spark's words."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp

#: The signed types that hold the unsigned ones, which Spark does not have.
_HOLDING = {
    exp.DataType.Type.UTINYINT: "SMALLINT",
    exp.DataType.Type.USMALLINT: "INT",
    exp.DataType.Type.UINT: "BIGINT",
    exp.DataType.Type.UBIGINT: "DECIMAL(20, 0)",
    exp.DataType.Type.JSON: "STRING",
}


def parse(text: str) -> exp.Expression:
    """Return the one statement of a text."""
    statement = sqlglot.parse_one(text, read="duckdb")
    assert isinstance(statement, exp.Expression)
    return statement


def spark_words(statement: exp.Expression) -> str:
    """Return a statement, or a part of one, as Spark reads it."""
    return str(statement.copy().transform(_in_spark).sql(dialect="spark"))


def _in_spark(node: Any) -> Any:
    if isinstance(node, exp.DataType):
        if node.this in _HOLDING:
            return exp.DataType.build(_HOLDING[node.this], dialect="spark")
        node.set("values", None)  # lengths of arrays are no part of a type
    elif isinstance(node, exp.Table) and isinstance(node.this, exp.GenerateSeries):
        series = node.this  # as a table it is the function of the same name, without its end in both
        node.set("this", exp.Anonymous(this="range", expressions=[series.args["start"], series.args["end"]]))
    elif isinstance(node, exp.Cast) and node.to.this in {exp.DataType.Type.VARBINARY, exp.DataType.Type.BINARY}:
        return _binary(node)
    elif isinstance(node, exp.Anonymous) and node.name.lower() == "from_hex":
        node.set("this", "unhex")
    return node


def _binary(node: exp.Cast) -> Any:
    """Write a text with escapes of bytes as the bytes it stands for."""
    if not (isinstance(node.this, exp.Literal) and node.this.is_string):
        return node
    value = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes.fromhex(found[1].decode()), node.this.name.encode())
    return exp.func("unhex", exp.Literal.string(value.hex()))
