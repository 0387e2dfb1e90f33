"""The stub: predictions without a server, the same for the same inputs on every machine.

A value is derived from a hash of the row's inputs and the name of the OUTPUT column, or chosen by that hash from the
values of ``stub.<column>``. NULL inputs predict NULL, as with a server.
"""

from __future__ import annotations

import re

from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.warehouses.duckdb.dialect import literal, table_type

#: Elements of an array whose length is not declared.
ARRAY_LENGTH = 3
_ARRAY = re.compile(r"^(.*)\[(\d*)\]$")
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}


def stub_expression(model: InferenceModel, column: TypedColumn, key: str) -> str:
    """Return the SQL of what the stub predicts for an OUTPUT column.

    Args:
        model: the inference model.
        column: one of its OUTPUT columns.
        key: the SQL of the row's key; where it is NULL the prediction is NULL.
    """
    seed = f"cast({key} as varchar) || {literal(':' + column.name.lower(), 'VARCHAR')}"
    values = model.stub_values(column)
    if values:
        choice = ", ".join(literal(value, table_type(column.type)) for value in values)
        made = f"list_extract([{choice}], cast(1 + {_number(seed, len(values))} as bigint))"
    else:
        made = _value(table_type(column.type), seed, depth=0)
    return f"case when {key} is not null then {made} end"


def _value(kind: str, seed: str, *, depth: int) -> str:
    """Return the SQL of a value of a DuckDB type, from the SQL of a text."""
    array = _ARRAY.match(kind)
    if array:
        position = f"position_{depth}"
        element = _value(array[1], f"{seed} || ':' || cast({position} as varchar)", depth=depth + 1)
        length = int(array[2] or ARRAY_LENGTH)
        return f"cast([{element} for {position} in range({length})] as {kind})"
    name = kind.split("(", maxsplit=1)[0].strip().upper()
    text = f"'stub-' || left(md5({seed}), 8)"
    if name in _INTEGERS:
        made = _number(seed, 100)
    elif name in {"FLOAT", "DOUBLE"}:
        made = f"cast({_number(seed, 1_000_000)} as double) / 1000000"
    elif name == "DECIMAL":
        made = f"cast({_number(seed, 10)} as double) / 10"
    else:
        made = {
            "BOOLEAN": f"{_number(seed, 2)} = 0",
            "VARCHAR": text,
            "BLOB": f"encode({text})",
            "JSON": f"'\"' || {text} || '\"'",
            "DATE": f"date '2000-01-01' + cast({_number(seed, 3650)} as integer)",
            "TIME": f"time '00:00:00' + to_seconds(cast({_number(seed, 86_400)} as bigint))",
            "TIMESTAMP WITH TIME ZONE": f"timestamptz '2000-01-01 00:00:00+00' + "
            f"to_seconds(cast({_number(seed, 315_360_000)} as bigint))",
            "TIMESTAMP": f"timestamp '2000-01-01' + to_seconds(cast({_number(seed, 315_360_000)} as bigint))",
        }.get(name, "")
    if not made:
        raise DbtTritonError(f"the stub makes no value of type {kind}; give it some with stub.<column>")
    return f"cast({made} as {kind})"


def _number(seed: str, below: int) -> str:
    """Return the SQL of a number from 0 up to ``below``, exclusive: the remainder of an MD5.

    By its two halves, since DuckDB divides numbers of 128 bits ten times more slowly.
    """
    upper = f"cast(md5_number({seed}) >> 64 as ubigint) % cast({below} as ubigint)"
    lower = f"cast(md5_number({seed}) & 18446744073709551615 as ubigint) % cast({below} as ubigint)"
    whole = f"{upper} * cast({2**64 % below} as ubigint) + {lower}"
    return f"cast(({whole}) % cast({below} as ubigint) as bigint)"
