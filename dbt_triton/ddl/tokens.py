"""A cursor over sqlglot's tokens, which know where in the text they stand.

sqlglot has no dialect that parses ML_PREDICT whole, but its tokenizer skips comments, understands every kind of
quoting, and gives the place of each token, so that the user's other SQL can stay as it was written.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Container, Sequence
from functools import cached_property

from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from dbt_triton.ddl.lexis import DUCKDB, Lexis
from dbt_triton.ddl.open_quotes import open_position
from dbt_triton.errors import SqlSyntaxError
from dbt_triton.option_names import is_like_an_option
from dbt_triton.options import NAMES

END = "the end of the statement"
_BARE = re.compile(r"[^\W\d][\w\s]*")
_SIGNS = re.compile(r"[^\w\s]{1,3}")
_STATEMENTS = {"ALTER", "CREATE", "DESCRIBE", "DROP", "INSERT", "SELECT", "SHOW", "WITH"}
_LONGEST_SHOWN = 60
# By how a token begins.
_KINDS = {
    "'": "a text in single quotes",
    '"': "a text in double quotes",
    "`": "a name in backticks",
    "$": "a text in $",
}
#: Every kind of string, in whatever quotes: E'…', $$…$$ and the others are values as '…' is.
STRINGS = frozenset(
    {TokenType.STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING, TokenType.NATIONAL_STRING, TokenType.RAW_STRING}
)


class Tokens:
    """A cursor over the tokens of one text.

    Args:
        text: the statement.
        lexis: how it is written.

    Raises:
        SqlSyntaxError: a quote or comment is never closed.
    """

    def __init__(self, text: str, lexis: Lexis = DUCKDB) -> None:
        self.text = text
        self.lexis = lexis
        self.index = 0
        #: Whether the cursor is within options, or may be: what stands there may be a secret, and no error repeats it.
        self.in_options = False
        try:
            self._tokens: list[Token] = lexis.dialect().tokenize(text)
        except TokenError:
            raise _unreadable(text, lexis) from None

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
        return bisect.bisect_left(self._line_ends, token.start) + 1 if token else 1

    @cached_property
    def _line_ends(self) -> list[int]:
        return [found.start() for found in re.finditer("\n", self.text)]

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

    def is_bare(self) -> bool:
        """Tell whether words without quotes stand at the cursor; ``DOUBLE PRECISION`` is one token."""
        token = self.peek()
        return token is not None and bool(_BARE.fullmatch(self.text[token.start : token.end + 1]))

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

    def expect_type(self, token_type: TokenType, name: str) -> Token:
        """Step over a token of this type, or say that ``name`` was expected."""
        if not self.is_type(token_type):
            raise self.error(f"expected {name}")
        return self.next()

    def option(
        self, separator: TokenType, signs: tuple[str, str], taken: Container[str]
    ) -> tuple[str, str | dict[str, str]]:
        """Read an option: ``'key' = 'value'`` in WITH, ``'key', 'value'`` in MAP. Of headers, WITH may hold a MAP.

        Args:
            separator: what stands between key and value.
            signs: how the separator and the end of the options are written, for errors.
            taken: the options so far.
        """
        line = self.line
        key = self.expect_type(TokenType.STRING, "an option in single quotes").text
        if key in taken:
            named = f"option {key}" if is_like_an_option(key, NAMES) else "an option"
            raise SqlSyntaxError(f"{named} is given twice", line)
        if not self.accept_type(separator):
            raise self.error(f"expected {signs[0]} after {_named(key)}")
        value: str | dict[str, str]
        if separator == TokenType.EQ and key == "custom-headers" and self.is_word("MAP"):
            value = self._texts()
        elif self.is_type(TokenType.STRING):
            value = self.next().text
        else:
            raise self.error(f"expected the value of {_named(key)} in single quotes")
        if not self.is_type(TokenType.COMMA, TokenType.R_PAREN, TokenType.R_BRACKET):
            raise self.error(f"expected , or {signs[1]} after {_named(key)}")
        return key, value

    def _texts(self) -> dict[str, str]:
        """Read ``MAP['a', 'b', …]``, as Flink's manual writes headers."""
        self.expect_word("MAP")
        self.expect_type(TokenType.L_BRACKET, "[ after MAP")
        texts: dict[str, str] = {}
        while not self.accept_type(TokenType.R_BRACKET):
            if texts:
                self.expect_type(TokenType.COMMA, ", or ] in MAP")
            line = self.line
            name = self.expect_type(TokenType.STRING, "a header in single quotes").text
            if name in texts:
                raise SqlSyntaxError("a header is given twice", line)
            self.expect_type(TokenType.COMMA, ", after a header")
            texts[name] = self.expect_type(TokenType.STRING, "the value of a header in single quotes").text
        return texts

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
        """Read ``a.b.c``. Returns it as the warehouse's SQL: DuckDB 1.x knows no backticks."""
        start = self.index
        self.dotted_name(what)
        return "".join(self._own_text(token) for token in self._tokens[start : self.index])

    def without_backticks(self) -> str:
        """Return the whole text with double quotes around names; as it is where these are around texts."""
        if not self.lexis.double_quotes_name:
            return self.text
        pieces, position = [], 0
        for token in self._tokens:
            pieces += [self.text[position : token.start], self._own_text(token)]
            position = token.end + 1
        return "".join([*pieces, self.text[position:]])

    def _own_text(self, token: Token) -> str:
        text = self.text[token.start : token.end + 1]
        is_foreign = self.lexis.double_quotes_name and text.startswith("`")
        return self.lexis.quote(token.text) if is_foreign else text

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

    def error(self, message: str) -> SqlSyntaxError:
        """Make an error that says what was found at the cursor, and within options no more than its kind."""
        token = self.peek()
        return SqlSyntaxError(f"{message}, found {self._shown(token) if token else END}", self.line)

    def _shown(self, token: Token) -> str:
        text = self.text[token.start : token.end + 1]
        if self.in_options and not self._is_harmless(token, text):
            return _KINDS.get(text[0], "a number" if text[0].isdigit() else "a word")
        return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")

    @staticmethod
    def _is_harmless(token: Token, text: str) -> bool:
        """Tell whether a token within options is a sign, an option's name, or the beginning of a statement."""
        return bool(_SIGNS.fullmatch(text)) or text.upper() in _STATEMENTS or is_like_an_option(token.text, NAMES)


def _named(key: str) -> str:
    """Name an option in an error; comparing its key takes too long to do it for every option."""
    return f"'{key}'" if is_like_an_option(key, NAMES) else "an option"


def is_name(token: Token) -> bool:
    """Tell whether a token can be a name; keywords that are used as names count."""
    if token.token_type in {TokenType.IDENTIFIER, TokenType.VAR}:
        return True
    return token.token_type not in {TokenType.NUMBER, *STRINGS} and token.text.isidentifier()


def _unreadable(text: str, lexis: Lexis) -> SqlSyntaxError:
    """Make the error of a text that has no tokens: it may be full of secrets, so only the place is said."""
    position = open_position(text, lexis)
    if position is None:
        return SqlSyntaxError("a number or text of this statement cannot be read", 1)
    return SqlSyntaxError("a quote or comment is opened here and never closed", text.count("\n", 0, position) + 1)
