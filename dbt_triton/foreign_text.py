"""The words of a server or a library on their way to a person: secrets masked, then made harmless, then cut.

Everything that a server, a proxy or a library says goes through here before it is raised, logged, stored or printed.
The order matters: a text that is cut first may end within a secret, which then is not found any more.

A secret is looked for by its parts (the value, the token behind its scheme, user and password of a Basic credential,
the values of a list), whatever its case, and also where it is escaped as in a URL, in HTML or in JSON, or written in
other forms of its letters: those that Unicode calls compatible, such as fullwidth ones.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import logging
import re
import string
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

MASK = "***"
#: What is shown of one foreign text, in characters.
TEXT_LENGTH = 500
#: What is shown of a name or a value within a sentence of ours.
NAME_LENGTH = 100
#: So much of a text is looked at. What follows may hold the rest of a secret, so the end is not shown.
_READ_LENGTH, _LOST_LENGTH = 16_384, 1024
#: A shorter secret is masked only where it stands as a word of its own…
_WORD_LENGTH = 8
#: …and a shorter one than this only behind its scheme: masking every "a" would hide the text, and tell the secret.
_SHORT_LENGTH = 4
#: Of so long a secret, a beginning and an end of `_STEM_LENGTH` characters are masked, too: servers shorten what they
#: repeat.
_CUT_LENGTH, _STEM_LENGTH = 16, 12
#: Tokens change in a process that runs for long; the oldest are forgotten.
_MAX_SECRETS = 1024
#: An escape of an escape, as JSON within HTML has it.
_ESCAPED_TWICE = 2

#: From where to where, in characters.
Span = tuple[int, int]

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)\s+(\S.*)", re.DOTALL)
_SEPARATORS = re.compile(r"[\s,;]+")
_BEHIND_SCHEME = re.compile(r"(bearer|basic)\s+$")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ESCAPE = re.compile(
    r"%(?:25)*(?P<url>[0-9A-Fa-f]{2})"
    r"|(?P<html>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});)"
    r"|\\u(?P<json>[0-9A-Fa-f]{4})|\\x(?P<hex>[0-9A-Fa-f]{2})|\\(?P<quoted>[\"'\\/])"
    r"|(?P<nothing>\x1b\[[0-9;]*[A-Za-z]|<[^<>]{0,200}>"
    r"|[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff])"
    r"|(?P<wide>[^\x00-\x7f])"
)


class _Secrets:
    """The secrets that this process has read so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._patterns: dict[str, None] = {}

    def add(self, parts: Iterable[str]) -> None:
        with self._lock:
            for part in parts:
                for pattern in _forms(part):
                    self._patterns.pop(pattern, None)
                    self._patterns[pattern] = None
            for oldest in list(self._patterns)[:-_MAX_SECRETS]:
                del self._patterns[oldest]

    def known(self) -> Sequence[str]:
        with self._lock:
            return list(self._patterns)


_SECRETS = _Secrets()


def remember_secrets(values: Iterable[str]) -> None:
    """Mask these values from now on.

    Args:
        values: of headers, with or without a scheme such as ``Bearer``; or tokens and passwords by themselves.
    """
    _SECRETS.add(part for value in values for part in _parts_of(value))


def remember_userinfo(url: str) -> None:
    """Mask the user and password of a URL, as a proxy of the environment may have one."""
    userinfo, found, _ = url.partition("://")[2].rpartition("@")
    if found:
        user, _, password = _plain(userinfo).partition(":")
        credential = base64.b64encode(f"{user}:{password}".encode()).decode()
        _SECRETS.add([userinfo, password, f"{user}:{password}", credential])


def shown(text: object, limit: int = TEXT_LENGTH) -> str:
    """Return a foreign text as one line: masked, control characters visible, at most ``limit`` characters long."""
    whole = str(text)
    line = _visible(" ".join(masked(whole[:_READ_LENGTH]).split()))
    if len(whole) > _READ_LENGTH:
        line = line[:-_LOST_LENGTH] + "…"
    return line if len(line) <= limit else line[:limit] + "…"


def shown_value(value: object) -> str:
    """Return a value of a foreign JSON text as JSON writes it, as `shown` does."""
    try:
        return shown(json.dumps(value, ensure_ascii=False, default=str), NAME_LENGTH)
    except RecursionError:
        return "a deeply nested value"


def harmless(text: str) -> str:
    """Return a text of ours that holds foreign ones: masked, with no control character but line ends, and not cut.

    Short secrets are left to `shown`, which the foreign texts have been through: they may be words of ours.
    """
    without = _masked(text, [pattern for pattern in _SECRETS.known() if len(pattern) >= _WORD_LENGTH])
    return "\n".join(_visible(line.replace("\t", " ")) for line in without.split("\n"))


def masked(text: str) -> str:
    """Return a foreign text that is not fit to be shown yet, without its secrets."""
    return _masked(text, _SECRETS.known())


class HarmlessRecords(logging.Filter):
    """Makes harmless what a library logs: httpcore logs the headers of answers at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the text of a record."""
        record.msg, record.args = shown(record.getMessage(), _READ_LENGTH), ()
        return True


def _visible(line: str) -> str:
    """Write control characters, marks that turn the direction of text, and halves of characters as escapes."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _masked(text: str, patterns: Sequence[str]) -> str:
    if not patterns or not text:
        return text
    views = [text]
    for _ in range(_ESCAPED_TWICE):
        views.append(_plain(views[-1]))
    found = [
        [place for pattern in patterns for place in _found(pattern, lowered)]
        for lowered in (view.translate(_LOWER) for view in views)
    ]
    # Where the characters of a view come from is looked at only when it holds a secret: that takes the time.
    spans, places = found[0], [(place, place + 1) for place in range(len(text))] if any(found[1:]) else []
    for view, found_in_plain in zip(views, found[1:], strict=False):
        if places:
            places = [(places[start][0], places[end - 1][1]) for start, end in _places_of_plain(view)]
            spans = spans + [(places[start][0], places[end - 1][1]) for start, end in found_in_plain]
    return _with_masks(text, spans)


def _with_masks(text: str, spans: list[Span]) -> str:
    pieces, position = [], 0
    for start, end in sorted(spans):
        if start >= position:
            pieces += [text[position:start], MASK]
        position = max(position, end)
    return "".join([*pieces, text[position:]])


def _found(pattern: str, text: str) -> list[Span]:
    """Return where a secret, or a long beginning or end of one, stands in a text of small letters."""
    is_long = len(pattern) >= _CUT_LENGTH
    stem = pattern[:_STEM_LENGTH] if is_long else pattern
    found, start = [], text.find(stem)
    while start >= 0:
        end = start + len(stem)
        while end - start < len(pattern) and text[end : end + 1] == pattern[end - start]:
            end += 1
        if _counts(pattern, text, start, end):
            found.append((start, end))
        start = text.find(stem, end)
    return found + _ends_found(pattern, text) if is_long else found


def _ends_found(pattern: str, text: str) -> list[Span]:
    """Return where a long end of a secret stands; each character of the text is looked at once."""
    stem = pattern[-_STEM_LENGTH:]
    found, read, place = [], 0, text.find(stem)
    while place >= 0:
        start, end = place, place + len(stem)
        while start > read and end - start < len(pattern) and text[start - 1] == pattern[start - end - 1]:
            start -= 1
        while text[start].isspace():
            start += 1  # what is before may be a word of its own, not the scheme
        found.append((start, end))
        read, place = end, text.find(stem, end)
    return found


def _counts(pattern: str, text: str, start: int, end: int) -> bool:
    """Tell whether a place where a secret was found is one of it, and no part of another word."""
    if len(pattern) >= _WORD_LENGTH:
        return True
    if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
        return False
    return len(pattern) >= _SHORT_LENGTH or _BEHIND_SCHEME.search(text[max(start - 20, 0) : start]) is not None


def _plain(text: str) -> str:
    """Undo escapes and other forms of letters, and leave out what is not seen."""
    return _ESCAPE.sub(_unescaped, text)


def _places_of_plain(text: str) -> list[Span]:
    """Return from where to where each character of the plain text was."""
    places: list[Span] = []
    position = 0
    for match in _ESCAPE.finditer(text):
        places.extend((place, place + 1) for place in range(position, match.start()))
        char = _unescaped(match)
        if char == match[0]:
            places.extend((place, place + 1) for place in range(*match.span()))
        else:
            places.extend([match.span()] * len(char))
        position = match.end()
    places.extend((place, place + 1) for place in range(position, len(text)))
    return places


def _unescaped(match: re.Match[str]) -> str:
    code = match["url"] or match["json"] or match["hex"]
    if code:
        return chr(int(code, 16))
    if match["html"]:
        return html.unescape(match["html"])
    return unicodedata.normalize("NFKC", match["wide"]) if match["wide"] else match["quoted"] or ""


@lru_cache(maxsize=_MAX_SECRETS)
def _forms(part: str) -> tuple[str, ...]:
    """Return how one part of a secret is looked for; escapes in it are undone as they are in a text."""
    forms = {part, part.replace(" ", "+")}
    for _ in range(_ESCAPED_TWICE):
        forms |= {_plain(form) for form in forms}
    return tuple(form.translate(_LOWER) for form in forms if form.strip())


def _parts_of(value: str) -> set[str]:
    """Return what of a header's value is secret by itself."""
    value = value.strip()
    match = _SCHEME.fullmatch(value)
    token = match[2].strip() if match else value
    parts = {value, token, *_as_base64(value), *_as_base64(token)}
    for piece in _SEPARATORS.split(token):
        parts |= {part for part in (piece, piece.partition("=")[2].strip("\"'")) if len(part) >= _WORD_LENGTH}
    if match and match[1].lower() == "basic":
        parts |= _of_basic(token)
    return {part for part in parts if part and part != MASK}


def _as_base64(token: str) -> set[str]:
    data = token.encode(errors="surrogateescape")
    encoded = {encode(data).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)}
    return encoded | {text.rstrip("=") for text in encoded}


def _of_basic(token: str) -> set[str]:
    """Return user and password, together and by themselves."""
    try:
        credential = base64.b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        return set()
    user, _, password = credential.partition(":")
    return {credential, user, password}
