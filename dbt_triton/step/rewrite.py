"""The SQL that takes the place of a call: its input joined with the store."""

from __future__ import annotations

from dataclasses import dataclass

from dbt_triton.step.plan import INPUT_ALIAS, STORE_ALIAS, PlannedCall, unused_name
from dbt_triton.step.stub import stub_expression
from dbt_triton.store import ERROR, KEY, PredictionStore
from dbt_triton.warehouse import literal, quote


@dataclass(frozen=True)
class Source:
    """Where a call's input is read: a FROM clause, the key of a row, and a column to leave out of the result."""

    relation: str
    key: str
    hidden: str | None = None

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        exclude = f" exclude ({quote(self.hidden)})" if self.hidden else ""
        return f"select *{exclude} from {self.relation}"


def joined(planned: PlannedCall, source: Source, store: PredictionStore) -> str:
    """Return the input joined with its predictions; a row that should have one and has none is an error."""
    key_name = quote(unused_name("input_key", planned.columns))
    input_key, store_key = f"{INPUT_ALIAS}.{key_name}", f"{STORE_ALIAS}.{KEY}"
    lost = "error('ML_PREDICT has no prediction for a row: was the input changed during the run?')"
    columns = [f"{INPUT_ALIAS}.{quote(name)}" for name in planned.columns]
    default = planned.model.options.default_value
    for column, name in zip(planned.model.outputs, planned.output_names, strict=True):
        cases = [f"when {store_key} is null and {input_key} is not null then {lost}"]
        if default is not None:
            cases.append(f"when {STORE_ALIAS}.{ERROR} is not null then {literal(default, column.duckdb_type)}")
        columns.append(f"case {' '.join(cases)} else {STORE_ALIAS}.{quote(column.name)} end as {quote(name)}")
    if planned.error_name is not None:
        columns.append(f"{STORE_ALIAS}.{ERROR} as {quote(planned.error_name)}")
    return (
        f"(select {', '.join(columns)} from (select *, {source.key} as {key_name} from {source.relation}) "
        f"as {INPUT_ALIAS} left join {store.current} as {STORE_ALIAS} on {store_key} = {input_key})"
    )


def stubbed(planned: PlannedCall, query: str) -> str:
    """Return the rows of the input's query with what the stub predicts."""
    key_name = quote(unused_name("input_key", planned.columns))
    columns = [f"{INPUT_ALIAS}.{quote(name)}" for name in planned.columns]
    columns += [
        f"{stub_expression(planned.model, column, f'{INPUT_ALIAS}.{key_name}')} as {quote(name)}"
        for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
    ]
    if planned.error_name is not None:
        columns.append(f"cast(null as varchar) as {quote(planned.error_name)}")
    return f"(select {', '.join(columns)} from (select *, {planned.key} as {key_name} from ({query})) as {INPUT_ALIAS})"


def sampled(planned: PlannedCall, query: str) -> str:
    """Return the first rows of the input's query only, where ``sample`` says so."""
    rows = planned.model.options.sample
    return query if rows is None else f"select * from ({query}) limit {rows}"
