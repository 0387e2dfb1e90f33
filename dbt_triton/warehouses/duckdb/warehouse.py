"""DuckDB as a step sees it: the protocol of `dbt_triton.warehouses`, carried out by the modules beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa

from dbt_triton.ddl import DUCKDB, Lexis
from dbt_triton.inference_model import Binding
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses import Operand, RunContext, SampleBounds, Value, WarehouseError
from dbt_triton.warehouses.duckdb.call import DuckDBCall
from dbt_triton.warehouses.duckdb.count import count
from dbt_triton.warehouses.duckdb.dialect import literal, mapped, quote, table_type, text_literal, type_name
from dbt_triton.warehouses.duckdb.python_model import DuckDBGiven, given_to
from dbt_triton.warehouses.duckdb.rewrite import check_form, stubbed
from dbt_triton.warehouses.duckdb.run_table import DuckDBRunTable
from dbt_triton.warehouses.duckdb.sample import sample
from dbt_triton.warehouses.duckdb.session import DuckDBSession
from dbt_triton.warehouses.duckdb.source_types import parse_source_type
from dbt_triton.warehouses.duckdb.store import refusal
from dbt_triton.warehouses.duckdb.unchanged import take_note
from dbt_triton.warehouses.duckdb.values import value_of
from dbt_triton.warehouses.evaluation import metrics
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.run_log import RunPlace


class DuckDBDialect:
    """How DuckDB writes what a step needs."""

    @property
    def lexis(self) -> Lexis:
        """What quotes and escapes mean in DuckDB's SQL."""
        return DUCKDB

    def quote(self, identifier: str) -> str:
        """Quote an identifier."""
        return quote(identifier)

    def note_on_type(self, column: str, kind: SqlType) -> str | None:
        """Say of a large fixed array that it is a list in tables."""
        if kind.in_tables == kind:
            return None
        return f"{column} is {table_type(kind)} in tables: DuckDB makes room for 2,048 of {type_name(kind)}"

    def source_kind(self, source: str) -> tuple[str, int]:
        """Return what a column's elements are, and its levels of arrays."""
        kind = parse_source_type(source)
        return kind.kind, len(kind.dims)

    def value_of(self, column: str, source: str, declared: SqlType, *, sent: SqlType | None = None) -> Value | str:
        """Return a column as a declared type, or why that cannot be."""
        return value_of(column, source, declared, sent=sent)

    def is_given(self, column: str) -> str:
        """Return the SQL that is true where a column is not NULL."""
        return f"{quote(column)} is not null"

    def sequence_key(self, column: str, source: str) -> str:
        """Return the SQL of a column that tells sequences apart: texts by their bytes, whatever a collation says."""
        return f"encode({quote(column)})" if source == "VARCHAR" else quote(column)

    def check_form(self, planned: PlannedCall, query: str) -> str:
        """Return what stands for a call where no prediction is needed."""
        return check_form(planned, query)

    def stubbed(self, planned: PlannedCall, query: str) -> str:
        """Return what stands for the call of a stub."""
        return stubbed(planned, query)

    def evaluated(self, planned: PlannedCall, rows: str) -> str:
        """Return the one row of metrics that stands for a call of ML_EVALUATE."""
        return rows if planned.measured is None else metrics(planned.measured, rows, "varchar", mapped)

    def text(self, text: str) -> str:
        """Write a text as SQL."""
        return text_literal(text)

    def metadata_query(self, row: Mapping[str, Any], types: Mapping[str, SqlType]) -> str:
        """Return the SELECT of the one row of an inference model."""
        columns = [f"{literal(row[name], table_type(kind))} as {quote(name)}" for name, kind in types.items()]
        return f"select {', '.join(columns)}"


class DuckDBWarehouse(DuckDBSession):
    """The session of one dbt model, on DuckDB."""

    system = "duckdb"
    dialect = DuckDBDialect()

    def first_rows(self, relation: str, limit: int) -> list[dict[str, Any]]:
        """Return the first rows of a relation."""
        return self.rows(f"select * from {relation} limit {limit}")

    def holds(self, text: str, kind: SqlType) -> bool:
        """Tell whether a text is exactly a value of a type; DuckDB's cast alone would round it."""
        exact = value_of("written", "VARCHAR", kind)
        fits = f"{exact.sql} is not null" if isinstance(exact, Value) else "false"
        written, value = f"(select {literal(text, 'VARCHAR')} as written)", literal(text, table_type(kind))
        try:
            rows = self.rows(f"select {fits} as fits, {value} from {written}")
        except WarehouseError:
            return False
        return bool(rows[0]["fits"])

    def refused_store(self, relation: str) -> str | None:
        """Say why a quoted relation cannot be a prediction store; None where it can."""
        return refusal(relation, self)

    def call(self, planned: PlannedCall, operand: Operand, context: RunContext) -> DuckDBCall:
        """Begin to carry out a call."""
        return DuckDBCall(planned, operand, context, self)

    def count(
        self, planned: PlannedCall, operand: Operand, binding: Binding, *, full_refresh: bool
    ) -> Mapping[str, int]:
        """Count what a call would send, without sending it."""
        return count(planned, operand, binding, self, full_refresh=full_refresh)

    def sample(self, planned: PlannedCall, operand: Operand, bounds: SampleBounds) -> list[pa.RecordBatch]:
        """Read some of the rows that a call would send."""
        return sample(planned, operand, self, bounds)

    def given(self, table: Any, model: Any) -> AbstractContextManager[DuckDBGiven]:  # noqa: ANN401 - DuckDB's own
        """Take what a dbt Python model passes."""
        return given_to(self, table, model)

    def take_note(self, note: str, relation: str) -> None:
        """Keep what a table was built of as the comment of its store."""
        take_note(note, relation, self)

    def run_table(self, place: RunPlace) -> DuckDBRunTable:
        """Return the table of the run log."""
        return DuckDBRunTable(self, place)
