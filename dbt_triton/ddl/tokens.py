"""A cursor over sqlglot's tokens, which know where in the text they stand.

sqlglot has no dialect that parses ML_PREDICT whole, but its tokenizer skips comments, understands every kind of
quoting, and gives the place of each token, so that the user's other SQL can stay as it was written.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import ClassVar

from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from dbt_triton.credentials import SECRET_KEYS
from dbt_triton.errors import SqlSyntaxError

END = "the end of the statement"
#: Every kind of string, in whatever quotes: E'…', $$…$$ and the others are values as '…' is.
STRINGS = frozenset(
    {TokenType.STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING, TokenType.NATIONAL_STRING, TokenType.RAW_STRING}
)


class FlinkOnDuckDB(DuckDB):
    """DuckDB's SQL, with Flink's backticks for identifiers as well."""

    class Tokenizer(DuckDB.Tokenizer):
        """DuckDB's tokenizer with backticks."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', "`"]


class Tokens:
    """A cursor over the tokens of one text.

    Raises:
        SqlSyntaxError: a quote or comment is never closed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.index = 0
        try:
            self._tokens: list[Token] = FlinkOnDuckDB().tokenize(text)
        except TokenError:
            raise SqlSyntaxError("a quote or comment is opened here and never closed", _open_line(text)) from None

    def __len__(self) -> int:
        return len(self._tokens)

    def all(self) -> Sequence[Token]:
        """Return every token, wherever the cursor is."""
        return self._tokens

    def peek(self, ahead: int = 0) -> Token | None:
        """Return the token at the cursor, or one further on; None past the end."""
        position = self.index + ahead
        return self._tokens[position] if 0 <= position < len(self._tokens) else None

    def next(self) -> Token:
        """Return the token at the cursor and step over it."""
        token = self.peek()
        if token is None:
            raise SqlSyntaxError(f"{END} came too early", self.line)
        self.index += 1
        return token

    @property
    def line(self) -> int:
        """The line of the token at the cursor, counted from 1."""
        token = self.peek() or (self._tokens[-1] if self._tokens else None)
        return self.text.count("\n", 0, token.start) + 1 if token else 1

    def is_word(self, *words: str, ahead: int = 0) -> bool:
        """Tell whether an unquoted word stands at the cursor."""
        token = self.peek(ahead)
        return (
            token is not None
            and token.token_type not in {TokenType.IDENTIFIER, *STRINGS}
            and token.text.upper() in words
        )

    def is_type(self, *types: TokenType, ahead: int = 0) -> bool:
        """Tell whether a token of one of these types stands at the cursor."""
        token = self.peek(ahead)
        return token is not None and token.token_type in types

    def accept_word(self, *words: str) -> bool:
        """Step over a word if it is one of these."""
        found = self.is_word(*words)
        self.index += found
        return found

    def accept_type(self, *types: TokenType) -> bool:
        """Step over a token if it is of one of these types."""
        found = self.is_type(*types)
        self.index += found
        return found

    def expect_word(self, *words: str) -> None:
        """Step over one of these words, or say that it was expected."""
        if not self.accept_word(*words):
            raise self.error(f"expected {' or '.join(words)}")

    def expect_type(self, token_type: TokenType, name: str, *, secret: bool = False) -> Token:
        """Step over a token of this type, or say that ``name`` was expected."""
        if not self.is_type(token_type):
            raise self.error(f"expected {name}", secret=secret)
        return self.next()

    def option(self, separator: TokenType, signs: tuple[str, str], taken: Container[str]) -> tuple[str, str]:
        """Read an option: ``'key' = 'value'`` in WITH, ``'key', 'value'`` in MAP.

        Args:
            separator: what stands between key and value.
            signs: how the separator and the end of the options are written, for errors.
            taken: the options so far.
        """
        line = self.line
        key = self.expect_type(TokenType.STRING, "an option in single quotes").text
        if key in taken:
            raise SqlSyntaxError(f"option {key} is given twice", line)
        # A password in the wrong quotes is a mistake of quoting, and a password still.
        secret = key in SECRET_KEYS
        self.expect_type(separator, f"{signs[0]} after '{key}'", secret=secret)
        value = self.expect_type(TokenType.STRING, f"the value of '{key}' in single quotes", secret=secret).text
        if not self.is_type(TokenType.COMMA, TokenType.R_PAREN, TokenType.R_BRACKET):
            raise self.error(f"expected , or {signs[1]} after '{key}'", secret=secret)
        return key, value

    def identifier(self, what: str) -> str:
        """Read one identifier, quoted or not; keywords that are used as names count."""
        token = self.peek()
        if token is None or not is_name(token):
            raise self.error(f"expected {what}")
        self.index += 1
        return token.text

    def dotted_name(self, what: str) -> tuple[list[str], int, int]:
        """Read ``a.b.c``. Returns its parts, and the start and end of its text."""
        token = self.peek()
        start = token.start if token else len(self.text)
        parts = [self.identifier(what)]
        while self.is_type(TokenType.DOT):
            self.index += 1
            parts.append(self.identifier(what))
        return parts, start, self.previous_end

    def dotted_sql(self, what: str) -> str:
        """Read ``a.b.c``. Returns it as SQL for every version of DuckDB: 1.x knows no backticks."""
        start = self.index
        self.dotted_name(what)
        return "".join(self._duckdb_text(token) for token in self._tokens[start : self.index])

    def without_backticks(self) -> str:
        """Return the whole text with double quotes in place of the backticks around identifiers."""
        pieces, position = [], 0
        for token in self._tokens:
            pieces += [self.text[position : token.start], self._duckdb_text(token)]
            position = token.end + 1
        return "".join([*pieces, self.text[position:]])

    def _duckdb_text(self, token: Token) -> str:
        text = self.text[token.start : token.end + 1]
        return '"' + token.text.replace('"', '""') + '"' if text.startswith("`") else text

    @property
    def previous_end(self) -> int:
        """Where the text of the last read token ends (exclusive)."""
        return self._tokens[self.index - 1].end + 1 if self.index else 0

    def skip_group(self) -> None:
        """Step from an opening parenthesis over its closing one."""
        line, depth = self.line, 0
        while token := self.peek():
            self.index += 1
            if token.token_type == TokenType.L_PAREN:
                depth += 1
            elif token.token_type == TokenType.R_PAREN:
                depth -= 1
                if depth == 0:
                    return
        raise SqlSyntaxError("a parenthesis is never closed", line)

    def error(self, message: str, *, secret: bool = False) -> SqlSyntaxError:
        """Make an error that says what was found at the cursor, unless it may be a secret."""
        token = self.peek()
        if secret:
            return SqlSyntaxError(message, self.line)
        found = repr(self.text[token.start : token.end + 1]) if token else END
        return SqlSyntaxError(f"{message}, found {found}", self.line)


def is_name(token: Token) -> bool:
    """Tell whether a token can be a name; keywords that are used as names count."""
    if token.token_type in {TokenType.IDENTIFIER, TokenType.VAR}:
        return True
    return token.token_type not in {TokenType.NUMBER, *STRINGS} and token.text.isidentifier()


def _open_line(text: str) -> int:
    """Find the line with the opening of what is never closed: all the lines before it can be read."""
    lines = text.splitlines(keepends=True)
    for count in range(len(lines), 0, -1):
        try:
            FlinkOnDuckDB().tokenize("".join(lines[:count]))
        except TokenError:
            continue
        return count + 1
    return 1
