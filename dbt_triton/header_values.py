"""Reading headers and tokens as users write them. No error repeats a part of a value."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dbt_triton.option_values import json_value, plain_text

_NO_VARIABLE = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})")
_VARIABLE_ADVICE = "${…} must hold the name of an environment variable, such as ${TRITON_TOKEN}"
# One quoted text, and the separators of a map outside of quotes: a quote within a word is a character like others.
_QUOTED = re.compile(r"""'(?:[^']++|'')*+'|"(?:[^"]++|"")*+\"""")
_MAP_TOKENS = re.compile(rf"(?:(?<=[:,])|\A)\s*(?:{_QUOTED.pattern})|[:,]")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: What the value of a header cannot carry (RFC 9110, 5.5: anything but ASCII is history, and clients refuse it).
NOT_IN_HEADERS = re.compile(r"[^\t\x20-\x7e]")
_OWN_HEADERS = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "inference-header-content-length",
    "transfer-encoding",
}


def headers(value: object) -> object:
    """Read headers: a JSON object, a YAML map, or a map as Flink writes it, ``X-A:1,X-B:2``."""
    if isinstance(value, str):
        value = _header_map(value.strip())
    if not isinstance(value, Mapping):
        raise ValueError('write a JSON object such as {"X-Team": "reviews"}, or a YAML map')  # noqa: TRY004
    headers: dict[str, str] = {}
    taken: set[str] = set()
    for number, (name, content) in enumerate(value.items(), start=1):
        # What is no name may be a part of a value.
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"the name of header {number} is not one that HTTP has")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is set by dbt-triton itself")
        if name.lower() in taken:
            raise ValueError(f"{name} is given twice; the case of a header's name does not count")
        taken.add(name.lower())
        if isinstance(content, bool) or not isinstance(content, str | int | float):
            raise ValueError(f"the value of {name} must be a text")  # noqa: TRY004 - pydantic reads ValueErrors
        if _NO_VARIABLE.search(str(content)):
            raise ValueError(f"the value of {name}: {_VARIABLE_ADVICE}")
        if NOT_IN_HEADERS.search(str(content)):
            raise ValueError(f"the value of {name} holds a control character, or one that is not ASCII")
        headers[name] = str(content)
    return headers


def _header_map(text: str) -> object:
    """Read JSON, or Flink's map where the text is none. No error repeats a part of it."""
    try:
        return json_value(text)
    except ValueError as error:
        inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
        pairs = None if inner.startswith(("{", "[")) else flink_map(inner)
        if pairs is None:
            raise ValueError(
                'write a JSON object such as {"X-Team": "reviews"}, or names and values such as X-Team:reviews,X-Run:7 '
                f"({error})"
            ) from None
        return pairs


def flink_map(text: str) -> dict[str, str] | None:
    """Read ``a:1,b:2``. Names and values may stand in quotes, whose own quotes are doubled, and so may a whole pair.

    Returns:
        The map, or None where the text is none.

    Raises:
        ValueError: a name stands twice.
    """
    pairs: dict[str, str] = {}
    for pair in _split(text, ","):
        name, *rest = _split(_unquoted(pair), ":")
        if not rest or not name.strip():
            return None
        if _unquoted(name) in pairs:
            raise ValueError("a header is given twice")
        pairs[_unquoted(name)] = _unquoted(":".join(rest))
    return pairs


def _split(text: str, separator: str) -> list[str]:
    """Split a text where a separator stands outside of quotes; a quote opens only where a name or value begins."""
    parts, start = [], 0
    for found in _MAP_TOKENS.finditer(text):
        if found[0] == separator:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def _unquoted(text: str) -> str:
    text = text.strip()
    if _QUOTED.fullmatch(text):
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def auth_token(value: object) -> object:
    """Drop ``Bearer``: it is added once, however the token was written."""
    text = plain_text(value)
    if _NO_VARIABLE.search(text):
        raise ValueError(_VARIABLE_ADVICE)
    return bare_token(text)


def bare_token(text: str) -> str:
    """Return a token without ``Bearer``, however often that stands before it.

    Raises:
        ValueError: it is empty, or cannot be sent.
    """
    token = re.sub(r"^(bearer(\s+|$))+", "", text.strip(), flags=re.IGNORECASE)
    if not token:
        raise ValueError("the token is empty")
    if re.search(r"[^\x21-\x7e]", token):
        raise ValueError("the token holds white space, a control character, or one that is not ASCII")
    return token
