"""The arguments of ML_PREDICT and ML_EVALUATE that hold no query: MODEL, DESCRIPTOR, a task and MAP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot.tokens import TokenType

from dbt_triton.ddl.calls import Span
from dbt_triton.ddl.instead import Expression, for_descriptor, read_expression
from dbt_triton.ddl.tokens import Tokens, is_name
from dbt_triton.errors import SqlSyntaxError

Items = tuple[str | Expression, ...]


@dataclass(frozen=True)
class Function:
    """A function of Flink's: the names of its arguments in their order, and how each is written.

    Args:
        name: of the function.
        arguments: their names, those that must be there first.
        written: what is written for one without a name, for errors.
        aliases: other names of arguments.
        most: how many there may be, in words.
    """

    name: str
    arguments: tuple[str, ...]
    written: dict[str, str]
    aliases: dict[str, str]
    most: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that may stand before ``=>``."""
        return (*self.arguments, *self.aliases)

    @property
    def needs(self) -> str:
        """The arguments that must be there, in words."""
        words = [text.partition(" ")[0].partition("(")[0] for text in self.written.values()]
        kinds = list(dict.fromkeys(words))
        many = {word: " twice" if words.count(word) > 1 else "" for word in kinds}
        *first, last = [word + many[word] for word in kinds]
        return f"{', '.join(first)} and {last}"


PREDICT = Function(
    "ML_PREDICT",
    ("INPUT", "MODEL", "ARGS", "CONFIG"),
    {"INPUT": "TABLE …", "MODEL": "MODEL …", "ARGS": "DESCRIPTOR(…)"},
    {},
    "four",
)
EVALUATE = Function(
    "ML_EVALUATE",
    ("INPUT", "MODEL", "LABEL", "ARGS", "TASK", "CONFIG"),
    {
        "INPUT": "TABLE …",
        "MODEL": "MODEL …",
        "LABEL": "DESCRIPTOR(label)",
        "ARGS": "DESCRIPTOR(features…)",
    },
    # As FLIP-525 spells them.
    {"MODEL_INPUT": "MODEL", "FEATURES": "ARGS"},
    "six",
)
FUNCTIONS = (PREDICT, EVALUATE)


def read_model(tokens: Tokens) -> str:
    """Read MODEL x, or the select over it that dbt's --empty and --sample make of a ref."""
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


def read_descriptor(tokens: Tokens) -> Items:
    """Read DESCRIPTOR(a, b); an item may be an expression, for which there is an error later."""
    tokens.expect_word("DESCRIPTOR")
    tokens.expect_type(TokenType.L_PAREN, "( after DESCRIPTOR")
    items = [_item(tokens)]
    while tokens.accept_type(TokenType.COMMA):
        items.append(_item(tokens))
    tokens.expect_type(TokenType.R_PAREN, ") after the columns of DESCRIPTOR")
    return tuple(items)


def _item(tokens: Tokens) -> str | Expression:
    """Read one column of DESCRIPTOR, or the expression that stands in its place."""
    if tokens.is_type(TokenType.COMMA, TokenType.R_PAREN) or tokens.peek() is None:
        raise tokens.error("expected a column of the input")
    token = tokens.peek()
    if token is not None and is_name(token) and tokens.is_type(TokenType.COMMA, TokenType.R_PAREN, ahead=1):
        return tokens.next().text
    return read_expression(tokens)


def columns_of(tokens: Tokens, items: Items, operand: Span, relation: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of DESCRIPTOR; what to write in place of an expression depends on the TABLE."""
    expressions = [item for item in items if isinstance(item, Expression)]
    if expressions:
        table = tokens.text[operand.start : operand.end]
        raise SqlSyntaxError(for_descriptor(items, table, relation), expressions[0].line)
    return tuple(item for item in items if isinstance(item, str))


def read_task(tokens: Tokens) -> str:
    """Read 'classification', or another task, in single quotes."""
    return tokens.expect_type(TokenType.STRING, "the task in single quotes, such as 'classification'").text


def read_map(tokens: Tokens) -> dict[str, Any]:
    """Read MAP['k', 'v', …]."""
    tokens.expect_word("MAP")
    tokens.expect_type(TokenType.L_BRACKET, "[ after MAP")
    config: dict[str, Any] = {}
    while not tokens.accept_type(TokenType.R_BRACKET):
        if config:
            tokens.expect_type(TokenType.COMMA, ", or ] in MAP")
        key, value = tokens.option(TokenType.COMMA, (",", "]"), config)
        config[key] = value
    return config
