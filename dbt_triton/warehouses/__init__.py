"""What a step may ask of a warehouse; each warehouse is a folder beside this file.

A step knows no dialect. It asks for a value, a key or a query, and gets SQL that only the warehouse itself reads again.
Carrying a call out is the warehouse's as well: where rows are read, how they reach the engine, and where predictions
are kept.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pyarrow as pa

from dbt_triton.ddl import Lexis
from dbt_triton.engine import RunStats
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses.exchanged import (
    FailedRow,
    Failures,
    InputSize,
    Operand,
    Predicted,
    RunContext,
    SampleBounds,
    ServerSeconds,
    StoppedError,
    Value,
    WarehouseError,
)

if TYPE_CHECKING:
    from dbt_triton.inference_model import Binding
    from dbt_triton.warehouses.planned_call import PlannedCall
    from dbt_triton.warehouses.run_log import RunPlace, RunTable

T = TypeVar("T")


class CallRun(Protocol):
    """One call that is being carried out: its input, and its predictions. Close it whatever comes of it."""

    @property
    def rows(self) -> str:
        """A query for the input's own columns."""
        ...

    @property
    def clean_up(self) -> Sequence[str]:
        """Statements for after the commit of the table, as far as they are known by now."""
        ...

    def measure(self, planned: PlannedCall) -> InputSize:
        """Count the rows of the input; again for the call as it is bound to what is served, where that changes it."""
        ...

    def predict(self, planned: PlannedCall, binding: Binding, size: InputSize) -> Predicted:
        """Send what has no prediction yet.

        Raises:
            RunError: the run ended early; what was answered is in the store, unless no answer counts.
            StoppedError: the warehouse refused something while rows were sent, or the run was interrupted.
            WarehouseError: the warehouse refused something before or after.
        """
        ...

    @property
    def stats(self) -> RunStats:
        """What was done so far, also where the run has failed."""
        ...

    @property
    def server_seconds(self) -> ServerSeconds | None:
        """What servers say that they spent on it; None where they do not."""
        ...

    def distinct(self) -> int:
        """Count the distinct inputs, about: they are counted by hashes of their values."""
        ...

    def outputs(self, rows: int, of: int) -> dict[str, pa.Array]:
        """Return predictions by their columns: of every row of the input, or of so many of them at random.

        Arrays and bytes are only told from NULL, and long texts are cut.
        """
        ...

    def failures(self) -> Failures:
        """Count the rows of the input that failed, in this run or before."""
        ...

    def failed_by_reason(self) -> dict[str, int]:
        """Count the rows of the input that failed, by the kind of the reason."""
        ...

    def first_failures(self, limit: int) -> list[FailedRow]:
        """Return the first rows that failed, in the order of the input where it has one."""
        ...

    def different_reasons(self) -> int:
        """Count the reasons for which rows failed."""
        ...

    def rows_with(self, keys: Sequence[pa.Array], limit: int) -> list[dict[str, Any]]:
        """Return rows of the input that have one of these keys."""
        ...

    def every_reason(self) -> str:
        """Return the query by which a user selects the reasons of all failed rows."""
        ...

    def every_row(self) -> str | None:
        """Return the query by which a user selects all failed rows; None where there is none that is short."""
        ...

    def close(self, *, failed: bool) -> None:
        """Free what the run has put into the session; after a failed one, also what it must not leave behind."""
        ...


class Dialect(Protocol):
    """How a warehouse writes names, values and types, and how its users' SQL is read."""

    @property
    def lexis(self) -> Lexis:
        """What quotes and escapes mean in its SQL."""
        ...

    def quote(self, identifier: str) -> str:
        """Quote an identifier."""
        ...

    def note_on_type(self, column: str, kind: SqlType) -> str | None:
        """Say what a column is in tables, where its users would not expect it; None where they would."""
        ...

    def source_kind(self, source: str) -> tuple[str, int]:
        """Return what a column's elements are, by the kinds of `SqlType` where it is one, and its levels of arrays."""
        ...

    def value_of(self, column: str, source: str, declared: SqlType, *, sent: SqlType | None = None) -> Value | str:
        """Return a column as a declared type, or a sentence that says why no value of the one type is one of the other.

        Args:
            column: its name.
            source: its own type, as `Warehouse.describe` says it.
            declared: the type in INPUT.
            sent: a type of floating-point numbers that holds the declared one, where NULL is to be NaN.
        """
        ...

    def is_given(self, column: str) -> str:
        """Return the SQL that is true where a column is not NULL."""
        ...

    def sequence_key(self, column: str, source: str) -> str:
        """Return the SQL of a column that tells sequences apart, by its name and its type."""
        ...

    def check_form(self, planned: PlannedCall, query: str) -> str:
        """Return what stands for a call where no prediction is needed: its input, with NULLs of the right types."""
        ...

    def stubbed(self, planned: PlannedCall, query: str) -> str:
        """Return what stands for the call of a stub: its input, with what the stub predicts."""
        ...

    def evaluated(self, planned: PlannedCall, rows: str) -> str:
        """Return the one row of metrics that stands for a call of ML_EVALUATE, from the rows that it predicts."""
        ...

    def text(self, text: str) -> str:
        """Write a text as SQL."""
        ...

    def metadata_query(self, row: Mapping[str, Any], types: Mapping[str, SqlType]) -> str:
        """Return the SELECT of the one row of an inference model."""
        ...


class Given(Protocol):
    """The table and the inference model that a dbt Python model passes, as SQL can name them; and what it gets back."""

    @property
    def table(self) -> str:
        """The name by which SQL reads the table."""
        ...

    @property
    def model(self) -> str:
        """The name by which SQL reads the row of the inference model, once it is put there."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The table's columns."""
        ...

    def model_rows(self) -> list[dict[str, Any]]:
        """Read what was passed as the inference model."""
        ...

    def put_model(self, query: str) -> None:
        """Put the row that a query makes where SQL reads the inference model."""
        ...

    def keep(self, build_sql: str, clean_up: Sequence[str]) -> None:
        """Carry out the SELECT of the result, in the order of the table's rows, and then the statements."""
        ...

    def result(self) -> Any:  # noqa: ANN401 - the warehouse's own
        """Return what the model returns to dbt; once the call is done and what was put into the session is gone."""
        ...


class Warehouse(Protocol):
    """The session of one dbt model."""

    @property
    def system(self) -> str:
        """What kind of warehouse it is, as OpenTelemetry's ``db.system.name`` says it."""
        ...

    @property
    def dialect(self) -> Dialect:
        """How it writes SQL."""
        ...

    def end_transaction(self) -> None:
        """Commit whatever transaction is open, where there are transactions."""
        ...

    def set_result(self, result: Mapping[str, Any]) -> None:
        """Leave a result for Jinja."""
        ...

    def describe(self, query: str) -> list[tuple[str, str]]:
        """Return the columns of a query and their types, without running it."""
        ...

    def first_rows(self, relation: str, limit: int) -> list[dict[str, Any]]:
        """Return the first rows of a relation."""
        ...

    def is_table(self, relation: Sequence[str]) -> bool:
        """Tell whether a relation is a table that is the same however often it is read during a run."""
        ...

    def holds(self, text: str, kind: SqlType) -> bool:
        """Tell whether a text is exactly a value of a type."""
        ...

    def refused_store(self, relation: str) -> str | None:
        """Say why a quoted relation cannot be a prediction store; None where it can."""
        ...

    def unless_interrupted(self, asking: Coroutine[None, None, T]) -> T:
        """Await something on an event loop of its own, and notice Ctrl-C meanwhile.

        Raises:
            WarehouseError: the session was interrupted.
        """
        ...

    def call(self, planned: PlannedCall, operand: Operand, context: RunContext) -> CallRun:
        """Begin to carry out a call."""
        ...

    def count(
        self, planned: PlannedCall, operand: Operand, binding: Binding, *, full_refresh: bool
    ) -> Mapping[str, int]:
        """Count what a call would send, without sending it: the figures of a dry run by their names."""
        ...

    def sample(self, planned: PlannedCall, operand: Operand, bounds: SampleBounds) -> list[pa.RecordBatch]:
        """Read some of the rows that a call would send: their values, distinct and without NULL.

        Raises:
            WarehouseError: they cannot be read, or not within their time.
        """
        ...

    def given(self, table: Any, model: Any) -> AbstractContextManager[Given]:  # noqa: ANN401 - the warehouse's own
        """Take what a dbt Python model passes; while the block is entered, calls see it and can be carried out.

        Args:
            table: what ``dbt.ref()`` gives, a data frame, an Arrow table or a SELECT as a text.
            model: what ``dbt.ref()`` gives of an inference model, or a SELECT.
        """
        ...

    def spare_memory(self) -> bool:
        """Leave the machine half of its memory from now on, if the user has said nothing of it.

        Returns:
            Whether anything was changed; then `use_memory` must follow.
        """

    def use_memory(self) -> None:
        """Undo `spare_memory`."""

    def take_note(self, note: str, relation: str) -> None:
        """Keep what a table was built of, as `Predicted.remember` says; else the next run builds."""
        ...

    def run_table(self, place: RunPlace) -> RunTable:
        """Return the table of the run log."""
        ...


def open_warehouse(session: Any, arguments: Mapping[str, Any]) -> Warehouse:  # noqa: ANN401 - of dbt's adapter
    """Return the warehouse of a session: dbt-duckdb's cursor, or a session of Spark.

    Args:
        session: as dbt's adapter gives it to a Python model.
        arguments: of the step.
    """
    if any(base.__module__.split(".")[0] == "pyspark" for base in type(session).__mro__):
        spark = import_module("dbt_triton.warehouses.spark.session")  # pyspark is an extra
        on_spark: Warehouse = spark.SparkWarehouse(session, arguments)
        return on_spark
    from dbt_triton.warehouses.duckdb.warehouse import DuckDBWarehouse  # noqa: PLC0415, TID251 - here one is chosen

    return DuckDBWarehouse(session)


__all__ = [
    "CallRun",
    "Dialect",
    "FailedRow",
    "Failures",
    "Given",
    "InputSize",
    "Operand",
    "Predicted",
    "RunContext",
    "SampleBounds",
    "ServerSeconds",
    "StoppedError",
    "Value",
    "Warehouse",
    "WarehouseError",
    "open_warehouse",
]
