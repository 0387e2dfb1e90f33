"""Which keys an error may repeat.

A key can be a secret: where key and value are swapped, a quote or a comma is missing, or a map has lost one of its
texts. So an error repeats what is spelled like an option, and says where the rest stands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

_NEAR = 0.75
_GUESS = 0.5
#: No secret is so short.
_SHORT = re.compile(r"[A-Za-z0-9]")
_LIKE_A_NAME = re.compile(r"[A-Za-z]+(?:[-_.][A-Za-z]+)*")
_LONGEST_NAME = 40
_WORDS = re.compile(r"[a-z]+(?:[-_.][a-z]+)?")
_LONGEST_WORDS = 16
_LIKE_A_SECRET = re.compile(r"secret|token|bearer|pass|pwd|key|auth")


def nearest(key: str, known: Collection[str], cutoff: float = _GUESS) -> str | None:
    """Return the known option whose name is nearest to a key."""
    if len(key) > _LONGEST_NAME:  # comparing costs the product of the lengths
        return None
    near = difflib.get_close_matches(key.lower().replace("_", "-"), known, n=1, cutoff=cutoff)
    return near[0] if near else None


def is_like_an_option(key: str, known: Collection[str]) -> bool:
    """Tell whether a text is an option's name, or one that is misspelt, whatever stands beside it."""
    if key in known or _SHORT.fullmatch(key):
        return True
    return bool(_LIKE_A_NAME.fullmatch(key)) and nearest(key, known, _NEAR) is not None


def is_no_secret(key: str, known: Collection[str]) -> bool:
    """Tell whether a key that has a value beside it may be repeated: an option's name, or a plain word or two."""
    if is_like_an_option(key, known):
        return True
    return len(key) <= _LONGEST_WORDS and bool(_WORDS.fullmatch(key)) and not _LIKE_A_SECRET.search(key)
