"""ML_PREDICT and ML_EVALUATE calls within a user's own SELECT: where they stand, what they say, which CTEs they see.

Only the text of a call is ever replaced; everything else of the statement stays as it was written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dbt_triton.ddl.evaluation import Evaluation
from dbt_triton.ddl.lexis import DUCKDB, Lexis
from dbt_triton.ddl.tokens import Tokens


@dataclass(frozen=True)
class Span:
    """A piece of the statement's text: from ``start`` to ``end`` (exclusive)."""

    start: int
    end: int


@dataclass(frozen=True)
class Cte:
    """One common table expression: its name, and the text ``name (columns) AS (query)``."""

    name: str
    span: Span


@dataclass
class Scope:
    """One WITH clause and the query that it belongs to."""

    recursive: bool
    ctes: list[Cte] = field(default_factory=list)
    _ends: dict[str, int] = field(default_factory=dict, repr=False)

    def add(self, cte: Cte) -> None:
        """Add the next one."""
        self.ctes.append(cte)
        self._ends.setdefault(cte.name.lower(), cte.span.end)

    def has(self, name: str, position: int) -> bool:
        """Tell whether a CTE of a name, in whatever case, is complete before a place in the text."""
        return self._ends.get(name.lower(), position + 1) <= position

    def visible(self, position: int) -> list[Cte]:
        """Return the CTEs that are complete before a place in the text."""
        return self.ctes[: bisect_right(self.ctes, position, key=lambda cte: cte.span.end)]


@dataclass(frozen=True)
class Call:
    """One ML_PREDICT call, or one of ML_EVALUATE, which has an ``evaluation``.

    ``relation`` holds the parts of TABLE's name, or is None where the operand is a query or a CTE, whose text is
    ``operand``. ``model`` is the relation of the inference model as written in SQL.
    """

    span: Span
    line: int
    operand: Span
    relation: tuple[str, ...] | None
    model: str
    descriptor: tuple[str, ...]
    config: Mapping[str, Any]
    scopes: tuple[Scope, ...]
    evaluation: Evaluation | None = None

    @property
    def function(self) -> str:
        """What is called, for errors."""
        return "ML_PREDICT" if self.evaluation is None else "ML_EVALUATE"


def select_of_call(table: str, model: str, descriptor: Iterable[str]) -> str:
    """Write a statement of one call, as SQL names its operands."""
    return f"select * from ML_PREDICT(TABLE {table}, MODEL {model}, DESCRIPTOR({', '.join(descriptor)}))"


@dataclass(frozen=True)
class Statement:
    """A SELECT with its calls, those that others depend on first."""

    text: str
    calls: tuple[Call, ...]
    lexis: Lexis = DUCKDB

    def render(self, replacements: Mapping[Span, str], within: Span | None = None) -> str:
        """Return the text, or a part of it, with calls replaced; of nested ones the outermost counts."""
        start, end = (within.start, within.end) if within else (0, len(self.text))
        pieces, position = [], start
        inside = bisect_left(self._spans, start, key=lambda span: span.start)
        for span in self._spans[inside : bisect_left(self._spans, end, key=lambda span: span.start)]:
            # One may be within another that is replaced already, or around the part.
            if span.start < position or span.end > end or span not in replacements:
                continue
            pieces += [self.text[position : span.start], replacements[span]]
            position = span.end
        return "".join([*pieces, self.text[position:end]])

    @cached_property
    def _spans(self) -> list[Span]:
        """The calls in the order of the text, the outer one of two that begin together first."""
        return sorted((call.span for call in self.calls), key=lambda span: (span.start, -span.end))

    def operand_query(self, call: Call, replacements: Mapping[Span, str]) -> str:
        """Return a query for the call's input rows in the place of the call, where the CTEs that it needs are seen."""
        return f"select * from {self.operand_sql(call, replacements)}"

    def operand_sql(self, call: Call, replacements: Mapping[Span, str]) -> str:
        """Return the call's TABLE operand for a FROM clause of the warehouse."""
        return Tokens(self.render(replacements, call.operand), self.lexis).without_backticks()

    def input_query(self, call: Call, replacements: Mapping[Span, str]) -> str:
        """Return a query that gives the call's input rows by itself, with the WITH clauses it needs."""
        query = self.operand_query(call, replacements)
        for scope in reversed(call.scopes):
            ctes = [self.render(replacements, cte.span) for cte in scope.visible(call.span.start)]
            if ctes:
                clause = "with recursive" if scope.recursive else "with"
                query = f"{clause} {', '.join(ctes)} select * from ({query})"
        return query
