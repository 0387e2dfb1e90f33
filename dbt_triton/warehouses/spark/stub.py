"""The stub: predictions without a server, the same for the same inputs on every machine.

A value is derived from a hash of the row's inputs and the name of the OUTPUT column, or chosen by that hash from the
values of ``stub.<column>``. NULL inputs predict NULL, as with a server. The hash is that of DuckDB's stub, so a test of
a pipeline that runs on DuckDB sees the same predictions; but for inputs of which the two write other texts, such as
large floating-point numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.tensors.sql_types import INTEGER_BITS, SqlType
from dbt_triton.warehouses.spark.expressions import bound
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.literals import text_literal
from dbt_triton.warehouses.spark.type_names import type_name
from dbt_triton.warehouses.spark.typed_values import typed

#: Elements of an array whose length is not declared.
ARRAY_LENGTH = 3
_HALF = 2**64
#: So many hexadecimal digits make a piece of the hash, and so many decimal ones a piece of its number.
_LIMB = 8
_DECIMALS = 19
_WIDE = "DECIMAL(38,0)"


def stub_values(model: InferenceModel, column: TypedColumn) -> Sequence[str]:
    """Return the values that the user lets the stub choose from for an OUTPUT column; often none."""
    by_column = {name.lower(): values for name, values in model.options.stubs.items()}
    return by_column.get(column.name.lower(), [])


def stub_key(keys: Sequence[str]) -> str:
    """Return the SQL of the text of a row's key: the number that the MD5 of its inputs is. NULL if one of them is."""
    key = keys[0] if len(keys) == 1 else _joined(keys)
    hashed = _backwards(f"md5(cast({key} as binary))", 16)
    return bound(hashed, "dbt_triton_md5", _decimal)


def stub_expression(model: InferenceModel, column: TypedColumn, key: str, features: Features) -> str:
    """Return the SQL of what the stub predicts for an OUTPUT column.

    Args:
        model: the inference model.
        column: one of its OUTPUT columns.
        key: the SQL of a column with `stub_key`; where it is NULL the prediction is NULL.
        features: of the session's Spark.
    """
    seed = f"concat({key}, {text_literal(':' + column.name.lower())})"
    values = stub_values(model, column)
    if values:
        choice = ", ".join(typed(value, column.type, features) for value in values)
        made = f"element_at(array({choice}), cast(1 + {_number(seed, len(values))} as int))"
    else:
        made = _value(column.type, seed, features, depth=0)
    return f"case when {key} is not null then {made} end"


def _joined(keys: Sequence[str]) -> str:
    texts = (f"octet_length({key}), ':', cast({key} as string)" for key in keys)
    return f"concat({', '.join(texts)})"


def _value(kind: SqlType, seed: str, features: Features, *, depth: int) -> str:
    """Return the SQL of a value of a type, from the SQL of a text."""
    if len(kind.dims) > depth:
        position = f"dbt_triton_position_{depth}"
        element = _value(kind, f"concat({seed}, ':', {position})", features, depth=depth + 1)
        length = kind.dims[depth] or ARRAY_LENGTH
        return f"transform(sequence(0, {length - 1}), {position} -> {element})"
    text = f"concat('stub-', left(md5(cast({seed} as binary)), 8))"
    if kind.kind in INTEGER_BITS:
        made = _number(seed, 100)
    elif kind.kind in {"FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"}:
        made = f"cast({_number(seed, 1_000_000)} as double) / 1000000D"
    elif kind.kind == "DECIMAL":
        made = f"try_cast(cast({_number(seed, 10)} as DECIMAL(2,1)) / 10 as DECIMAL(2,1))"
    else:
        seconds = _number(seed, 315_360_000)
        made = {
            "BOOLEAN": f"{_number(seed, 2)} = 0",
            "VARCHAR": text,
            "BLOB": f"cast({text} as binary)",
            "JSON": f"concat('\"', {text}, '\"')",
            "DATE": f"date_add(date '2000-01-01', cast({_number(seed, 3650)} as int))",
            "TIME": bound(_number(seed, 86_400), "dbt_triton_seconds", _clock),
            "TIMESTAMPTZ": f"timestamp_seconds({946_684_800} + {seconds})",
            "TIMESTAMP": f"timestamp_ntz '2000-01-01 00:00:00' + make_dt_interval(0, 0, 0, {seconds})",
        }.get(kind.kind, "")
    if not made:
        raise DbtTritonError(f"the stub makes no value of type {kind.kind}; give it some with stub.<column>")
    return f"try_cast({made} as {type_name(kind.element, has_time=features.has_time)})"


def _clock(seconds: str) -> str:
    """Return the SQL of the time of day, which no time zone changes, as Spark reads it."""
    parts = (f"{seconds} div 3600", f"{seconds} div 60 % 60", f"{seconds} % 60")
    two = ", ".join(f"lpad(cast({part} as string), 2, '0')" for part in parts)
    return f"concat_ws(':', {two})"


def _backwards(text: str, size: int) -> str:
    """Return the SQL of hexadecimal digits whose bytes go the other way, as in DuckDB's number of a hash."""
    pairs = ", ".join(f"substring({text}, {2 * place - 1}, 2)" for place in range(size, 0, -1))
    return f"concat({pairs})"


def _decimal(digits: str) -> str:
    """Return the SQL of a number of 128 bits in decimal digits, from 32 hexadecimal ones: two pieces of the number.

    Piece by piece of 32 bits, since no DECIMAL holds 39 digits.
    """
    limbs = [f"cast(conv(substring({digits}, {1 + _LIMB * place}, {_LIMB}), 16, 10) as {_WIDE})" for place in range(4)]
    base = 10**_DECIMALS
    low, high = limbs[0], f"cast(0 as {_WIDE})"
    return bound(f"struct({high} as high, {low} as low)", "dbt_triton_pieces_0", lambda x: _next(x, limbs[1:], base, 1))


def _next(pieces: str, limbs: Sequence[str], base: int, depth: int) -> str:
    if not limbs:
        high, low = f"cast({pieces}.high as string)", f"lpad(cast({pieces}.low as string), {_DECIMALS}, '0')"
        small = f"cast({pieces}.low as string)"
        return f"case when {pieces}.high = 0 then {small} else concat({high}, {low}) end"
    low = f"cast({pieces}.low * {2**32}BD as {_WIDE}) + {limbs[0]}"
    high = f"cast({pieces}.high * {2**32}BD as {_WIDE})"
    return bound(
        f"cast({low} as {_WIDE})",
        f"dbt_triton_low_{depth}",
        lambda x: bound(
            f"struct(cast({high} + {x} div {base}BD as {_WIDE}) as high, cast({x} % {base}BD as {_WIDE}) as low)",
            f"dbt_triton_pieces_{depth}",
            lambda y: _next(y, limbs[1:], base, depth + 1),
        ),
    )


def _number(seed: str, below: int) -> str:
    """Return the SQL of a number from 0 up to ``below``, exclusive: the remainder of an MD5, by its two halves."""

    def remainder(digest: str) -> str:
        halves = [f"cast(conv(substring({digest}, {start}, 16), 16, 10) as DECIMAL(20,0))" for start in (1, 17)]
        upper, lower = (f"cast({half} % {below} as bigint)" for half in halves)
        return f"(({upper} * {_HALF % below} + {lower}) % {below})"

    return bound(_backwards(f"md5(cast({seed} as binary))", 16), "dbt_triton_digest", remainder)
