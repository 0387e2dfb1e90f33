"""The SQL that finds the distinct inputs of a call, each with one of its rows' values."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.warehouses.columns import KEY
from dbt_triton.warehouses.duckdb.keys import key_halves


def first_rows(source: str, values: Sequence[str], key: str, within: str, unknown: str) -> str:
    """Return the query for distinct inputs that leaves their values where they are.

    An aggregate of many values takes several times as long. It would copy arrays, and turns -0.0 within an array into
    0.0 (DuckDB 2.0: any_value and first compare nested values by their sort key).
    """
    return (
        f"select {key_halves('first_rows.dbt_triton_key')}, {', '.join(values)} from {source} join "
        f"(select pending.{KEY} as dbt_triton_key, min(pending.dbt_triton_row) as dbt_triton_row "
        f"from (select {key} as {KEY}, rowid as dbt_triton_row from {source} where {within}) as pending "
        f"where {unknown} group by pending.{KEY}) as first_rows "
        "on rowid = first_rows.dbt_triton_row"
    )


def first_of_each(pending: str, unknown: str, values: int) -> str:
    """Return the query for distinct inputs with arrays that have no row numbers: a window leaves -0.0 as it is.

    Args:
        pending: a query for keys, and so many values.
        unknown: the SQL that is true for a key without a prediction.
        values: how many.
    """
    selected = ", ".join(f"value_{position}" for position in range(values))
    return (
        f"select {key_halves(f'pending.{KEY}')}, {selected} from ({pending}) as pending "
        f"where {unknown} qualify row_number() over (partition by pending.{KEY}) = 1"
    )


def distinct_texts(source: str, value: str, salt: str, within: str) -> str:
    """Return the query for distinct texts and their keys, which costs half of a query for distinct keys.

    They are compared as bytes, as the key is: two texts that a collation takes for one are two inputs.
    """
    return (
        f"select {key_halves(KEY)}, value_0 from (select md5_number(encode({salt}) || value_0) as {KEY}, value_0 "
        f"from (select distinct encode({value}) as value_0 from {source} where {value} is not null and {within}))"
    )
