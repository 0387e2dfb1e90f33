"""Structured output: the text of an answer is a JSON object, whose keys are columns.

It is read after the answers were decoded. A row whose text is none, or holds a value that is not of its column's type,
fails by itself; the others are not touched, and no prompt is sent again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.foreign_text import NAME_LENGTH, shown, shown_value
from dbt_triton.tensors.arrays import Integers
from dbt_triton.tensors.exact_json import TwiceError, write_json
from dbt_triton.tensors.generation import AnswerColumn, Json, Structured
from dbt_triton.tensors.json_text import read_json
from dbt_triton.tensors.number_texts import NUMBER, number_of
from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType

_SHOWN = 200
#: So many keys of an object are shown.
_KEYS = 10
#: More white space at the end of a text than anybody writes.
_LOOP = 32
_FLOATS = {"FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"}
_SIGNIFICANT_BITS = {"FLOAT": 24, "DOUBLE": 53}
#: More digits than any DECIMAL, and any number that is to be rounded to one.
_DIGITS = Context(prec=1000)
#: More digits of a second than a column holds. Python reads a comma before them, too, and drops the rest.
_TOO_FINE = re.compile(r"[.,]\d{7}")


@dataclass(frozen=True)
class Parsed:
    """The columns of OUTPUT of some rows.

    Args:
        columns: of the rows that are whole, in the order of OUTPUT.
        whole: the places of these rows; None for all.
        failed: why another row failed, by its place.
    """

    columns: list[pa.Array]
    whole: Integers | None
    failed: dict[int, str]


class _UnfitError(Exception):
    """A text, or a value of it, is not what OUTPUT declares."""


def parse_texts(outputs: Sequence[pa.Array], structured: Structured) -> Parsed:
    """Make the columns of OUTPUT of decoded outputs.

    Args:
        outputs: the tensors that were asked for, decoded.
        structured: which columns are keys of which text.
    """
    keys = [column for column in structured.columns if column.output is None]
    reads = [(column, _converter(column.type)) for column in keys if column.type is not None]
    values: list[list[Any]] = [[] for _ in reads]
    failed: dict[int, str] = {}
    reasons = None if structured.finish_reason is None else outputs[structured.finish_reason].to_pylist()
    for place, text in enumerate(outputs[structured.text].to_pylist()):
        try:
            found = _object(text, None if reasons is None else reasons[place])
            found = _by_column(found, keys)
            row = [_value(found, column, convert) for column, convert in reads]
        except _UnfitError as error:
            failed[place] = str(error)
            continue
        for one, column_values in zip(row, values, strict=True):
            column_values.append(one)
    whole = np.array([at for at in range(len(outputs[structured.text])) if at not in failed], dtype=np.int64)
    made = {
        id(column): pa.array(of_rows, _arrow_type(column.type))
        for (column, _), of_rows in zip(reads, values, strict=True)
        if column.type is not None
    }
    columns = [
        made[id(column)]
        if column.output is None
        else outputs[column.output].take(pa.array(whole))
        if failed
        else outputs[column.output]
        for column in structured.columns
    ]
    return Parsed(columns, whole if failed else None, failed)


def _object(text: Json, finish_reason: Json) -> dict[str, Json]:
    """Read a text as a JSON object."""
    if not isinstance(text, str):
        raise _UnfitError(f"the answer is no text that could be JSON: {shown_value(text)}")
    try:
        value = read_json(text)
    except TwiceError as error:
        raise _UnfitError(
            f"the text of the answer says one thing twice: {error}. It is: {shown(text, _SHOWN)}"
        ) from None
    except ValueError as error:
        raise _UnfitError(_no_json(text, f"is not JSON ({error})", finish_reason)) from None
    if not isinstance(value, dict):
        raise _UnfitError(_no_json(text, "is JSON, but no object", finish_reason))
    return value


def _by_column(found: dict[str, Json], keys: Sequence[AnswerColumn]) -> dict[str, Json]:
    """Return the values of an object by the names of their columns: whatever the case, as everywhere in SQL."""
    names = [column.key or "" for column in keys]
    if found.keys() >= set(names):
        return found
    lower: dict[str, list[str]] = {}
    for key in found:
        lower.setdefault(key.lower(), []).append(key)
    named = {name: [name] if name in found else lower.get(name.lower(), []) for name in names}
    if found and not any(named.values()):
        wanted, there = ", ".join(names), ", ".join(shown(key, NAME_LENGTH) for key in list(found)[:_KEYS])
        raise _UnfitError(f"the text of the answer has none of the keys {wanted}; it has {shown(there, _SHOWN)}")
    return {name: found[alike[0]] for name, alike in named.items() if len(alike) == 1}


def _no_json(text: str, what: str, finish_reason: Json) -> str:
    reason = finish_reason[0] if isinstance(finish_reason, list) and finish_reason else finish_reason
    why, white = "", len(text) - len(text.rstrip())
    if reason == "length" and white > _LOOP:
        why = (
            f", since the model wrote {white:,} characters of white space until max_tokens ended it (finish_reason "
            "length): say in the prompt that the answer is to be JSON, and with which keys"
        )
    elif reason == "length":
        why = ", since it was cut off by max_tokens (finish_reason length): raise max_tokens"
    elif isinstance(reason, str):
        why = f" (finish_reason {shown(reason, NAME_LENGTH)})"
    return f"the text of the answer {what}{why}. It is: {shown(text.strip(), _SHOWN) or '(empty)'}"


def _value(found: dict[str, Json], column: AnswerColumn, convert: Callable[[Json], object]) -> object:
    """Return the value of a column; None where the key is missing, or null."""
    value = found.get(column.key or "")
    if value is None:
        return None
    try:
        return convert(value)
    except (ValueError, OverflowError, InvalidOperation) as error:
        kind = column.type.name if column.type is not None else ""
        said = f"; {error}" if isinstance(error, _NotOfTypeError) and str(error) else ""
        key = shown(column.key or "", NAME_LENGTH)
        raise _UnfitError(f"{key} of the answer's text is no {kind}: it is {_shown(value)}{said}") from None


def _shown(value: Json) -> str:
    try:
        return shown(write_json(value), NAME_LENGTH)
    except ValueError:
        return shown_value(value) if isinstance(value, str) else "a deeply nested value"


class _NotOfTypeError(ValueError):
    """A value is not of its column's type; the text is a reason that the value does not show."""


def _converter(sql: SqlType) -> Callable[[Json], object]:
    """Return what makes a value of a type, for Arrow, of a value of JSON; it raises ValueError for any other value."""
    if sql.dims:
        size, inner = sql.dims[0], _converter(SqlType(sql.kind, sql.dims[1:], sql.precision, sql.scale))
        return lambda value: _array(value, size, inner)
    if sql.kind in INTEGER_BITS:
        return lambda value: _whole(value, sql.kind)
    if sql.kind in _FLOATS:
        return lambda value: _floating(value, sql.kind)
    if sql.kind == "DECIMAL":
        return lambda value: _decimal(value, sql)
    return _OF_KIND[sql.kind]


def _array(value: Json, size: int | None, inner: Callable[[Json], object]) -> list[object]:
    if not isinstance(value, list):
        raise _NotOfTypeError("it is no array")
    if size is not None and len(value) != size:
        raise _NotOfTypeError(f"the array has {len(value)} elements")
    if None in value:
        raise _NotOfTypeError("an element is null")
    return [inner(one) for one in value]


def _number(value: Json, *, whole: bool) -> float | Decimal:
    """Read a number, or a text that is one."""
    if isinstance(value, str):
        value = number_of(value, whole=whole)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return value
    raise _NotOfTypeError


def _whole(value: Json, kind: str) -> int:
    number = _number(value, whole=True)
    signed, bits = INTEGER_BITS[kind]
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if not least <= number <= most:
        raise _NotOfTypeError("it is out of range" if math.isfinite(number) else "it is no whole number")
    if number != int(number):
        raise _NotOfTypeError("it is no whole number")
    return int(number)


def _floating(value: Json, kind: str) -> float:
    number = _number(value, whole=False)
    is_whole = _is_whole(number)
    with np.errstate(over="ignore"):
        held = float(np.float32(float(number))) if kind != "DOUBLE" else float(number)
    if math.isinf(held) and not math.isinf(number):
        raise _NotOfTypeError("it is out of range")
    if is_whole and held != number:
        bits = _SIGNIFICANT_BITS["DOUBLE" if kind == "DOUBLE" else "FLOAT"]
        raise _NotOfTypeError(f"it is a whole number of more than {bits} bits")
    return held


def _is_whole(number: float | Decimal) -> bool:
    """Tell whether a number is written as a whole one."""
    return isinstance(number, int) or (isinstance(number, Decimal) and number.as_tuple().exponent == 0)


def _decimal(value: Json, sql: SqlType) -> Decimal:
    text = value.strip() if isinstance(value, str) else str(_number(value, whole=False))
    if NUMBER.fullmatch(text) is None:  # Decimal itself takes 1_000, NaN, and the digits of every script
        raise _NotOfTypeError
    number = Decimal(text)
    if not number.is_finite():
        raise _NotOfTypeError
    if number.adjusted() >= sql.precision:
        raise _NotOfTypeError("it is out of range")
    digits = number.quantize(Decimal(1).scaleb(-sql.scale), context=_DIGITS)
    if digits != number:
        raise _NotOfTypeError("it would be rounded")
    if len(digits.as_tuple().digits) > sql.precision:
        raise _NotOfTypeError("it is out of range")
    return digits


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise _NotOfTypeError
    return value


def _json(value: Json) -> str:
    try:
        return write_json(value)
    except ValueError as error:
        raise _NotOfTypeError(str(error)) from None


def _truth(value: Json) -> bool:
    if isinstance(value, str):
        value = number_of(value, whole=False, truth=True)
    if not isinstance(value, bool):
        raise _NotOfTypeError
    return value


def _fine(value: Json) -> str:
    text = _text(value).strip()
    if _TOO_FINE.search(text):
        raise _NotOfTypeError("it has more than microseconds")
    return text


def _time(value: Json) -> time:
    found = time.fromisoformat(_fine(value))
    if found.tzinfo is not None:
        raise _NotOfTypeError("it has a time zone")
    return found


def _timestamp(value: Json, *, zoned: bool) -> datetime:
    found = datetime.fromisoformat(_fine(value))
    if (found.tzinfo is not None) != zoned:
        raise _NotOfTypeError("it has no time zone" if zoned else "it has a time zone")
    return found


_OF_KIND: dict[str, Callable[[Json], object]] = {
    "BOOLEAN": _truth,
    "VARCHAR": _text,
    "JSON": _json,
    "BLOB": lambda value: _text(value).encode(),
    "DATE": lambda value: date.fromisoformat(_text(value).strip()),
    "TIME": _time,
    "TIMESTAMP": lambda value: _timestamp(value, zoned=False),
    "TIMESTAMPTZ": lambda value: _timestamp(value, zoned=True),
}


def _arrow_type(sql: SqlType | None) -> pa.DataType:
    """Return the Arrow type of a column, as answers are decoded to it."""
    assert sql is not None  # noqa: S101 - a key has a type
    kind = sql.arrow_element
    for size in reversed(sql.in_tables.dims):
        kind = pa.large_list(kind) if size is None else pa.list_(kind, size)
    return kind
