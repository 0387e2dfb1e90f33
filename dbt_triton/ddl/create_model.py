"""CREATE MODEL, as Flink SQL has it, and the same definition from YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot.tokens import TokenType

from dbt_triton.ddl.statements import refuse_operations
from dbt_triton.ddl.tokens import Tokens
from dbt_triton.errors import ConfigurationError, SqlSyntaxError
from dbt_triton.option_maps import spread
from dbt_triton.option_values import is_no_text

_YAML_KEYS = ("input", "output", "comment", "name")
# Options for which YAML's bare null is a word.
_NULL_IS_A_WORD = ("on-error", "default-value")
# What a type is made of, besides words, and comments of fields.
_TYPE_TOKENS = (
    TokenType.IDENTIFIER,
    TokenType.NUMBER,
    TokenType.COMMA,
    TokenType.L_PAREN,
    TokenType.R_PAREN,
    TokenType.LT,
    TokenType.GT,
    TokenType.L_BRACKET,
    TokenType.R_BRACKET,
)
#: No tensor has so many dimensions, and no database so deep a type.
MAX_TYPE_DEPTH = 100


@dataclass(frozen=True)
class Column:
    """One column of INPUT or OUTPUT: its name and SQL type as written, and its comment."""

    name: str
    type: str
    comment: str | None = None


@dataclass(frozen=True)
class ModelDefinition:
    """What a CREATE MODEL statement, or ``meta.inference_model``, says. Options are as written, not validated.

    A side without columns is one that is left out.
    """

    name: tuple[str, ...]
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    options: dict[str, Any] = field(default_factory=dict)
    comment: str | None = None


def parse_create_model(text: str) -> ModelDefinition:
    """Parse one CREATE MODEL statement.

    Source: the grammar of Flink 2.x, ``CREATE [OR REPLACE] [TEMPORARY] MODEL [IF NOT EXISTS] name
    [INPUT (…)] [OUTPUT (…)] [COMMENT '…'] WITH (…)``.

    Raises:
        SqlSyntaxError: with the line, what was expected and what was found.
    """
    tokens = Tokens(text)
    refuse_operations(tokens)
    tokens.expect_word("CREATE")
    if tokens.accept_word("OR"):
        tokens.expect_word("REPLACE")
    tokens.accept_word("TEMPORARY", "TEMP")
    tokens.expect_word("MODEL")
    if tokens.accept_word("IF"):
        tokens.expect_word("NOT")
        tokens.expect_word("EXISTS")
    name, _, _ = tokens.dotted_name("the name of the model")
    may_follow = ["INPUT", "OUTPUT", "COMMENT", "WITH"]
    inputs = _side("INPUT", tokens, may_follow)
    outputs = _side("OUTPUT", tokens, may_follow)
    comment = _comment(tokens)
    if comment is not None:
        may_follow = ["WITH"]
    if not tokens.accept_word("WITH"):
        raise tokens.error(f"expected {' or '.join(filter(None, [', '.join(may_follow[:-1]), may_follow[-1]]))}")
    tokens.in_options = True  # and after them, since a quote that is wrong may end them early
    options = _options(tokens)
    while tokens.accept_type(TokenType.SEMICOLON):
        pass
    if tokens.peek():
        raise tokens.error("expected nothing after WITH (…)")
    return ModelDefinition(tuple(name), inputs, outputs, options, comment)


def definition_from_yaml(name: str, meta: Mapping[str, Any]) -> ModelDefinition:
    """Make the definition that ``meta.inference_model`` describes.

    Args:
        name: the dbt model's name; ``meta`` need not repeat it.
        meta: ``input`` and ``output`` map columns to SQL types, and may be left out; every other key is an option.

    Raises:
        ConfigurationError: ``input`` or ``output`` is not a map of columns.
    """
    subject = f'inference model "{name}" (meta.inference_model)'
    if not isinstance(meta, Mapping):
        raise ConfigurationError(["write a map: input, output and the options, one a line"], subject)
    problems: list[str] = []
    columns: dict[str, tuple[Column, ...]] = {"input": (), "output": ()}
    for side in columns:
        if side not in meta:
            problems += [f"{side}s is no key; the columns stand under {side}"] if f"{side}s" in meta else []
            continue
        declared = meta[side]
        if not isinstance(declared, Mapping) or not declared:
            problems.append(
                f"{side} must map each column to its SQL type, such as {{{side}: STRING}}; "
                "leave it out for what the server says"
            )
            continue
        untyped = [column for column, kind in declared.items() if not isinstance(kind, str) or not kind]
        problems.extend(f"{side} column {column} has no SQL type" for column in untyped)
        twice = [column for column, count in Counter(str(column).lower() for column in declared).items() if count > 1]
        problems.extend(f"{side} column {column} is declared twice" for column in twice)
        if any(is_no_text(text) for pair in declared.items() for text in pair if isinstance(text, str)):
            problems.append(f"{side} holds a NUL or another character that is no text")
        if not untyped:
            columns[side] = tuple(Column(str(column), kind) for column, kind in declared.items())
    for key in ("comment", "name"):
        said = meta.get(key)
        if said is not None and (not isinstance(said, str) or is_no_text(said)):
            problems.append(f"{key} must be a text; write it in quotes")
    if problems:
        raise ConfigurationError(problems, subject)
    # YAML reads a bare null as None, which is a word for two options and nothing for the others.
    options = {
        str(key): value
        for key, value in meta.items()
        if key not in _YAML_KEYS and (value is not None or key in _NULL_IS_A_WORD)
    }
    return ModelDefinition(
        (meta.get("name") or name,), columns["input"], columns["output"], spread(options), meta.get("comment")
    )


def _side(side: str, tokens: Tokens, may_follow: list[str]) -> tuple[Column, ...]:
    """Read INPUT (…) or OUTPUT (…), if it is there; then what stands before it in the grammar may not follow."""
    if not tokens.accept_word(side):
        return ()
    del may_follow[: may_follow.index(side) + 1]
    return _columns(tokens)


def _columns(tokens: Tokens) -> tuple[Column, ...]:
    tokens.expect_type(TokenType.L_PAREN, "( and the columns")
    columns: list[Column] = []
    seen: set[str] = set()
    while True:
        line = tokens.line
        name = tokens.identifier("a column name")
        if name.lower() in seen:
            raise SqlSyntaxError(f"column {name} is declared twice", line)
        seen.add(name.lower())
        kind = _type_text(tokens, name)
        columns.append(Column(name, kind, _comment(tokens)))
        if tokens.accept_type(TokenType.R_PAREN):
            break
        if not tokens.accept_type(TokenType.COMMA):
            raise tokens.error("expected , or ) after a column")
    return tuple(columns)


def _type_text(tokens: Tokens, column: str) -> str:
    """Read the text of a type up to the comma, parenthesis or COMMENT that ends it."""
    token = tokens.peek()
    start = token.start if token else 0
    before, line = tokens.index, tokens.line
    depth = arrays = opened = 0
    while tokens.peek():
        if depth == 0 and (tokens.is_type(TokenType.COMMA, TokenType.R_PAREN) or tokens.is_word("COMMENT")):
            break
        in_comment = tokens.is_type(TokenType.STRING) and tokens.is_word("COMMENT", ahead=-1)
        if not (tokens.is_type(*_TYPE_TOKENS) or tokens.is_bare() or in_comment):
            # A parenthesis that is not closed: options may stand here.
            tokens.in_options = True
            raise tokens.error(f"expected , or ) after the type of column {column}")
        arrays += tokens.is_word("ARRAY")
        opened += tokens.is_type(TokenType.LT, TokenType.L_BRACKET)
        if tokens.is_type(TokenType.L_PAREN, TokenType.LT, TokenType.L_BRACKET):
            depth += 1
        elif tokens.is_type(TokenType.R_PAREN, TokenType.GT, TokenType.R_BRACKET):
            depth -= 1
        if max(depth, arrays, opened) > MAX_TYPE_DEPTH:
            raise SqlSyntaxError(f"the type of column {column} has more than {MAX_TYPE_DEPTH} levels", line)
        tokens.next()
    if tokens.index == before or depth:
        raise tokens.error(f"expected the SQL type of column {column}")
    return tokens.text[start : tokens.previous_end]


def _comment(tokens: Tokens) -> str | None:
    if tokens.accept_word("COMMENT"):
        return tokens.expect_type(TokenType.STRING, "a comment in single quotes").text
    return None


def _options(tokens: Tokens) -> dict[str, Any]:
    tokens.expect_type(TokenType.L_PAREN, "( and the options")
    options: dict[str, Any] = {}
    while True:
        key, value = tokens.option(TokenType.EQ, ("=", ")"), options)
        options[key] = value
        if tokens.accept_type(TokenType.R_PAREN):
            return options
        tokens.expect_type(TokenType.COMMA, ", or ) after an option")
