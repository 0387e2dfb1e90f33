"""Values that stand for a user's own, as SQL of a warehouse: what `dbt-triton init` writes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module

from dbt_triton.errors import DbtTritonError
from dbt_triton.tensors.sql_types import SqlType, parse_sql_type

#: The length of an axis that may have any.
ANY_LENGTH = 2
#: An array of more elements is written as one value, so many times.
_WRITTEN_OUT = 6


class ExampleValues(ABC):
    """The SQL of one warehouse, as far as examples need it; each warehouse has a subclass in its folder."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """Quote a name."""

    @abstractmethod
    def text(self, text: str) -> str:
        """Write a text."""

    @abstractmethod
    def type_name(self, kind: SqlType) -> str:
        """Name a type."""

    @abstractmethod
    def array(self, elements: Sequence[str]) -> str:
        """Write an array of these elements."""

    @abstractmethod
    def repeated(self, element: str, count: int) -> str:
        """Write an array of one element, so many times."""

    def value(self, sql_type: str, number: int) -> str:
        """Write an example of a type.

        Args:
            sql_type: as a definition declares it.
            number: from 1; another number is another value.
        """
        kind = _parsed(sql_type)
        return f"cast({self._array(kind, number)} as {self.type_name(kind)})"

    def null(self, sql_type: str) -> str:
        """Write the NULL of a type."""
        return f"cast(null as {self.type_name(_parsed(sql_type))})"

    def _array(self, kind: SqlType, number: int) -> str:
        sizes = [size or ANY_LENGTH for size in kind.dims]
        if not sizes or math.prod(sizes) <= _WRITTEN_OUT:
            return self._written_out(kind.kind, sizes, number)[0]
        # A literal without a cast would make another array type of each level.
        value = self._element(kind.kind, number)
        for size in reversed(sizes):
            value = self.repeated(value, size)
        return value

    def _written_out(self, kind: str, sizes: Sequence[int], number: int) -> tuple[str, int]:
        """Write an array with different elements; and the number after its last."""
        if not sizes:
            return self._element(kind, number), number + 1
        elements = []
        for _ in range(sizes[0]):
            element, number = self._written_out(kind, sizes[1:], number)
            elements.append(element)
        return self.array(elements), number

    def _element(self, kind: str, number: int) -> str:
        if kind == "VARCHAR":
            return self.text(f"example {number}")
        if kind == "BOOLEAN":
            return "true" if number % 2 else "false"
        return f"{number}.5" if kind in {"FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE"} else str(number)


def example_values(adapter: str) -> ExampleValues:
    """Return how examples are written for the warehouse of a dbt adapter, such as ``duckdb``."""
    module = import_module(f"dbt_triton.warehouses.{adapter}.example_values")
    values: ExampleValues = module.VALUES
    return values


def elements_of(sql_type: str) -> int:
    """Return how many elements an example of a type has."""
    return math.prod(size or ANY_LENGTH for size in _parsed(sql_type).dims)


def _parsed(sql_type: str) -> SqlType:
    kind = parse_sql_type(sql_type)
    if isinstance(kind, str):
        raise DbtTritonError(kind)
    return kind
