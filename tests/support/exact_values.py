"""What a value is as another type, computed with Python's exact numbers: the oracle of tests/unit/test_values.py."""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from dbt_triton.tensors import SqlType
from dbt_triton.tensors.sql_types import INTEGER_BITS

#: The value is none of the type.
REFUSED = object()
#: No value of the one type is one of the other: an error when the model is planned.
NO_PAIR = object()
#: Bits of the significand, the smallest exponent of a normal number, the largest exponent.
FORMATS = {
    "FLOAT16": (11, -14, 15),
    "BFLOAT16": (8, -126, 127),
    "FLOAT": (24, -126, 127),
    "DOUBLE": (53, -1022, 1023),
}
_NUMBER = re.compile(r"[ \t\n\r\f\v]*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?[ \t\n\r\f\v]*", flags=re.ASCII | re.IGNORECASE)
_INTEGER_IN_CODE = re.compile(r"0x[0-9a-f]+|0b[01]+", flags=re.IGNORECASE)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a TIMESTAMP has no zone


def nearest(number: Fraction, kind: str) -> Any:
    """Return the nearest number of a binary format, ties to even; refused if that is infinity."""
    digits, lowest, highest = FORMATS[kind]
    if number == 0:
        return 0.0
    size = abs(number)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, lowest) - digits + 1)
    rounded = round(size / unit) * unit  # of a Fraction: ties to even
    if rounded >= Fraction(2) ** (highest + 1):
        return REFUSED
    return math.copysign(float(rounded), number)


def as_declared(source: str, value: Any, declared: SqlType) -> Any:
    """Return what is sent of a value: a value of Python, REFUSED, NO_PAIR, or None where only DuckDB knows it.

    Args:
        source: DuckDB's type of the value.
        value: in Python.
        declared: the type in INPUT, without arrays.
    """
    if source in {"VARCHAR", "JSON", "BLOB"} or source.startswith("ENUM"):
        return _of_text(source, value, declared)
    if isinstance(value, bool | int | float | Decimal):
        return _of_number(source, value, declared)
    return _of_time(value, declared)


def _of_number(source: str, value: Any, declared: SqlType) -> Any:
    kind = declared.kind
    if kind in {"VARCHAR", "JSON", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}:
        if kind == "JSON" and isinstance(value, float) and not math.isfinite(value):
            return REFUSED
        return shown(source, value) if kind in {"VARCHAR", "JSON"} else NO_PAIR
    if isinstance(value, float) and (not math.isfinite(value) or (value == 0 and kind in FORMATS)):
        return value if kind in FORMATS else REFUSED
    decimal = shown(source, value) if kind == "DECIMAL" and isinstance(value, float) else value
    return _number(Fraction(decimal), declared)


def shown(source: str, value: Any) -> Any:
    """Return the text that DuckDB's cast makes; None where only DuckDB knows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(np.float32(value)) if source == "FLOAT" else repr(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _number(number: Fraction, declared: SqlType) -> Any:
    kind = declared.kind
    if kind in FORMATS:
        return nearest(number, kind)
    if kind == "BOOLEAN":
        return bool(number) if number in {0, 1} else REFUSED
    if kind == "DECIMAL":
        digits = number * 10**declared.scale
        fits = digits.denominator == 1 and abs(digits) < 10**declared.precision
        return Decimal(f"{digits.numerator}E-{declared.scale}") if fits else REFUSED
    signed, bits = INTEGER_BITS[kind]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return int(number) if number.denominator == 1 and low <= number <= high else REFUSED


def _of_text(source: str, value: Any, declared: SqlType) -> Any:  # noqa: PLR0911 - one a kind
    kind = declared.kind
    if source == "BLOB":
        if kind == "BLOB":
            return value
        if kind != "VARCHAR":
            return None if kind == "JSON" else NO_PAIR
        try:
            return value.decode()
        except UnicodeDecodeError:
            return REFUSED
    if kind in {"VARCHAR", "BLOB"}:
        return value.encode() if kind == "BLOB" else value
    if kind in FORMATS or kind == "DECIMAL" or kind in INTEGER_BITS:
        return _number_in_text(value, declared)
    return None


def _number_in_text(text: str, declared: SqlType) -> Any:
    text = re.sub(r"(?<=\d)_(?=\d)", "", text)
    if declared.kind in INTEGER_BITS and _INTEGER_IN_CODE.fullmatch(text):
        return _number(Fraction(int(text, 0)), declared)
    if not _NUMBER.fullmatch(text):
        special = declared.kind in FORMATS and text.strip().lower() in {"nan", "inf", "-inf", "infinity", "-infinity"}
        return float(text) if special else REFUSED
    number = Fraction(Decimal(text.strip()))
    if declared.kind in {"FLOAT16", "BFLOAT16"}:
        # A text is the nearest DOUBLE first.
        double = nearest(number, "DOUBLE")
        if double is REFUSED:
            return REFUSED
        number = Fraction(double)
    sent = _number(number, declared)
    return -0.0 if sent == 0 and declared.kind in FORMATS and text.strip().startswith("-") else sent


def _of_time(value: Any, declared: SqlType) -> Any:  # noqa: PLR0911 - one a kind
    kind = declared.kind
    if kind in {"VARCHAR", "JSON"}:
        return None
    if isinstance(value, dt.time):
        return value if kind == "TIME" else NO_PAIR
    if isinstance(value, dt.datetime):
        if kind == "DATE":
            return value.date() if value.time() == dt.time() else REFUSED
        return microseconds(value) if kind in {"TIMESTAMP", "TIMESTAMPTZ"} else NO_PAIR
    if isinstance(value, dt.date):
        if kind in {"TIMESTAMP", "TIMESTAMPTZ"}:
            return microseconds(dt.datetime.combine(value, dt.time()))
        return value if kind == "DATE" else NO_PAIR
    return NO_PAIR


def microseconds(moment: dt.datetime) -> int:
    """Return the microseconds since 1970; UTC where it has no zone."""
    return (moment.replace(tzinfo=None) - (moment.utcoffset() or dt.timedelta()) - _EPOCH) // dt.timedelta(
        microseconds=1
    )


def bits(value: float) -> bytes:
    """Return the bits of a number; all NaN are one."""
    return b"nan" if math.isnan(value) else struct.pack("<d", value)
