"""What the macros ask of Python, in place of the steps: the SELECT of a model is the table, and no row is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

_FIGURES = {
    "rows": 3,
    "rows_predicted": 3,
    "rows_reused": 0,
    "rows_failed": 0,
    "requests": 1,
    "retries": 0,
    "bytes_sent": 1,
    "bytes_received": 1,
    "seconds": 0.1,
}


class FakeSteps:
    """The steps of one test.

    The SQL of a predicting model is taken for the SELECT that a step would have made of it; an inference model is one
    row with its name.
    """

    def __init__(self) -> None:
        #: What was called: the name of the step, and its arguments.
        self.calls: list[tuple[str, dict[str, Any]]] = []
        #: What a step leaves besides, or instead, by its name.
        self.left: dict[str, Mapping[str, Any]] = {}

    @property
    def names(self) -> list[str]:
        """The names of the steps that were called, in order."""
        return [name for name, _ in self.calls]

    def arguments(self, name: str) -> dict[str, Any]:
        """Return the arguments of the last call of a step."""
        return [arguments for step, arguments in self.calls if step == name][-1]

    def build_inference_model(self, arguments: str, spark: Any) -> None:
        """Make a row of the model's name."""
        name = json.loads(arguments)["name"]
        columns = f"select '{name}' as model_name, 'triton' as provider, 'http://localhost' as endpoint"
        rest = "1 as model_version, 1 as served_version, '' as checked_at, '' as dbt_triton_version, '' as input_schema"
        self._leave(
            "build_inference_model", arguments, spark, build_sql=f"{columns}, {rest}", comment="It's $1", message="ok"
        )

    def plan(self, arguments: str, spark: Any) -> None:
        """Take the SELECT as it is."""
        self._leave("plan", arguments, spark, check_sql=json.loads(arguments)["sql"], needs_secrets=[])

    def predict(self, arguments: str, spark: Any) -> None:
        """Take the SELECT as it is."""
        sql = json.loads(arguments)["sql"]
        self._leave(
            "predict", arguments, spark, build_sql=sql, clean_up=[], figures=_FIGURES, unchanged=False, remember=None
        )

    def dry_run(self, arguments: str, spark: Any) -> None:
        """Say that it is none."""
        self._leave("dry_run", arguments, spark, message="would send 3 rows", figures=_FIGURES)

    def note(self, arguments: str, spark: Any) -> None:
        """Note nothing."""
        self._leave("note", arguments, spark)

    def _leave(self, name: str, arguments: str, spark: Any, **result: Any) -> None:
        args = json.loads(arguments)
        self.calls.append((name, args))
        result = {"misplaced": [], "not_needed": []} | result | dict(self.left.get(name, {}))
        from dbt_triton.warehouses.spark.jobs import node_of  # noqa: PLC0415 - for tests with Spark only

        view = f"dbt_triton_result_{node_of(args['unique_id'])}"
        spark.createDataFrame([(json.dumps(result),)], "result string").createOrReplaceTempView(view)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> FakeSteps:
    """The steps that the macros call in this process."""
    import dbt_triton.step  # noqa: PLC0415 - as the macros do

    fake = FakeSteps()
    for name in ("build_inference_model", "plan", "predict", "dry_run", "note"):
        monkeypatch.setattr(dbt_triton.step, name, getattr(fake, name))
    return fake


def model_config(**config: object) -> str:
    """Return the config block of a predicting model in parquet files."""
    config = {"materialized": "ml_predict", "file_format": "parquet"} | config
    return "{{ config(" + ", ".join(f"{name}={value!r}" for name, value in config.items()) + ") }}\n"
