"""Where a quote or comment opens that is never closed."""

from __future__ import annotations

import re

from dbt_triton.ddl.lexis import DUCKDB, Lexis

_COMMENT = re.compile(r"/\*|\*/")
# Possessive, so that a doubled quote is never taken for a closing one, and no text is looked at twice.
_QUOTES = {mark: re.compile(f"{mark}(?:[^{mark}]++|{mark}{mark})*+{mark}") for mark in "'\"`"}
_OPENING = re.compile(r"--[^\n]*|/\*|[eE]'|['\"`]|\$(?:[A-Za-z_]\w*)?\$")
_ESCAPED = re.compile(r"[eE]'(?:[^'\\]++|\\.|'')*+'", re.DOTALL)
_OPENING_ON_SPARK = re.compile(r"--[^\n]*|/\*|\b[rR]['\"]|['\"`]")
#: Texts with escapes, and those without, which end at the next quote.
_ON_SPARK = {mark: re.compile(rf"{mark}(?:[^{mark}\\]++|\\.|{mark}{mark})*+{mark}", re.DOTALL) for mark in "'\""}
_RAW_ON_SPARK = {mark: re.compile(rf"[rR]{mark}[^{mark}]*+{mark}") for mark in "'\""}


def open_position(text: str, lexis: Lexis = DUCKDB) -> int | None:
    """Return where it opens, or None where everything is closed. Takes time in proportion to the text."""
    position = 0
    opening = _OPENING_ON_SPARK if lexis.backslash_escapes else _OPENING
    while found := opening.search(text, position):
        end = _end(text, found, lexis)
        if end is None:
            return found.start()
        position = end
    return None


def _end(text: str, opening: re.Match[str], lexis: Lexis) -> int | None:
    """Return where a comment or quote ends, or None."""
    mark = opening[0]
    if mark.startswith("--"):
        return opening.end()
    if mark == "/*":
        return _comment_end(text, opening.end())
    if mark.startswith("$"):
        end = text.find(mark, opening.end())
        return end + len(mark) if end >= 0 else None
    if lexis.backslash_escapes and mark != "`":
        pattern = _RAW_ON_SPARK[mark[1]] if len(mark) > 1 else _ON_SPARK[mark]
    else:
        pattern = _ESCAPED if len(mark) > 1 else _QUOTES[mark]
    closed = pattern.match(text, opening.start())
    return closed.end() if closed else None


def _comment_end(text: str, position: int) -> int | None:
    depth = 1
    for mark in _COMMENT.finditer(text, position):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return None
