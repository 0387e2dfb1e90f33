"""What a dbt Python model passes on Spark, as temporary views; and the DataFrame that it gets back.

The DataFrame reads the predictions when dbt writes the table. So what it reads is dropped when the model is done.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dbt_triton.warehouses import WarehouseError

if TYPE_CHECKING:
    from dbt_triton.warehouses.spark.session import SparkWarehouse


@contextmanager
def given_to(warehouse: SparkWarehouse, table: Any, model: Any) -> Generator[SparkGiven]:
    """Let SQL read what a Python model passes."""
    given = SparkGiven(warehouse, table, model)
    try:
        yield given
    finally:
        # Not before the model is done: a DataFrame of Spark Connect looks views up when it is read.
        warehouse.jobs.when_over(given.forget)


class SparkGiven:
    """The table and the inference model of one call in a Python model.

    Args:
        warehouse: the session.
        table: a DataFrame of Spark or of pandas, an Arrow table, or a SELECT.
        model: the DataFrame of the inference model, or a SELECT.
    """

    def __init__(self, warehouse: SparkWarehouse, table: Any, model: Any) -> None:
        mark = f"dbt_triton_{uuid.uuid4().hex[:12]}"
        self.table, self.model = mark, f"{mark}_model"
        self._warehouse = warehouse
        self._clean_up: list[str] = []
        self._frame: Any = None
        self._model = self._frame_of(model)
        frame = self._frame_of(table)
        self.columns: Sequence[str] = list(frame.columns)
        warehouse.asked(lambda: frame.createOrReplaceTempView(self.table))

    def model_rows(self) -> list[dict[str, Any]]:
        """Read what was passed as the inference model."""
        rows = self._warehouse.asked(self._model.limit(2).collect)
        return [dict(zip(self._model.columns, row, strict=True)) for row in rows]

    def put_model(self, query: str) -> None:
        """Put the row that a query makes where SQL reads the inference model."""
        frame = self._warehouse.sql(query)
        self._warehouse.asked(lambda: frame.createOrReplaceTempView(self.model))

    def keep(self, build_sql: str, clean_up: Sequence[str]) -> None:
        """Keep the result as a DataFrame, and the statements for when the model is done."""
        self._clean_up += clean_up
        self._frame = self._warehouse.sql(build_sql)

    def result(self) -> Any:
        """Return the DataFrame of the result."""
        return self._frame

    def forget(self) -> None:
        """Drop what the result was read from."""
        for name in (self.table, self.model):
            with suppress(Exception):  # Spark may be gone, and its views with it
                self._warehouse.spark.catalog.dropTempView(name)
        for statement in self._clean_up:
            with suppress(WarehouseError):  # the next run does it
                self._warehouse.execute(statement)

    def _frame_of(self, given: Any) -> Any:
        spark = self._warehouse.spark
        if isinstance(given, str):
            return self._warehouse.sql(given)
        if hasattr(given, "createOrReplaceTempView"):
            return given
        return self._warehouse.asked(lambda: spark.createDataFrame(given))
