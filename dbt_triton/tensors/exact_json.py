"""JSON that a model wrote, with every digit of its numbers, and no key twice.

orjson reads a number as the nearest float, and of a key that stands twice the last value. What it reads is exact where
no number is long and no key is missing; else the text is read again, slower, with what is long as a Decimal.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.tensors.generation import Json

#: A number of up to fifteen digits is the one decimal of so few digits that is nearest to its float.
_MAY_BE_LONG = re.compile(r"\d[\d.]{15}|[eE]-\d{3}")
_MAY_BE_KEY = re.compile(r'"\s*:')
_SHORT_DIGITS = 18


class TwiceError(ValueError):
    """An object has a key twice."""


def read_json(text: str) -> Json:
    """Read JSON. A number that a float would round is a Decimal.

    Raises:
        TwiceError: an object has a key twice, so that it does not say what its value is.
        ValueError: the text is no JSON.
    """
    value = orjson.loads(text)
    if _MAY_BE_LONG.search(text) is None and sum(1 for _ in _MAY_BE_KEY.finditer(text)) <= sum(_keys(value)):
        return value
    try:
        return json.loads(text, parse_float=Decimal, parse_int=_whole, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_json(value: Json) -> str:
    """Write a value that `read_json` has read, with every digit.

    Raises:
        ValueError: it is nested too deeply.
    """
    try:
        return orjson.dumps(value, default=_digits).decode()
    except TypeError:
        raise ValueError("it is nested too deeply") from None


def _keys(value: Json) -> Iterator[int]:
    """Yield how many keys each object within a value has."""
    levels = [value]
    while levels:
        level = levels.pop()
        if isinstance(level, dict):
            yield len(level)
            levels += level.values()
        elif isinstance(level, list):
            levels += level


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _SHORT_DIGITS else _short(Decimal(digits))


def _short(number: Decimal) -> int | Decimal:
    """Return an int where JSON libraries have one: `int` of any digits would take its time."""
    return int(number) if -(2**63) <= number < 2**64 else number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise TwiceError(f"it has the key {shown(twice, NAME_LENGTH)} twice")
    return found


def _digits(value: object) -> orjson.Fragment:
    if not isinstance(value, Decimal):
        raise TypeError
    return orjson.Fragment(str(value))
