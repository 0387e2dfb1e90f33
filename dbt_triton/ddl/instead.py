"""What to write in place of a TABLE or a DESCRIPTOR that says more than Flink's grammar takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot.tokens import Token, TokenType

from dbt_triton.ddl.lexis import DUCKDB, Lexis
from dbt_triton.ddl.tokens import STRINGS, Tokens, is_name
from dbt_triton.errors import SqlSyntaxError

_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)
#: What can follow a comma after the table; a comma before anything else is one of the query's own.
_ARGUMENTS = ("MODEL", "DESCRIPTOR", "MAP")
_QUERIES = ("SELECT", "WITH", "FROM", "VALUES")
#: No alias, but the begin of a clause.
_CLAUSES = frozenset(
    {"ANTI", "CROSS", "FULL", "GROUP", "JOIN", "LEFT", "LIMIT", "NATURAL", "ORDER", "RIGHT", "SEMI", "UNION", "WHERE"}
)
_LONGEST = 300


@dataclass(frozen=True)
class Expression:
    """An item of DESCRIPTOR that is no column: its tokens, its text and its line."""

    tokens: tuple[Token, ...]
    text: str
    line: int
    lexis: Lexis = DUCKDB

    @property
    def is_star(self) -> bool:
        """Whether it stands for several columns: ``*``, ``t.*`` or ``columns(…)``."""
        return self.tokens[-1].token_type == TokenType.STAR or self.text.lower().startswith("columns(")

    @property
    def is_two_names(self) -> bool:
        """Whether a comma is missing."""
        return tuple(map(is_name, self.tokens)) == (True, True)

    @property
    def alias(self) -> str | None:
        """The name that the user gave it with AS."""
        *before, last = self.tokens
        if before[1:] and before[-1].text.upper() == "AS" and is_name(last):
            return _text_of(self, self.tokens[-1:])
        return None

    @property
    def name(self) -> str:
        """A name for the column that is to hold it, from the columns and functions in it: ``name_upper``."""
        if self.alias:
            return self.alias
        columns: list[str] = []
        functions: list[str] = []
        for token, after in zip(self.tokens, (*self.tokens[1:], None), strict=True):
            if is_name(token):
                is_function = after is not None and after.token_type == TokenType.L_PAREN
                (functions if is_function else columns).append(token.text)
        words = [*columns[:2], *functions[:1]] if "." in self.text else [*columns[:1], *functions[:1]]
        name = "_".join("".join(c if c.isalnum() else "_" for c in word).lower() for word in words)
        name = name if len(words) > 1 else f"{name or 'descriptor'}_value"
        return name if name.isidentifier() else self.lexis.quote(name)


def read_expression(tokens: Tokens) -> Expression:
    """Read an item of DESCRIPTOR, whatever it is, up to its comma or closing parenthesis."""
    line, first = tokens.line, tokens.index
    _skip(tokens, lambda: tokens.is_type(TokenType.COMMA))
    found = tuple(tokens.peek(position - tokens.index) for position in range(first, tokens.index))
    read = tuple(token for token in found if token is not None)
    return Expression(read, tokens.text[read[0].start : read[-1].end + 1] if read else "", line, tokens.lexis)


def for_descriptor(items: Sequence[str | Expression], table: str, relation: Sequence[str] | None) -> str:
    """Say what to write where DESCRIPTOR has expressions.

    Args:
        items: names of columns, and expressions.
        table: the SQL of the call's TABLE.
        relation: the parts of the table's name, where it is one.
    """
    expressions = [item for item in items if isinstance(item, Expression)]
    first = expressions[0]
    found = f"expected a column of the input, found {_shown(first.text)!r}"
    if first.is_star:
        return f"{found}; name each column that the model is to get"
    if {token.token_type for token in first.tokens} <= STRINGS:
        return f"{found}; write the name without these quotes"
    if first.is_two_names:
        return f"expected ) after the columns of DESCRIPTOR, or a comma, found {first.tokens[1].text!r}"
    of_table = _qualified(first, relation)
    if of_table:
        return f"{found}; it is a column of the TABLE in any case: write DESCRIPTOR({of_table})"
    computed = ", ".join(item.text if item.alias else f"{item.text} as {item.name}" for item in expressions)
    names = ", ".join(item.name if isinstance(item, Expression) else item for item in items)
    return (
        f"{found}. Compute it in the input: write TABLE (select *, {_shown(computed)} from {_shown(table)}) "
        f"and DESCRIPTOR({names})"
    )


def refuse_query_without_parentheses(tokens: Tokens) -> None:
    """Refuse TABLE select …, whose words would be read as names."""
    if not tokens.is_word(*_QUERIES):
        return
    if tokens.is_word("VALUES"):
        is_table = not tokens.is_type(TokenType.L_PAREN, ahead=1)
    else:
        is_table = tokens.is_type(TokenType.COMMA, TokenType.R_PAREN, TokenType.DOT, ahead=1)
    if is_table:
        return
    line, first = tokens.line, tokens.next()
    _skip_argument(tokens)
    query = tokens.text[first.start : tokens.previous_end]
    raise SqlSyntaxError(
        f"expected a query in parentheses after TABLE, found {first.text!r}; write TABLE ({_shown(query)})", line
    )


def refuse_rest_of_table(tokens: Tokens, start: int, function: str) -> None:
    """Refuse what follows a table before the next argument: an alias, or the clauses of a query.

    Args:
        tokens: at the first token after the table.
        start: where the table's text begins.
        function: whose table it is.
    """
    first = tokens.peek()
    if first is None or tokens.is_type(TokenType.COMMA, *_CLOSING) or tokens.is_word("MODEL"):
        return
    table, begin, line = tokens.text[start : tokens.previous_end], tokens.index, tokens.line
    _skip_argument(tokens)
    if tokens.peek() is None:
        raise tokens.error(f"expected , or ) in {function}")
    rest = tokens.text[first.start : tokens.previous_end]
    words = rest.split()
    has_as = words[0].upper() == "AS"
    if words[0].upper() == "PARTITION":
        advice = (
            f"{function} takes each row by itself: write TABLE {_shown(table)} (the options sequence-by and order-by "
            "say which rows are a sequence)"
        )
    elif tokens.index - begin == 1 + has_as and words[-1].upper() not in _CLAUSES:
        advice = (
            f"the TABLE takes no alias: write TABLE {_shown(table)}, and the alias after the call: "
            f"{function}(…) as {words[-1]}"
        )
    else:
        advice = f"write TABLE (select * from {_shown(table + ' ' + rest)})"
    raise SqlSyntaxError(f"expected , or ) in {function}, found {first.text!r}; {advice}", line)


def _qualified(expression: Expression, relation: Sequence[str] | None) -> str | None:
    """Return the column of ``t.c``, where t is the call's table; a dot before a struct's field looks the same."""
    kinds = [token.token_type for token in expression.tokens]
    if not relation or TokenType.DOT not in kinds or len(kinds) % 2 == 0:
        return None
    names, dots = expression.tokens[::2], kinds[1::2]
    if set(dots) != {TokenType.DOT} or not all(map(is_name, names)):
        return None
    before = [token.text.lower() for token in names[:-1]]
    same = before == [part.lower() for part in relation][-len(before) :]
    return _text_of(expression, names[-1:]) if same else None


def _text_of(expression: Expression, tokens: Sequence[Token]) -> str:
    base = expression.tokens[0].start
    return expression.text[tokens[0].start - base : tokens[-1].end + 1 - base]


def _skip_argument(tokens: Tokens) -> None:
    """Step to the end of an argument of ML_PREDICT that may have commas of its own."""

    def at_next() -> bool:
        follows = tokens.is_word(*_ARGUMENTS, ahead=1) or tokens.is_type(TokenType.FARROW, ahead=2)
        return tokens.is_type(TokenType.COMMA) and follows

    _skip(tokens, at_next)


def _skip(tokens: Tokens, at_end: Callable[[], bool]) -> None:
    """Step to a place of the current group, or to the end of the group."""
    depth = 0
    while tokens.peek():
        if depth == 0 and (tokens.is_type(*_CLOSING) or at_end()):
            return
        depth += tokens.is_type(*_OPENING)
        depth -= tokens.is_type(*_CLOSING)
        tokens.next()


def _shown(text: str) -> str:
    # A line comment ends with its line.
    folded = text if "--" in text else re.sub(r"\s*\n\s*", " ", text)
    return folded if len(folded) <= _LONGEST else folded[:_LONGEST] + "…"
