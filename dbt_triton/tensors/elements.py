"""From the elements of a column to those of a tensor and back, exactly or not at all.

Whole Arrow arrays are converted at once. What a value cannot be is told by a mask, so that its row fails alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.arrow_numbers import as_arrow, as_numpy
from dbt_triton.errors import AnswerError
from dbt_triton.tensors.datatypes import Datatype
from dbt_triton.tensors.sql_types import SqlType

Mask = np.ndarray[Any, np.dtype[np.bool_]]

_INT64 = np.iinfo(np.int64)
_INT32 = np.iinfo(np.int32)
_DAY_MICROSECONDS = 86_400_000_000
# ISO 8601 agrees on four digits for a year.
_YEAR_1_DAYS, _YEAR_9999_DAYS = -719_162, 2_932_896
_EXPONENT16 = np.uint32(0x7F800000)
_LOW_LIMB_DIGITS = 18


@dataclass(frozen=True)
class Unfit:
    """Elements that a tensor cannot hold, and why not."""

    mask: Mask
    why: str


def to_tensor(values: pa.Array, sql: SqlType, datatype: Datatype, *, binary: bool) -> tuple[pa.Array, list[Unfit]]:
    """Convert elements without NULLs to those of a tensor.

    Args:
        values: the elements, as DuckDB sends them.
        sql: their type.
        datatype: the tensor's; `dbt_triton.tensors.datatypes.fits` has said that it holds the type.
        binary: for the binary codec; JSON has neither NaN nor Infinity, nor bytes that are not UTF-8.

    Returns:
        The elements as the codec takes them, and those among them that have no form there.
    """
    unfit: list[Unfit] = []
    if datatype.name == "BYTES":
        values = _to_text(values, sql, unfit)
        if not binary and _may_not_be_utf8(values):
            unfit += _not_utf8(values)
        return values, unfit
    if sql.kind == "BLOB":
        values = _of_bytes(values, datatype, unfit, binary=binary)
    else:
        values = _to_number(values, sql, datatype, unfit)
    if not binary and pa.types.is_floating(values.type) and pc.any(pc.invert(pc.is_finite(values))).as_py():
        mask = ~np.isfinite(values.to_numpy(zero_copy_only=False))
        unfit.append(Unfit(mask, "NaN and Infinity have no JSON form; use 'binary-data' = 'true'"))
    return values, unfit


def _of_bytes(values: pa.Array, datatype: Datatype, unfit: list[Unfit], *, binary: bool) -> pa.Array:
    """Check elements that a BLOB holds in the form of the wire."""
    if datatype.name != "BOOL":
        return values
    mask = as_numpy(values) > 1
    if mask.any():
        unfit.append(Unfit(mask, "a byte of it is neither 0 nor 1, which is no BOOL"))
    return values if binary else values.cast(pa.bool_())


def _to_number(values: pa.Array, sql: SqlType, datatype: Datatype, unfit: list[Unfit]) -> pa.Array:
    if datatype.name in {"FP16", "BF16"}:
        numbers = as_numpy(values).astype(np.float32)
        halves = _bfloat16_bits(numbers) if datatype.name == "BF16" else _float16(numbers)
        overflown = _is_infinite(halves) & np.isfinite(numbers)
        if overflown.any():
            unfit.append(Unfit(overflown, f"out of the range of {datatype.name}"))
        return as_arrow(halves)
    if sql.kind == "DECIMAL":
        unscaled = _unscaled(values)
        digits = unscaled / 10.0**sql.scale if datatype.name.startswith("FP") else unscaled
        return as_arrow(digits.astype(datatype.numpy))
    if sql.kind in {"DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}:
        unfit += _infinite_times(values)
        if sql.kind == "DATE":
            values = values.cast(pa.int32())
        return values.cast(datatype.arrow)
    return values if values.type == datatype.arrow else values.cast(datatype.arrow)


def _float16(numbers: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):
        return numbers.astype("<f2")


def _bfloat16_bits(numbers: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, Any]:
    """Round to the nearest bfloat16, ties to even: the upper half of the bits."""
    bits = numbers.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(numbers), quiet_nan, rounded).astype("<u2")


def nearest(numbers: np.ndarray[Any, np.dtype[np.float64]], datatype: Datatype) -> np.ndarray[Any, Any]:
    """Return the number of a floating-point datatype that is nearest to each, infinite where it is out of range."""
    if datatype.name == "FP64":
        return numbers
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    if datatype.name == "FP16":
        return _float16(single).astype(np.float32)
    if datatype.name == "BF16":
        return (_bfloat16_bits(single).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return single


def _is_infinite(halves: np.ndarray[Any, Any]) -> Mask:
    if halves.dtype.kind == "f":
        infinite: Mask = np.isinf(halves)
        return infinite
    mask: Mask = (halves & 0x7FFF) == (_EXPONENT16 >> 16)
    return mask


def _unscaled(values: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a DECIMAL's digits without the point; those of up to 18 digits are the low half of its 128 bits."""
    assert values.type.precision <= _LOW_LIMB_DIGITS  # noqa: S101 - more digits fit no number
    values = values.cast(pa.decimal128(values.type.precision, values.type.scale))
    limbs = np.frombuffer(values.buffers()[1], dtype="<i8")[2 * values.offset :]
    return limbs[: 2 * len(values) : 2]


def _infinite_times(values: pa.Array) -> list[Unfit]:
    """Find DuckDB's infinity, which is the last and the first number of its type."""
    if pa.types.is_date(values.type):
        numbers, last = as_numpy(values.cast(pa.int32())), int(_INT32.max)
    else:
        numbers, last = as_numpy(values.cast(pa.int64())), int(_INT64.max)
    mask = (numbers == last) | (numbers <= -last)
    return [Unfit(mask, "infinity has no form as a tensor")] if mask.any() else []


def _to_text(values: pa.Array, sql: SqlType, unfit: list[Unfit]) -> pa.Array:
    if sql.kind in {"VARCHAR", "JSON", "BLOB"}:
        return values
    if sql.kind == "DECIMAL":
        return values.cast(pa.large_string())
    unfit += _without_iso_form(values)
    if unfit:
        good = pa.array(~unfit[-1].mask)
        values = pc.if_else(good, values, pa.scalar(0, pa.int64()).cast(_integer_like(values)).cast(values.type))
    if sql.kind == "TIMESTAMPTZ":
        values = values.cast(pa.timestamp("us", "UTC"))
    text = values.cast(pa.large_string())
    return pc.replace_substring(text, " ", "T", max_replacements=1) if pa.types.is_timestamp(values.type) else text


def _integer_like(values: pa.Array) -> pa.DataType:
    return pa.int32() if pa.types.is_date(values.type) else pa.int64()


def _without_iso_form(values: pa.Array) -> list[Unfit]:
    numbers = as_numpy(values.cast(_integer_like(values)))
    if pa.types.is_time(values.type):
        mask = (numbers < 0) | (numbers >= _DAY_MICROSECONDS)
        return [Unfit(mask, "24:00:00 is no time of a day")] if mask.any() else []
    unit = 1 if pa.types.is_date(values.type) else _DAY_MICROSECONDS
    mask = (numbers < _YEAR_1_DAYS * unit) | (numbers >= (_YEAR_9999_DAYS + 1) * unit)
    return [Unfit(mask, "a year before 1 or after 9999 has no ISO 8601 text")] if mask.any() else []


def _may_not_be_utf8(values: pa.Array) -> bool:
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        return False
    try:
        values.cast(pa.large_string())
    except pa.ArrowInvalid:
        return True
    return False


def _not_utf8(values: pa.Array) -> list[Unfit]:
    mask = np.array([not _is_utf8(value.as_buffer()) for value in values], dtype=bool)
    return [Unfit(mask, "bytes that are not UTF-8 have no JSON form; use 'binary-data' = 'true'")]


def _is_utf8(buffer: pa.Buffer) -> bool:
    try:
        str(memoryview(buffer), "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def from_tensor(values: pa.Array, sql: SqlType, name: str) -> pa.Array:
    """Convert the elements of an output to those of its column.

    Args:
        values: numbers, or large_binary for BYTES.
        sql: the column's type.
        name: the output's name, for errors.

    Raises:
        AnswerError: a value is not one of the type; nothing is rounded.
    """
    try:
        if pa.types.is_large_binary(values.type):
            return _from_text(values, sql)
        if sql.kind == "DECIMAL" and pa.types.is_floating(values.type):
            return _decimals(values.to_numpy(zero_copy_only=False), sql)
        if sql.kind in {"DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}:
            return _from_epoch(values, sql)
        return values if values.type == sql.arrow_element else values.cast(sql.arrow_element)
    except (pa.ArrowInvalid, orjson.JSONDecodeError) as error:
        text = str(error).split(" Input", maxsplit=1)[0]
        advice = "; declare it as BYTES" if sql.kind == "VARCHAR" else ""
        why = "holds bytes that are not UTF-8" if sql.kind == "VARCHAR" else f"holds a value that is no {sql.name}"
        raise AnswerError(f"output {name} {why}{advice or f': {text}'}") from None


def _from_text(values: pa.Array, sql: SqlType) -> pa.Array:
    if sql.kind == "BLOB":
        return values
    text = _as_text(values)
    if sql.kind == "JSON":
        _check_json(text)
        return text
    if sql.kind == "TIME":
        # Arrow reads no times, but timestamps.
        day = pc.binary_join_element_wise(pa.scalar("1970-01-01T", text.type), text, pa.scalar("", text.type))
        return day.cast(pa.timestamp("us")).cast(pa.int64()).cast(sql.arrow_element)
    return text if sql.kind == "VARCHAR" else text.cast(sql.arrow_element)


def _as_text(values: pa.Array) -> pa.Array:
    """Check that bytes are UTF-8; where all of them are ASCII, as most are, that takes one look."""
    _, offsets, data = values.buffers()
    if data is None or np.frombuffer(data, dtype=np.int8).min(initial=0) < 0:
        return values.cast(pa.large_string())
    return pa.Array.from_buffers(pa.large_string(), len(values), [None, offsets, data], offset=values.offset)


def _check_json(text: pa.Array) -> None:
    """Check that every text is JSON: DuckDB would fail the whole insert for one that is not."""
    one_row = pa.LargeListArray.from_arrays(pa.array([0, len(text)], pa.int64()), text)
    joined = pc.binary_join(one_row, pa.scalar(",", pa.large_string()))[0].as_buffer()
    if len(orjson.loads(b"[" + memoryview(joined) + b"]")) != len(text):
        raise pa.ArrowInvalid("not one JSON value")


def _from_epoch(values: pa.Array, sql: SqlType) -> pa.Array:
    numbers = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if sql.kind == "TIME" and ((numbers < 0) | (numbers >= _DAY_MICROSECONDS)).any():
        raise pa.ArrowInvalid("microseconds since midnight must be from 0 to 86,399,999,999")
    limit = _INT32.max if sql.kind == "DATE" else _INT64.max
    if ((numbers >= limit) | (numbers <= -limit)).any():
        raise pa.ArrowInvalid("out of range")
    narrow = values.cast(pa.int32()) if sql.kind == "DATE" else values.cast(pa.int64())
    return narrow.cast(sql.arrow_element)


def _decimals(numbers: np.ndarray[Any, Any], sql: SqlType) -> pa.Array:
    """Make DECIMALs of floating-point numbers that are the nearest to them."""
    with np.errstate(over="ignore", invalid="ignore"):
        digits = np.rint(numbers.astype(np.float64) * 10.0**sql.scale)
        # 0.1 as FP32 is the nearest FP32 to the decimal 0.1, so it is exactly that decimal's number.
        exact = (np.abs(digits) < 10.0**sql.precision) & ((digits / 10.0**sql.scale).astype(numbers.dtype) == numbers)
    if not exact.all():
        raise pa.ArrowInvalid(f"{numbers[~exact][0]} would be rounded")
    low = digits.astype(np.int64)
    limbs = np.empty(2 * len(low), dtype="<i8")
    limbs[::2], limbs[1::2] = low, low >> 63
    return pa.Array.from_buffers(sql.arrow_element, len(low), [None, pa.py_buffer(limbs)])
