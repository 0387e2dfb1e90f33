"""The JSON object that the text of an answer is, or is wrapped around, with its numbers as they are written.

Models put JSON into a block of code, and those that reason put their thoughts before it. A text is unwrapped only where
it is no JSON as it stands, and all that is left must be JSON: nothing is looked for within prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from decimal import Decimal

import orjson

from dbt_triton.tensors.generation import Json

_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
#: A fence of a block of code, and what stands behind it in its line.
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*[\w+.-]*")
#: A number that a double may not hold, or a text that looks like one, which does no harm.
_LONG = re.compile(r"[0-9][0-9.]{15}")


def read_json(text: str) -> Json:
    """Read a text as JSON; a number that a double, or 64 bits, do not hold as it is written is a `Decimal`.

    Raises:
        ValueError: the text is no JSON, and wraps none.
    """
    try:
        return _exactly(text)
    except ValueError as error:
        for unwrapped in _unwrapped(text):
            try:
                return _exactly(unwrapped)
            except ValueError:
                continue
        raise error from None


def write_json(value: Json) -> str:
    """Write a value of `read_json` as JSON.

    Raises:
        ValueError: it is nested too deeply.
    """
    try:
        return orjson.dumps(value, default=_digits).decode()
    except TypeError:
        raise ValueError("it is nested too deeply") from None


def _exactly(text: str) -> Json:
    value = orjson.loads(text)
    if _LONG.search(text) is None:
        return value
    try:
        return json.loads(text, parse_float=Decimal, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _whole(text: str) -> int | Decimal:
    number = int(text)
    return number if -(2**63) <= number < 2**64 else Decimal(text)


def _digits(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError


def _unwrapped(text: str) -> Generator[str]:
    """Give what is behind the thoughts of a model, and what is within a block of code."""
    thoughts = list(_THOUGHT.finditer(text))
    if thoughts:
        text = text[thoughts[-1].end() :]
        yield text
    text = text.strip()
    fence = _FENCE.match(text)
    if fence is not None:
        # The second fence is missing where it was given as a stop word.
        yield text[fence.end() :].removesuffix(fence[1])
