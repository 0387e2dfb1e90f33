"""How Spark writes names, values and types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dbt_triton.ddl import SPARK, Lexis
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.evaluation import metrics
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.literals import quote, text_literal
from dbt_triton.warehouses.spark.source_types import parse_source_type
from dbt_triton.warehouses.spark.stub import stub_expression, stub_key
from dbt_triton.warehouses.spark.type_names import type_name
from dbt_triton.warehouses.spark.typed_values import typed
from dbt_triton.warehouses.spark.values import value_of

if TYPE_CHECKING:
    from dbt_triton.warehouses.planned_call import PlannedCall

#: Types that INPUT does not know.
_NESTED = {"STRUCT", "MAP", "VARIANT", "INTERVAL", "NULL"}
#: Alias within what stands for a call; no name of the user's SQL can be seen there.
INPUT_ALIAS = "input_rows"


#: Of moments within JSON: by themselves they would be cut to milliseconds.
_JSON_OPTIONS = (
    "map('timestampFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSSXXXXX', 'timestampNTZFormat', 'yyyy-MM-dd HH:mm:ss.SSSSSS')"
)


def _json_of(name: str) -> str:
    """Return the SQL of a text that a value of a nested type alone has."""
    return f"to_json(struct({name}), {_JSON_OPTIONS})"


@dataclass(frozen=True)
class SparkDialect:
    """Spark's SQL, whatever the settings of the session.

    Args:
        features: of the session's Spark; `Features.of` asks for them.
    """

    features: Features = field(default_factory=Features)

    @property
    def lexis(self) -> Lexis:
        """What quotes and escapes mean in Spark's SQL."""
        return SPARK

    def quote(self, identifier: str) -> str:
        """Quote an identifier; one with `${` in it is an error, since Spark would replace that."""
        return quote(identifier)

    def text(self, text: str) -> str:
        """Write a text as SQL."""
        return text_literal(text)

    def type_name(self, kind: SqlType) -> str:
        """Name the type that tables have for a declared one; an error where this Spark has none."""
        return type_name(kind, has_time=self.features.has_time)

    def typed(self, value: str | int | None, kind: SqlType) -> str:
        """Write a value as SQL of a type; a text that is no value of the type is NULL."""
        return typed(value, kind, self.features)

    def note_on_type(self, column: str, kind: SqlType) -> str | None:  # noqa: ARG002 - of the protocol
        """Say nothing: docs/types.md has the types of tables."""
        return None

    def holds(self, text: str, kind: SqlType) -> str:
        """Return the query of one row and one column that says whether a text is exactly a value of a type."""
        return f"select {self.typed(text, kind)} is not null as holds"

    def source_kind(self, source: str) -> tuple[str, int]:
        """Return what a column's elements are, by the kinds of `SqlType` where it is one, and its levels of arrays."""
        kind = parse_source_type(source)
        return kind.kind, kind.levels

    def value_of(self, column: str, source: str, declared: SqlType, *, sent: SqlType | None = None) -> Value | str:
        """Return a column as a declared type, or a sentence that says why no value of the one type is one of the other.

        Args:
            column: its name.
            source: its own type, as Spark describes it: `DataType.simpleString()`.
            declared: the type in INPUT.
            sent: a type of floating-point numbers that holds the declared one, where NULL is to be NaN.
        """
        return value_of(column, source, declared, self.features, sent=sent)

    def is_given(self, column: str) -> str:
        """Return the SQL that is true where a column is not NULL."""
        return f"{quote(column)} is not null"

    def sequence_key(self, column: str, source: str) -> str:
        """Return the SQL of what tells sequences apart, a STRING or a BINARY, by a column's value."""
        name, kind = quote(column), parse_source_type(source)
        if (kind.kind, kind.levels) == ("VARCHAR", 0):
            return f"cast({name} as binary)"  # whatever a collation says
        if kind.kind in _NESTED:
            return _json_of(name)
        same = SqlType(kind.kind, (None,) * kind.levels, kind.precision, kind.scale)
        value = self.value_of(column, source, same)
        return _json_of(name) if isinstance(value, str) else value.key

    def check_form(self, planned: PlannedCall, query: str) -> str:
        """Return what stands for a call where no prediction is needed: its input, with NULLs of the right types."""
        nulls = [
            f"cast(null as {self.type_name(column.type)}) as {quote(name)}"
            for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
        ]
        if planned.error_name is not None:
            nulls.append(f"cast(null as string) as {quote(planned.error_name)}")
        return f"(select {INPUT_ALIAS}.*, {', '.join(nulls)} from ({query}) as {INPUT_ALIAS})"

    def stubbed(self, planned: PlannedCall, query: str) -> str:
        """Return the rows of the input's query with what the stub predicts; NULL is NaN where ``null-as`` says so."""
        planned = planned.with_nan(planned.nan_values)
        key_name = "input_key"
        taken = {column.lower() for column in planned.columns}
        while key_name in taken:
            key_name += "_"
        columns = [f"{INPUT_ALIAS}.{quote(name)}" for name in planned.columns]
        columns += [
            f"{stub_expression(planned.model, column, f'{INPUT_ALIAS}.{key_name}', self.features)} as {quote(name)}"
            for column, name in zip(planned.model.outputs, planned.output_names, strict=True)
        ]
        if planned.error_name is not None:
            columns.append(f"cast(null as string) as {quote(planned.error_name)}")
        keyed = f"select *, {stub_key(planned.key_values)} as {key_name} from ({query})"
        return f"(select {', '.join(columns)} from ({keyed}) as {INPUT_ALIAS})"

    def evaluated(self, planned: PlannedCall, rows: str) -> str:
        """Return the one row of metrics that stands for a call of ML_EVALUATE."""
        if planned.measured is None:
            return rows
        return metrics(planned.measured, rows, "string", lambda values: f"map({', '.join(values)})")

    def sampled(self, planned: PlannedCall, query: str) -> str:
        """Return the first rows of the input's query only, where ``sample`` says so."""
        rows = planned.model.options.sample
        return query if rows is None else f"select * from ({query}) limit {rows}"

    def metadata_query(self, row: Mapping[str, Any], types: Mapping[str, SqlType]) -> str:
        """Return the SELECT of the one row of an inference model."""
        return "select " + ", ".join(f"{self.typed(row[name], kind)} as {quote(name)}" for name, kind in types.items())
