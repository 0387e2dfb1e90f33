"""Examples as DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses.duckdb.dialect import quote, table_type, text_literal
from dbt_triton.warehouses.example_values import ExampleValues


class DuckDBExampleValues(ExampleValues):
    """Arrays have lengths, unless they are large."""

    def quote(self, name: str) -> str:
        """Quote a name."""
        return quote(name)

    def text(self, text: str) -> str:
        """Write a text."""
        return text_literal(text)

    def type_name(self, kind: SqlType) -> str:
        """Name a type; a text is a word that Spark has as well, so that the file outlives a change of the target."""
        name = table_type(kind).lower()
        return "string" if name == "varchar" else name

    def array(self, elements: Sequence[str]) -> str:
        """Write an array of these elements."""
        return f"[{', '.join(elements)}]"

    def repeated(self, element: str, count: int) -> str:
        """Write an array of one element, so many times."""
        return f"list_transform(range({count}), lambda _: {element})"


VALUES = DuckDBExampleValues()
