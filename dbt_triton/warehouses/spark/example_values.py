"""Examples as Spark's SQL."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses.example_values import ExampleValues
from dbt_triton.warehouses.spark.literals import quote, text_literal
from dbt_triton.warehouses.spark.type_names import type_name


class SparkExampleValues(ExampleValues):
    """Arrays have no lengths, and whole numbers a sign."""

    def quote(self, name: str) -> str:
        """Quote a name."""
        return quote(name)

    def text(self, text: str) -> str:
        """Write a text."""
        return text_literal(text)

    def type_name(self, kind: SqlType) -> str:
        """Name a type."""
        return type_name(kind).lower()

    def array(self, elements: Sequence[str]) -> str:
        """Write an array of these elements."""
        return f"array({', '.join(elements)})"

    def repeated(self, element: str, count: int) -> str:
        """Write an array of one element, so many times."""
        return f"array_repeat({element}, {count})"


VALUES = SparkExampleValues()
