"""The SQL that takes the place of a call: its input joined with the store."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dbt_triton.warehouses.columns import ERROR, KEY
from dbt_triton.warehouses.duckdb.dialect import literal, quote, table_type
from dbt_triton.warehouses.duckdb.keys import key_expression
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.duckdb.stub import stub_expression
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name

#: Aliases within the rewritten call; no name of the user's SQL can be seen there.
INPUT_ALIAS = "input_rows"
STORE_ALIAS = "predictions"


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Source:
    """Where a call's input is read: a FROM clause, the key of a row, and columns to leave out of the result.

    Args:
        relation: the FROM clause.
        key: the SQL of the key.
        hidden: quoted names of columns that are not the input's own.
        lost: the SQL that is true for a row whose key is not known.
        keep_keys: to be called once the input is read, where that makes the keys.
    """

    relation: str
    key: str
    hidden: tuple[str, ...] = ()
    lost: str = "false"
    keep_keys: Callable[[], None] = _nothing

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        exclude = f" exclude ({', '.join(self.hidden)})" if self.hidden else ""
        return f"select *{exclude} from {self.relation}"


def joined(planned: PlannedCall, source: Source, store: PredictionStore) -> str:
    """Return the input joined with its predictions; a row that should have one and has none is an error."""
    key_name = quote(unused_name("input_key", planned.columns))
    input_key, store_key = f"{INPUT_ALIAS}.{key_name}", f"{STORE_ALIAS}.{KEY}"
    lost = "error('ML_PREDICT has no prediction for a row: was the input changed during the run?')"
    columns = [f"{INPUT_ALIAS}.{quote(name)}" for name in planned.columns]
    default = planned.model.options.default_value
    lists = _lists(planned)
    stored = store.current
    if lists:
        replaced = [
            f"cast({quote(column.name)} as {lists[table_type(column.type)]}) as {quote(column.name)}"
            for column in planned.model.outputs
            if table_type(column.type) in lists
        ]
        stored = f"(select * replace ({', '.join(replaced)}) from {stored})"
    for column, name in zip(planned.model.outputs, planned.output_names, strict=True):
        cases = [f"when {store_key} is null and {input_key} is not null then {lost}"]
        if source.lost != "false":
            cases.append(f"when {INPUT_ALIAS}.{source.lost} then {lost}")
        if default is not None:
            cases.append(f"when {STORE_ALIAS}.{ERROR} is not null then {literal(default, table_type(column.type))}")
        found = f"{STORE_ALIAS}.{quote(column.name)}"
        if table_type(column.type) in lists:
            found = f"cast({found} as {table_type(column.type)})"
        columns.append(f"case {' '.join(cases)} else {found} end as {quote(name)}")
    if planned.error_name is not None:
        columns.append(f"{STORE_ALIAS}.{ERROR} as {quote(planned.error_name)}")
    return (
        f"(select {', '.join(columns)} from (select *, {source.key} as {key_name} from {source.relation}) "
        f"as {INPUT_ALIAS} left join {stored} as {STORE_ALIAS} on {store_key} = {input_key})"
    )


def _lists(planned: PlannedCall) -> dict[str, str]:
    """Return the types of OUTPUT with a fixed length, and the same without one.

    DuckDB 2.0.0 loses the length of a NULL array in an outer join ("Cannot cast list with length 0 to array with
    length 3"), so arrays go through it as lists.
    """
    types = {table_type(column.type) for column in planned.model.outputs}
    return {kind: re.sub(r"\[\d+\]", "[]", kind) for kind in types if re.search(r"\[\d+\]", kind)}


def stubbed(planned: PlannedCall, query: str) -> str:
    """Return the rows of the input's query with what the stub predicts; no server says which NULL would be no NaN."""
    planned = planned.with_nan(planned.nan_values)
    key_name = quote(unused_name("input_key", planned.columns))
    columns = [f"{INPUT_ALIAS}.{quote(name)}" for name in planned.columns]
    columns += [
        f"{stub_expression(planned.model, column, f'{INPUT_ALIAS}.{key_name}')} as {quote(name)}"
        for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
    ]
    if planned.error_name is not None:
        columns.append(f"cast(null as varchar) as {quote(planned.error_name)}")
    # Without a salt: the same on every machine. As a text, once for a row: arrays need it for each element.
    key = f"cast({key_expression(planned.key_values)} as varchar)"
    return f"(select {', '.join(columns)} from (select *, {key} as {key_name} from ({query})) as {INPUT_ALIAS})"


def check_form(planned: PlannedCall, query: str) -> str:
    """Return what stands for the call where no prediction is needed: NULLs of the right types."""
    nulls = [
        f"cast(null as {table_type(column.type)}) as {quote(name)}"
        for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
    ]
    if planned.error_name is not None:
        nulls.append(f"cast(null as varchar) as {quote(planned.error_name)}")
    return f"(select {INPUT_ALIAS}.*, {', '.join(nulls)} from ({query}) as {INPUT_ALIAS})"
