"""The two materializations on a Spark session, as their macros run them, without a dbt command of several seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from dbt_triton import __version__
from dbt_triton.step import build_inference_model, dry_run, plan, predict
from dbt_triton.warehouses.spark.jobs import node_of
from support.session import StepError

_NUMBERS = itertools.count(1)


class SparkSteps:
    """A schema of a Spark session; tables without a schema are in the session's own.

    Args:
        spark: the session.
        schema: of the tables.
    """

    def __init__(self, spark: Any, schema: str) -> None:
        self.spark = spark
        self.schema = schema
        self.figures: dict[str, Any] = {}
        self.build_sql = ""

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        return [tuple(row) for row in self.spark.sql(text).collect()]

    def table(self, name: str, query: str) -> None:
        """Make a table of the rows of a query, whatever is there."""
        staged = f"{name}__staged_{next(_NUMBERS)}"
        self.sql(f"create table {staged} using parquet as {query}")
        self.sql(f"drop table if exists {name}")
        self.sql(f"alter table {staged} rename to {name}")

    def create_model(self, name: str, schema: str, options: Mapping[str, str]) -> None:
        """Build an inference model; ``schema`` is ``INPUT (…) OUTPUT (…)``."""
        pairs = {"provider": "triton", "timeout": "20s", "max-retries": "1"} | dict(options)
        written = ", ".join(f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in pairs.items())
        statement = f"CREATE MODEL {name} {schema} WITH ({written})"
        result = self._step(build_inference_model, {"name": name, "alias": name, "sql": statement})
        self.table(name, result["build_sql"])

    def build(self, name: str, select: str, models: list[str], **arguments: Any) -> list[tuple[Any, ...]]:
        """Build a predicting model and return its rows; ``select`` names inference models as they are."""
        args = self._arguments(name, select, models) | arguments
        self._step(plan, args)
        result = self._step(predict, args)
        self.figures, self.build_sql = result["figures"], result["build_sql"]
        self.table(name, result["build_sql"])
        for statement in result["clean_up"]:
            self.sql(statement)
        return self.sql(f"select * from {name}")

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
        step(json.dumps({"package_version": __version__, "unique_id": unique_id} | dict(args)), self.spark)
        view = f"dbt_triton_result_{node_of(unique_id)}"
        result: dict[str, Any] = json.loads(self.sql(f"select result from {view}")[0][0])
        self.spark.catalog.dropTempView(view)
        if "error" in result:
            raise StepError(result["error"])
        return result
