"""How DuckDB writes names, values and types."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.tensors.sql_types import SqlType


def quote(identifier: str) -> str:
    """Quote an identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Write a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def literal(value: str | int | None, sql_type: str) -> str:
    """Write a value as SQL of a type."""
    return f"cast({'null' if value is None else text_literal(str(value))} as {sql_type})"


def type_name(kind: SqlType) -> str:
    """Name a type; the neutral names are DuckDB's own."""
    return kind.name


def table_type(kind: SqlType) -> str:
    """Name the type that tables have for a declared one: large fixed arrays are lists there."""
    return type_name(kind.in_tables)


def mapped(values: Sequence[str]) -> str:
    """Write a map of the SQL of keys and values, in turn."""
    pairs = [f"{key}: {value}" for key, value in zip(values[::2], values[1::2], strict=True)]
    return f"map {{{', '.join(pairs)}}}"


def checksum(relation: str, values: Sequence[str]) -> str:
    """Return the SQL of the number of rows, and of a checksum of them in any order.

    DuckDB joins the hashes of values by XOR. Hashed once more, they do not cancel out where two rows swap a value.
    """
    return f"(select concat(count(*), ' ', coalesce(sum(hash(hash({', '.join(values)}))), 0)) from {relation})"


def same_relation(relation: str) -> str:
    """Return the SQL that is true in DuckDB's catalog for the table of that quoted name, of three parts."""
    parts = ("database_name", "schema_name", "table_name")
    name = " || '.' || ".join(f"""'"' || replace({part}, '"', '""') || '"'""" for part in parts)
    return f"lower({name}) = lower({literal(relation, 'VARCHAR')})"
