"""The two materializations on a session of a warehouse, as their macros run them, without a dbt command.

Tests write DuckDB's SQL for what they need and look at; `Steps.query` says it in the words of the warehouse.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import duckdb

from dbt_triton import __version__
from dbt_triton.step import build_inference_model, dry_run, plan, predict

Rows = list[tuple[Any, ...]]


class StepError(Exception):
    """What dbt would raise."""


class Steps(ABC):
    """A place for tables in a warehouse.

    Args:
        schema: where tables are that are named without one.
    """

    #: ``duckdb`` or ``spark``, as ``--warehouse`` has it.
    warehouse: str

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.figures: dict[str, Any] = {}
        self.build_sql = ""

    @abstractmethod
    def query(self, text: str) -> str:
        """Return DuckDB's SQL in the warehouse's own words; calls of ML_PREDICT cannot be in it."""

    @abstractmethod
    def run(self, statement: str) -> Rows:
        """Run a statement in the warehouse's own words and return its rows."""

    @abstractmethod
    def columns(self, relation: str) -> dict[str, str]:
        """Return the columns of a table or a view with their types, in the warehouse's words."""

    @abstractmethod
    def without(self, *columns: str) -> str:
        """Return all columns but those, for a SELECT."""

    @abstractmethod
    def ordered(self, rows: Rows) -> Rows:
        """Return rows of a table that was built in the order of its first column.

        DuckDB keeps it; Spark's tables have no order, so that theirs is made here.
        """

    @abstractmethod
    def read(self, rows: Sequence[tuple[Any, ...]]) -> Rows:
        """Return expected rows as they are read: a tuple in a row is a fixed array, which is a list of Spark's."""

    @abstractmethod
    def replace(self, name: str, query: str) -> None:
        """Make a table of the rows of a query in the warehouse's own words, whatever is there."""

    @abstractmethod
    def take_result(self, unique_id: str) -> dict[str, Any]:
        """Return what a step left for dbt."""

    @property
    @abstractmethod
    def session(self) -> Any:
        """What dbt gives a step."""

    def sql(self, text: str) -> Rows:
        """Run a statement in DuckDB's SQL and return its rows."""
        return self.run(self.query(text))

    def table(self, name: str, query: str) -> None:
        """Make a table of the rows of a query in DuckDB's SQL, whatever is there."""
        self.replace(name, self.query(query))

    def create_model(self, name: str, schema: str, options: Mapping[str, str]) -> None:
        """Build an inference model; ``schema`` is ``INPUT (…) OUTPUT (…)``."""
        pairs = {"provider": "triton", "timeout": "20s", "max-retries": "1"} | dict(options)
        written = ", ".join(f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in pairs.items())
        statement = f"CREATE MODEL {name} {schema} WITH ({written})"
        result = self._step(build_inference_model, {"name": name, "alias": name, "sql": statement})
        self.replace(name, result["build_sql"])

    def build(self, name: str, select: str, models: list[str], **arguments: Any) -> Rows:
        """Build a predicting model and return its rows.

        Args:
            name: of the table.
            select: SQL in the warehouse's words; it names inference models as they are.
            models: those inference models.
            arguments: more of the step's.
        """
        args = self._arguments(name, select, models) | arguments
        self._step(plan, args)
        result = self._step(predict, args)
        self.figures, self.build_sql = result["figures"], result["build_sql"]
        self.replace(name, result["build_sql"])
        for statement in result["clean_up"]:
            self.run(statement)
        return self.run(f"select * from {name}")

    def dry_run(self, select: str, models: list[str], name: str = "out") -> dict[str, Any]:
        """Return the figures of a predicting model's dry run."""
        figures: dict[str, Any] = self._step(dry_run, self._arguments(name, select, models))["figures"]
        return figures

    def _arguments(self, name: str, select: str, models: list[str]) -> dict[str, Any]:
        return {
            "name": name,
            "alias": name,
            "sql": select,
            "store": {"database": None, "schema": self.schema, "identifier": f"{name}__ml_predictions"},
            "models": [{"unique_id": f"model.t.{model}", "name": model, "relations": [model]} for model in models],
        }

    def _step(self, step: Any, args: Mapping[str, Any]) -> dict[str, Any]:
        unique_id = f"model.t.{args['name']}"
        step(json.dumps({"package_version": __version__, "unique_id": unique_id} | dict(args)), self.session)
        result = self.take_result(unique_id)
        if "error" in result:
            raise StepError(result["error"])
        return result


class Session(Steps):
    """A DuckDB warehouse in memory; use it as a context manager."""

    warehouse = "duckdb"

    def __init__(self) -> None:
        super().__init__("main")
        self.connection = duckdb.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.connection.close()

    @property
    def session(self) -> Any:
        """The connection."""
        return self.connection

    def query(self, text: str) -> str:
        """Return it as it is."""
        return text

    def run(self, statement: str) -> Rows:
        """Run a statement and return its rows."""
        return self.connection.execute(statement).fetchall()

    def columns(self, relation: str) -> dict[str, str]:
        """Return the columns of a table or a view with their types."""
        return {row[0]: row[1] for row in self.run(f"describe {relation}")}

    def without(self, *columns: str) -> str:
        """Return all columns but those, for a SELECT."""
        return f"* exclude ({', '.join(columns)})"

    def ordered(self, rows: Rows) -> Rows:
        """Return them as they are."""
        return rows

    def read(self, rows: Sequence[tuple[Any, ...]]) -> Rows:
        """Return them as they are."""
        return list(rows)

    def replace(self, name: str, query: str) -> None:
        """Make a table of the rows of a query, whatever is there."""
        self.run(f"create or replace table {name} as {query}")

    def take_result(self, unique_id: str) -> dict[str, Any]:  # noqa: ARG002 - one step at a time
        """Return what a step left for dbt."""
        result: dict[str, Any] = json.loads(self.run("select getvariable('dbt_triton_result')")[0][0])
        return result
