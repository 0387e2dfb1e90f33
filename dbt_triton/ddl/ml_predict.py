"""ML_PREDICT calls within a user's own SELECT: where they stand, what they say, and which CTEs they can see.

Only the text of a call is ever replaced; everything else of the statement stays as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sqlglot.tokens import Token, TokenType

from dbt_triton.ddl.instead import (
    Expression,
    for_descriptor,
    read_expression,
    refuse_query_without_parentheses,
    refuse_rest_of_table,
)
from dbt_triton.ddl.lateral import Name, beside_itself, reads
from dbt_triton.ddl.tokens import Tokens, is_name
from dbt_triton.errors import SqlSyntaxError

_POSITIONAL = ("INPUT", "MODEL", "ARGS", "CONFIG")
#: What is written for an argument without a name.
_WRITTEN = {"INPUT": "TABLE …", "MODEL": "MODEL …", "ARGS": "DESCRIPTOR(…)"}


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
    config: Mapping[str, str]
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


def parse_ml_predict(text: str) -> Statement:
    """Find the ML_PREDICT calls of a statement.

    Comments, strings and quoted names that mention ML_PREDICT are not calls. A trailing semicolon is dropped.

    Raises:
        SqlSyntaxError: a call does not follow the grammar; with the line and what was expected.
    """
    tokens = Tokens(text)
    scanner = _Scanner(tokens)
    scanner.group(())
    if tokens.peek():
        raise tokens.error("expected the rest of the statement: this parenthesis closes nothing")
    _refuse_cross_products(tokens.all(), scanner.calls, text)
    end = scanner.statement_end
    statement = text if end is None else text[:end].rstrip()
    return Statement(statement, tuple(sorted(scanner.calls, key=lambda call: call.span.end)))


def _refuse_cross_products(tokens: Sequence[Token], calls: Sequence[Call], text: str) -> None:
    """Refuse LATERAL calls beside the relation that they read, joined by no condition."""
    starts = {token.start: number for number, token in enumerate(tokens)}
    ends = {token.end + 1: number for number, token in enumerate(tokens)}

    def reads_of(call: Call, name: Name, seen: frozenset[str] = frozenset()) -> set[Name]:
        found: set[Name] = set()
        for cte in (cte for scope in call.scopes for cte in scope.visible(call.span.start)):
            if name == (cte.name.lower(),) and cte.name not in seen:
                body = reads(tokens[starts[cte.span.start] : ends[cte.span.end] + 1])
                found |= body.union(*(reads_of(call, read, seen | {cte.name}) for read in body))
        return found

    for call in calls:
        relation = beside_itself(tokens, starts[call.span.start], ends[call.span.end], partial(reads_of, call))
        if relation:
            table = text[call.operand.start : call.operand.end]
            raise SqlSyntaxError(
                f"LATERAL ML_PREDICT beside {'.'.join(relation)} is a cross product: its TABLE is all of the relation, "
                "in Flink as well, and not the row beside it, so that every row meets every prediction. The call "
                f"returns all columns of its TABLE: write FROM ML_PREDICT(TABLE {table}, …) by itself, or join it by a "
                "condition",
                call.line,
            )


class _Scanner:
    """Walks the tokens once, group by group, and collects calls and WITH clauses."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.calls: list[Call] = []
        self.statement_end: int | None = None

    def group(self, scopes: tuple[Scope, ...]) -> None:
        """Scan to the parenthesis that closes the current group, or to the end of the statement."""
        tokens = self.tokens
        if tokens.is_word("WITH"):
            scopes = (*scopes, self._with_clause(scopes))
        while tokens.peek():
            if tokens.is_type(TokenType.R_PAREN):
                return
            if tokens.is_type(TokenType.L_PAREN):
                self._parenthesis(scopes)
            elif self._at_call():
                self.calls.append(self._call(scopes))
            elif self._at_wrapped_call():
                self.calls.append(self._wrapped_call(scopes))
            elif tokens.is_type(TokenType.SEMICOLON):
                self._semicolon()
            else:
                tokens.next()

    def _parenthesis(self, scopes: tuple[Scope, ...]) -> None:
        line = self.tokens.line
        self.tokens.next()
        self.group(scopes)
        if not self.tokens.accept_type(TokenType.R_PAREN):
            raise SqlSyntaxError("a parenthesis is never closed", line)

    def _semicolon(self) -> None:
        start = self.tokens.next().start
        while self.tokens.accept_type(TokenType.SEMICOLON):
            pass
        if self.tokens.peek():
            raise self.tokens.error("expected one statement only")
        self.statement_end = start

    def _with_clause(self, outer: tuple[Scope, ...]) -> Scope:
        tokens = self.tokens
        tokens.next()
        scope = Scope(recursive=tokens.accept_word("RECURSIVE"))
        while True:
            name, start, _ = tokens.dotted_name("the name of a CTE")
            while tokens.peek() and not tokens.is_word("AS"):
                if tokens.is_type(TokenType.L_PAREN):
                    tokens.skip_group()
                else:
                    tokens.next()
            tokens.expect_word("AS")
            tokens.accept_word("NOT")
            tokens.accept_word("MATERIALIZED")
            if not tokens.is_type(TokenType.L_PAREN):
                raise tokens.error(f"expected ( and the query of {name[-1]}")
            self._parenthesis((*outer, scope))
            scope.ctes.append(Cte(name[-1], Span(start, tokens.previous_end)))
            if not tokens.accept_type(TokenType.COMMA):
                return scope

    def _at_call(self, ahead: int = 0) -> bool:
        tokens = self.tokens
        return (
            tokens.is_word("ML_PREDICT", ahead=ahead)
            and tokens.is_type(TokenType.L_PAREN, ahead=ahead + 1)
            and not tokens.is_type(TokenType.DOT, ahead=ahead - 1)
        )

    def _at_wrapped_call(self) -> bool:
        """Tell whether Flink's TABLE(ML_PREDICT(…)) stands at the cursor, with or without LATERAL."""
        words = 2 if self.tokens.is_word("LATERAL") else 1
        wrapped = self.tokens.is_word("TABLE", ahead=words - 1) and self.tokens.is_type(TokenType.L_PAREN, ahead=words)
        return wrapped and self._at_call(ahead=words + 1)

    def _wrapped_call(self, scopes: tuple[Scope, ...]) -> Call:
        start = self.tokens.next().start
        while not self._at_call():
            self.tokens.next()
        call = self._call(scopes)
        self.tokens.expect_type(TokenType.R_PAREN, ") after ML_PREDICT(…), to close TABLE(")
        return replace(call, span=Span(start, self.tokens.previous_end))

    def _call(self, scopes: tuple[Scope, ...]) -> Call:
        tokens = self.tokens
        line = tokens.line
        start = tokens.next().start
        tokens.next()
        operand: tuple[Span, tuple[str, ...] | None] | None = None
        model: str | None = None
        descriptor: tuple[str | Expression, ...] | None = None
        config: dict[str, str] = {}
        seen: set[str] = set()
        named = False
        while True:
            argument_line = tokens.line
            named, argument = self._argument_name(len(seen), named=named)
            if argument in seen:
                raise SqlSyntaxError(f"{argument} is given twice", argument_line)
            seen.add(argument)
            if argument == "INPUT":
                operand = self._table(scopes)
            elif argument == "MODEL":
                model = self._model()
            elif argument == "ARGS":
                descriptor = self._descriptor()
            else:
                config = self._map()
            if tokens.accept_type(TokenType.R_PAREN):
                break
            if not tokens.accept_type(TokenType.COMMA):
                raise tokens.error("expected , or ) in ML_PREDICT")
        if operand is None or model is None or descriptor is None:
            wanted = [_WRITTEN[name] for name in _POSITIONAL[:3] if name not in seen]
            raise SqlSyntaxError("ML_PREDICT needs TABLE, MODEL and DESCRIPTOR; missing: " + ", ".join(wanted), line)
        span = Span(start, tokens.previous_end)
        return Call(span, line, *operand, model, self._columns(descriptor, *operand), config, scopes)

    def _argument_name(self, position: int, *, named: bool) -> tuple[bool, str]:
        tokens = self.tokens
        if tokens.is_type(TokenType.FARROW, ahead=1):
            if not tokens.is_word(*_POSITIONAL):
                raise tokens.error("expected INPUT, MODEL, ARGS or CONFIG before =>")
            name = tokens.next().text.upper()
            tokens.next()
            return True, name
        if named:
            raise tokens.error("expected a named argument (NAME => …) after a named one")
        if position >= len(_POSITIONAL):
            raise tokens.error("ML_PREDICT takes at most four arguments")
        return False, _POSITIONAL[position]

    def _table(self, scopes: tuple[Scope, ...]) -> tuple[Span, tuple[str, ...] | None]:
        """Read TABLE x, TABLE 'file', TABLE function(…), TABLE (query), (query) or another ML_PREDICT call."""
        tokens = self.tokens
        tabled = tokens.accept_word("TABLE")
        refuse_query_without_parentheses(tokens)
        token = tokens.peek()
        start = token.start if token else len(tokens.text)
        relation = self._operand(scopes, start, tabled=tabled)
        refuse_rest_of_table(tokens, start)
        return Span(start, tokens.previous_end), relation

    def _operand(self, scopes: tuple[Scope, ...], start: int, *, tabled: bool) -> tuple[str, ...] | None:
        """Read what stands after TABLE. Returns the parts of a relation's name, if it is one."""
        tokens = self.tokens
        if tokens.is_type(TokenType.L_PAREN):
            self._parenthesis(scopes)
        elif self._at_call():
            self.calls.append(self._call(scopes))
        elif tabled and tokens.accept_type(TokenType.STRING):
            pass  # a file, as dbt-duckdb writes an external source
        elif tabled:
            parts, _, _ = tokens.dotted_name("a table after TABLE")
            if tokens.is_type(TokenType.L_PAREN):  # a table function, such as read_parquet('…')
                tokens.skip_group()
                return None
            hidden = len(parts) == 1 and self._is_cte(parts[0], start, scopes)
            return None if hidden else tuple(parts)
        else:
            expected = "expected TABLE and a relation, or TABLE and a query in parentheses"
            if tokens.is_type(TokenType.STRING):
                expected += (
                    " (ML_PREDICT('model', column) is another function, of Confluent Cloud: write "
                    "ML_PREDICT(TABLE …, MODEL …, DESCRIPTOR(column)))"
                )
            raise tokens.error(expected)
        return None

    @staticmethod
    def _is_cte(name: str, position: int, scopes: tuple[Scope, ...]) -> bool:
        return any(cte.name.lower() == name.lower() for scope in scopes for cte in scope.visible(position))

    def _model(self) -> str:
        """Read MODEL x, or the select over it that dbt's --empty and --sample make of a ref."""
        tokens = self.tokens
        tokens.accept_word("MODEL")
        if tokens.is_type(TokenType.L_PAREN):
            tokens.next()
            depth, name = 1, ""
            while depth and tokens.peek():
                if depth == 1 and not name and tokens.accept_word("FROM"):
                    name = tokens.dotted_sql("the relation of the inference model")
                    continue
                token = tokens.next()
                depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            if depth or not name:
                raise tokens.error("expected a relation, or (select * from a relation), after MODEL")
            return name
        return tokens.dotted_sql("the inference model after MODEL")

    def _descriptor(self) -> tuple[str | Expression, ...]:
        tokens = self.tokens
        tokens.expect_word("DESCRIPTOR")
        tokens.expect_type(TokenType.L_PAREN, "( after DESCRIPTOR")
        items = [self._item()]
        while tokens.accept_type(TokenType.COMMA):
            items.append(self._item())
        tokens.expect_type(TokenType.R_PAREN, ") after the columns of DESCRIPTOR")
        return tuple(items)

    def _item(self) -> str | Expression:
        """Read one column of DESCRIPTOR, or the expression that stands in its place."""
        tokens = self.tokens
        if tokens.is_type(TokenType.COMMA, TokenType.R_PAREN) or tokens.peek() is None:
            raise tokens.error("expected a column of the input")
        token = tokens.peek()
        if token is not None and is_name(token) and tokens.is_type(TokenType.COMMA, TokenType.R_PAREN, ahead=1):
            return tokens.next().text
        return read_expression(tokens)

    def _columns(
        self, items: tuple[str | Expression, ...], operand: Span, relation: tuple[str, ...] | None
    ) -> tuple[str, ...]:
        """Return the names of DESCRIPTOR; what to write in place of an expression depends on the TABLE."""
        expressions = [item for item in items if isinstance(item, Expression)]
        if expressions:
            table = self.tokens.text[operand.start : operand.end]
            raise SqlSyntaxError(for_descriptor(items, table, relation), expressions[0].line)
        return tuple(item for item in items if isinstance(item, str))

    def _map(self) -> dict[str, str]:
        """Read MAP['k', 'v', …]."""
        tokens = self.tokens
        tokens.expect_word("MAP")
        tokens.expect_type(TokenType.L_BRACKET, "[ after MAP")
        config: dict[str, str] = {}
        while not tokens.accept_type(TokenType.R_BRACKET):
            if config:
                tokens.expect_type(TokenType.COMMA, ", or ] in MAP")
            key, value = tokens.option(TokenType.COMMA, (",", "]"), config)
            config[key] = value
        return config
