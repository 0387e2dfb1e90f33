"""Numbers that come as texts, as TensorRT-LLM's llmapi sends its figures whatever it declares."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from dbt_triton.errors import AnswerError
from dbt_triton.foreign_text import shown_value
from dbt_triton.tensors.datatypes import Datatype

_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)
#: A number as JSON and SQL write it.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = {"nan", "inf", "-inf", "infinity", "-infinity"}
_TRUTH = {"true": True, "false": False}
_LONGEST = 400


def numbers_of_texts(values: Sequence[Any], name: str, datatype: Datatype) -> list[Any]:
    """Read the texts among the values of an output; others stay as they are.

    Args:
        values: the elements.
        name: the output's, for errors.
        datatype: of numbers, or BOOL.

    Raises:
        AnswerError: a text is not one of the datatype; nothing is rounded to a whole number.
    """
    return [_number(value, name, datatype) if isinstance(value, str) else value for value in values]


def _number(text: str, name: str, datatype: Datatype) -> bool | float:
    number = number_of(text, whole=pa.types.is_integer(datatype.arrow), truth=datatype.name == "BOOL")
    if number is None:
        raise AnswerError(f"output {name} holds a text that is not {datatype.name}: {shown_value(text)}")
    return number


def number_of(text: str, *, whole: bool, truth: bool = False) -> bool | float | None:
    """Read a text as a number, or as true or false; None where it is none."""
    word = text.strip()
    if len(word) > _LONGEST:
        return None
    if truth:
        return _TRUTH.get(word.lower())
    if _WHOLE.fullmatch(word):
        return int(word)
    number = _float(word)
    if number is None or not whole:
        return number
    if not math.isfinite(number):
        return None
    exact = Decimal(word)  # as a float, 9007199254740993.0 would be another whole number
    return int(exact) if exact == exact.to_integral_value() else None


def _float(word: str) -> float | None:
    if word.lower() in _NOT_FINITE:
        return float(word)
    number = float(word) if NUMBER.fullmatch(word) else math.inf
    return number if math.isfinite(number) else None
