"""The JSON object that the text of an answer is, or is wrapped around, with its numbers as they are written.

Models put JSON into a block of code, and those that reason put their thoughts before it. A text is unwrapped only where
it is no JSON as it stands, and all that is left must be JSON: nothing is looked for within prose.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from itertools import chain

from dbt_triton.tensors import exact_json
from dbt_triton.tensors.exact_json import TwiceError
from dbt_triton.tensors.generation import Json

_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
#: A fence of a block of code, and what stands behind it in its line.
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*[\w+.-]*")


def read_json(text: str) -> Json:
    """Read a text as JSON; see `exact_json.read_json`.

    Raises:
        TwiceError: an object has a key twice.
        ValueError: the text is no JSON, and wraps none.
    """
    refused: list[ValueError] = []
    for candidate in chain([text], _unwrapped(text)):
        try:
            return exact_json.read_json(candidate)
        except TwiceError:
            raise
        except ValueError as error:
            refused.append(error)
    raise refused[0] from None


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
