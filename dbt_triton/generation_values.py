"""Reading what is said to a language model: parameters as JSON or a YAML map, request parameters, stop words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dbt_triton.option_values import is_no_text, json_value, plain_text

#: Parameters of a request that Triton itself reads, or that a request has a place of its own for.
RESERVED = frozenset(
    {
        "binary_data_output",
        "classification",
        "content_type",
        "headers",
        "id",
        "model_name",
        "model_version",
        "parameters",
        "priority",
        "request_id",
        "sequence_end",
        "sequence_id",
        "sequence_start",
        "timeout",
    }
)
_RESERVED_PREFIX = "triton_"
_EXAMPLE = 'write a JSON object such as {"temperature": 0, "max_tokens": 64}, or a YAML map'
#: Parameters that are texts at which an answer ends, or which it must not have.
_WORDS = frozenset({"bad_words", "sampling_param_stop", "stop", "stop_words"})
#: Jinja, by which dbt reads every text of YAML, takes a line feed off its end.
_EMPTY = (
    "a text of it is empty; dbt takes a line feed off the end of a text in YAML: write the list as JSON, '[\"\\n\"]'"
)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
#: From here on Triton makes another number of a whole one (measured).
_MOST = 2**63


def parameters(value: object) -> object:
    """Read parameters: a JSON object, or a YAML map; with whatever JSON has within it."""
    found = {name: _words(content) if name in _WORDS else content for name, content in _object(value).items()}
    for number, (name, content) in enumerate(found.items(), start=1):
        if not isinstance(name, str) or not name:
            raise ValueError(f"the name of parameter {number} must be a text")
        if not _is_json(content):
            raise ValueError(f"the value of {name} is none that JSON has")
        if is_no_text((name, content)):
            raise ValueError(f"parameter {number} holds a NUL or another character that is no text")
        if name in _WORDS and (content == "" or (isinstance(content, list) and "" in content)):
            raise ValueError(f"the value of {name}: {_EMPTY}")
    return found


def _words(value: object) -> object:
    """Return the list that a text is in JSON, as it has to be written in YAML; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            words = json_value(value)
            if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
                return words
    return value


def request_parameters(value: object) -> object:
    """Read the parameters of requests: names and single values, none of them one that Triton keeps for itself."""
    found = _object(value)
    for number, (name, content) in enumerate(found.items(), start=1):
        if not isinstance(name, str) or not name:
            raise ValueError(f"the name of parameter {number} must be a text")
        if name in RESERVED or name.startswith(_RESERVED_PREFIX):
            raise ValueError(f"{name} is reserved: Triton reads it itself, or refuses it{_instead(name)}")
        if not isinstance(content, bool | int | float | str):
            raise ValueError(f"the value of {name} must be a text, a number, true or false: Triton takes nothing else")  # noqa: TRY004 - pydantic reads ValueErrors
        if isinstance(content, str) and is_no_text(content):
            raise ValueError(f"the value of {name} holds a NUL, where Triton would cut it, or no character")
        if isinstance(content, int) and not -_MOST <= content < _MOST:
            raise ValueError(f"the value of {name} has more than 64 bits, which Triton would round")
        if isinstance(content, float) and not math.isfinite(content):
            raise ValueError(f"the value of {name} is no number that JSON has")
    return found


def stop_words(value: object) -> object:
    """Read stop words: as Flink writes them, with commas between them; a JSON array; or YAML's list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_value(value)
        except ValueError as error:
            raise ValueError(f"write texts with commas between them, or a JSON array of texts ({error})") from None
    words = value if isinstance(value, list | tuple) else plain_text(value).split(",")
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError("write texts with commas between them, or a JSON array of texts")
    if "" in words:
        raise ValueError(_EMPTY)
    if is_no_text(words):
        raise ValueError("a text holds a NUL or another character that is no text")
    return list(words)


def decimal(value: object) -> object:
    """Read a number; its range is checked elsewhere."""
    if isinstance(value, bool) or not (isinstance(value, int | float) or _NUMBER.fullmatch(str(value))):
        raise ValueError("write a number")
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError("write a number")
    return number


def response_format(value: object) -> object:
    """Read ``text`` or ``json``, which Flink calls ``json_object``, too."""
    word = value.strip().lower() if isinstance(value, str) else value
    return "json" if word == "json_object" else word


def guided(value: object) -> object:
    """Read ``auto``, ``false``, or the name of vLLM's parameter; YAML's own false, too."""
    if value is False:
        return "false"
    return value.strip().lower() if isinstance(value, str) else value


def _object(value: object) -> Mapping[Any, Any]:
    if isinstance(value, str):
        try:
            value = json_value(value)
        except ValueError as error:
            raise ValueError(f"{_EXAMPLE} ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError(_EXAMPLE)  # noqa: TRY004 - pydantic reads ValueErrors
    return dict(value)


def _is_json(value: object) -> bool:
    """Tell whether JSON has a value, as every reader of it reads it: no NaN, and no key but texts."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return -_MOST <= value < 2 * _MOST
    return value is None or isinstance(value, bool | str)


def _instead(name: str) -> str:
    """Name the option that means what somebody wanted to say."""
    options = {
        "priority": "priority",
        "timeout": "timeout",
        "sequence_id": "sequence-id",
        "sequence_start": "sequence-start",
        "sequence_end": "sequence-end",
        "classification": "classification",
        "headers": "custom-headers",
    }
    return f"; the option {options[name]} is for it" if name in options else ""
