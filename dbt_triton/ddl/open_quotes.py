"""Where a quote or comment opens that is never closed."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"/\*|\*/")
# Possessive, so that a doubled quote is never taken for a closing one, and no text is looked at twice.
_QUOTES = {mark: re.compile(f"{mark}(?:[^{mark}]++|{mark}{mark})*+{mark}") for mark in "'\"`"}
_OPENING = re.compile(r"--[^\n]*|/\*|[eE]'|['\"`]|\$(?:[A-Za-z_]\w*)?\$")
_ESCAPED = re.compile(r"[eE]'(?:[^'\\]++|\\.|'')*+'", re.DOTALL)


def open_position(text: str) -> int | None:
    """Return where it opens, or None where everything is closed. Takes time in proportion to the text."""
    position = 0
    while found := _OPENING.search(text, position):
        end = _end(text, found)
        if end is None:
            return found.start()
        position = end
    return None


def _end(text: str, opening: re.Match[str]) -> int | None:
    """Return where a comment or quote ends, or None."""
    mark = opening[0]
    if mark.startswith("--"):
        return opening.end()
    if mark == "/*":
        return _comment_end(text, opening.end())
    if mark.startswith("$"):
        end = text.find(mark, opening.end())
        return end + len(mark) if end >= 0 else None
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
