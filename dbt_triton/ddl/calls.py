"""ML_PREDICT calls within a user's own SELECT: where they stand, what they say, and which CTEs they can see.

Only the text of a call is ever replaced; everything else of the statement stays as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

    def visible(self, position: int) -> list[Cte]:
        """Return the CTEs that are complete before a place in the text."""
        return [cte for cte in self.ctes if cte.span.end <= position]


@dataclass(frozen=True)
class Call:
    """One ML_PREDICT call.

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


@dataclass(frozen=True)
class Statement:
    """A SELECT with its calls, those that others depend on first."""

    text: str
    calls: tuple[Call, ...]

    def render(self, replacements: Mapping[Span, str], within: Span | None = None) -> str:
        """Return the text, or a part of it, with calls replaced; of nested ones the outermost counts."""
        start, end = (within.start, within.end) if within else (0, len(self.text))
        pieces, position = [], start
        inside = [span for span in replacements if start <= span.start and span.end <= end]
        for span in sorted(inside, key=lambda span: (span.start, -span.end)):
            if span.start < position:
                continue  # within one that is replaced already
            pieces += [self.text[position : span.start], replacements[span]]
            position = span.end
        return "".join([*pieces, self.text[position:end]])

    def operand_sql(self, call: Call, replacements: Mapping[Span, str]) -> str:
        """Return the call's TABLE operand for a FROM clause of any version of DuckDB."""
        return Tokens(self.render(replacements, call.operand)).without_backticks()

    def input_query(self, call: Call, replacements: Mapping[Span, str]) -> str:
        """Return a query that gives the call's input rows by itself, with the WITH clauses it needs."""
        query = f"select * from {self.operand_sql(call, replacements)}"
        for scope in reversed(call.scopes):
            ctes = [self.render(replacements, cte.span) for cte in scope.visible(call.span.start)]
            if ctes:
                clause = "with recursive" if scope.recursive else "with"
                query = f"{clause} {', '.join(ctes)} select * from ({query})"
        return query
