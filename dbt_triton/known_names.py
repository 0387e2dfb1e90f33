"""Names in messages: the one that a mistyped name is nearly like, and lists of them, which may be thousands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

from dbt_triton.foreign_text import NAME_LENGTH, shown

#: A message lists so many names, and says how many more there are.
MOST_LISTED = 20
#: A message is worth so many comparisons of two names; each takes some microseconds.
MOST_COMPARED = 10_000
#: A word is taken for another one if it is at least so much like it, of 1.
_ALIKE = 0.6
#: Of so many characters, it may be a part of it.
_PART = 3


def listed_names(names: Iterable[str], most: int = MOST_LISTED) -> str:
    """Return names with commas between them, and of many the first ones and how many more there are."""
    every = list(names)
    first = ", ".join(every[:most])
    return first if len(every) <= most else f"{first} and {len(every) - most:,} more"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a question that names what a name is nearly like, or a part of; an empty text where nothing is."""
    near = nearest_name(name, known)
    return f"; did you mean {shown(near, NAME_LENGTH)}?" if near else ""


def nearest_name(name: str, known: Sequence[str]) -> str | None:
    """Return what a name is nearly like, or the only one that it is a part of."""
    by_name = {one.lower()[:NAME_LENGTH]: one for one in islice(known, MOST_COMPARED)}
    wanted = name.lower()[:NAME_LENGTH]
    near = difflib.get_close_matches(wanted, by_name, n=1, cutoff=_ALIKE)
    parts = [one for one in by_name if min(len(wanted), len(one)) >= _PART and (wanted in one or one in wanted)]
    return by_name[near[0]] if near else by_name[parts[0]] if len(parts) == 1 else None
