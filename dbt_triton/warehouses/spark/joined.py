"""The SQL that takes the place of a call on Spark: its input joined with its predictions."""

from __future__ import annotations

from dataclasses import dataclass

from dbt_triton.warehouses.columns import ERROR, KEY
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name
from dbt_triton.warehouses.spark.dialect import INPUT_ALIAS, SparkDialect
from dbt_triton.warehouses.spark.store import SparkStore

#: Within the rewritten call; no name of the user's SQL can be seen there.
STORE_ALIAS = "predictions"
_LOST = "ML_PREDICT has no prediction for a row: was the input changed during the run?"


@dataclass(frozen=True)
class Source:
    """Where the input of a call is read.

    Args:
        relation: a FROM clause, which gives the same rows however often it is read.
        columns: the quoted names of the input's own columns.
        key: the SQL of a row's key; NULL for a row that is not sent.
    """

    relation: str
    columns: tuple[str, ...]
    key: str

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        return f"select {', '.join(self.columns)} from {self.relation}"


def joined(planned: PlannedCall, source: Source, store: SparkStore, dialect: SparkDialect) -> str:
    """Return the input joined with its predictions; a row that should have one and has none is an error."""
    key_name = dialect.quote(unused_name("input_key", planned.columns))
    input_key, store_key = f"{INPUT_ALIAS}.{key_name}", f"{STORE_ALIAS}.{KEY}"
    lost = f"when {store_key} is null and {input_key} is not null then raise_error({dialect.text(_LOST)})"
    columns = [f"{INPUT_ALIAS}.{name}" for name in source.columns]
    default = planned.model.options.default_value
    for column, name in zip(planned.model.outputs, planned.output_names, strict=True):
        cases = [lost]
        if default is not None:
            cases.append(f"when {STORE_ALIAS}.{ERROR} is not null then {dialect.typed(default, column.type)}")
        found = f"{STORE_ALIAS}.{dialect.quote(column.name)}"
        columns.append(f"case {' '.join(cases)} else {found} end as {dialect.quote(name)}")
    if planned.error_name is not None:
        columns.append(f"{STORE_ALIAS}.{ERROR} as {dialect.quote(planned.error_name)}")
    return (
        f"(select {', '.join(columns)} from (select *, {source.key} as {key_name} from {source.relation}) "
        f"as {INPUT_ALIAS} left join {store.current} as {STORE_ALIAS} on {store_key} = {input_key})"
    )
