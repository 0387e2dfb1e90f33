"""Spark replaces ``${…}`` wherever it stands in SQL, in string literals too: by variables, settings, the environment.

The setting that ends this is one for the whole session, which users' own models share. So what we write as SQL says
``$`` as an escape within string literals.
"""

from __future__ import annotations

import re

_DOLLAR = "\\u0024"
#: A name in backticks or a comment, which are passed over; a raw string, which knows no escapes; a string.
_TOKENS = re.compile(
    r"`(?:[^`]|``)*`|--[^\n]*|/\*.*?\*/"
    r"|(?P<raw>\b[rR](?:'[^']*'|\"[^\"]*\"))"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")",
    re.DOTALL,
)


def text_literal(text: str) -> str:
    """Write a text as SQL of Spark."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("$", _DOLLAR)
    # Spark's parser reads a statement without the character NUL.
    return f"'{escaped}'".replace("\0", "\\0")


def without_substitution(sql: str) -> str:
    """Return SQL of ours in which no string literal holds a ``$``, and means the same.

    SQL that a user has written is not to go through here: there ``${…}`` is theirs.
    """
    return _TOKENS.sub(_escaped, sql)


def _escaped(match: re.Match[str]) -> str:
    if match["string"]:
        return match["string"].replace("$", _DOLLAR)
    if match["raw"] and "$" in match["raw"]:
        return text_literal(match["raw"][2:-1])
    return match[0]
