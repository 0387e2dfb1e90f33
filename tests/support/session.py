"""The two materializations on a DuckDB session, as their macros run them, without a dbt command of several seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import duckdb

from dbt_triton import __version__
from dbt_triton.step import build_inference_model, dry_run, plan, predict


class StepError(Exception):
    """What dbt would raise."""


class Session:
    """A warehouse in memory; use it as a context manager."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.figures: dict[str, Any] = {}
        self.build_sql = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.connection.close()

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        return self.connection.execute(text).fetchall()

    def create_model(self, name: str, schema: str, options: Mapping[str, str]) -> None:
        """Build an inference model; ``schema`` is ``INPUT (…) OUTPUT (…)``."""
        pairs = {"provider": "triton", "timeout": "20s", "max-retries": "1"} | dict(options)
        written = ", ".join(f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in pairs.items())
        statement = f"CREATE MODEL {name} {schema} WITH ({written})"
        result = self._step(build_inference_model, {"name": name, "alias": name, "sql": statement})
        self.sql(f"create or replace table {name} as {result['build_sql']}")

    def build(self, name: str, select: str, models: list[str]) -> list[tuple[Any, ...]]:
        """Build a predicting model and return its rows; ``select`` names inference models as they are."""
        args = self._arguments(name, select, models)
        self._step(plan, args)
        result = self._step(predict, args)
        self.figures, self.build_sql = result["figures"], result["build_sql"]
        self.sql(f"create or replace table {name} as {result['build_sql']}")
        for statement in result["clean_up"]:
            self.sql(statement)
        return self.sql(f"from {name}")

    def dry_run(self, select: str, models: list[str], name: str = "out") -> dict[str, Any]:
        """Return the figures of a predicting model's dry run."""
        figures: dict[str, Any] = self._step(dry_run, self._arguments(name, select, models))["figures"]
        return figures

    @staticmethod
    def _arguments(name: str, select: str, models: list[str]) -> dict[str, Any]:
        return {
            "name": name,
            "alias": name,
            "sql": select,
            "store": {"database": None, "schema": "main", "identifier": f"{name}__ml_predictions"},
            "models": [{"unique_id": f"model.t.{model}", "name": model, "relations": [model]} for model in models],
        }

    def _step(self, step: Any, args: Mapping[str, Any]) -> dict[str, Any]:
        step(json.dumps({"package_version": __version__} | dict(args)), self.connection)
        result: dict[str, Any] = json.loads(self.sql("select getvariable('dbt_triton_result')")[0][0])
        if "error" in result:
            raise StepError(result["error"])
        return result
