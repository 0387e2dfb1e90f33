"""The product on Spark, as a step calls it: the engine in mapInArrow alone, and the whole way from table to table."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from dbt_triton.client import TritonClient
from dbt_triton.ddl import parse_create_model
from dbt_triton.inference_model import Binding, InferenceModel, bind
from harness.spark_tables import Source

_SCHEMA = "bench"


class Product:
    """An inference model as it is served, and the runs of it.

    Args:
        endpoint: of the server.
        in_flight: requests in flight in total; by default as many as the engine finds best.
        tasks: how many send at once; by default as many as there are files.
    """

    def __init__(self, endpoint: str, *, in_flight: int | None = None, tasks: int | None = None) -> None:
        self._endpoint = endpoint
        self._in_flight = in_flight
        self._tasks = tasks

    def in_tasks(self, spark: Any, source: Source, target: str) -> None:  # noqa: ANN401 - pyspark's classes are untyped
        """Send every row under the key that it has: a scan, ``mapInArrow``, and the writing of a store's rows."""
        self._in_tasks(spark, source, target, "ml_key")

    def keyed(self, spark: Any, source: Source, target: str) -> None:  # noqa: ANN401
        """Make the key of every row, and send it."""
        from dbt_triton.warehouses.spark.keys import key_expression  # noqa: PLC0415

        self._in_tasks(spark, source, target, key_expression(["cast(value as string)"]))

    def _in_tasks(self, spark: Any, source: Source, target: str, key: str) -> None:  # noqa: ANN401
        from dbt_triton.warehouses.spark.bridge import run_task  # noqa: PLC0415 - where there is Spark
        from dbt_triton.warehouses.spark.dialect import SparkDialect  # noqa: PLC0415
        from dbt_triton.warehouses.spark.store import SparkStore  # noqa: PLC0415
        from dbt_triton.warehouses.spark.task import Task  # noqa: PLC0415

        model, binding = self._model(source)
        store = SparkStore(spark, (_SCHEMA, "predictions"), model, SparkDialect(), binding.fingerprint)
        inputs = tuple(column.type for column in model.inputs)
        outputs = tuple(column.type.in_tables for column in model.outputs)
        frame = spark.read.parquet(source.path).selectExpr(f"{key} as ml_key", "value as value_0")
        if self._tasks:
            frame = frame.repartition(self._tasks)
        tasks = self._tasks or frame.rdd.getNumPartitions()
        task = Task(binding, model.options, 'inference model "m"', inputs, outputs, "bench", tasks=tasks)
        frame.mapInArrow(partial(run_task, task), store.schema).write.mode("overwrite").parquet(target)

    def whole(self, spark: Any, source: Source, target: str) -> None:  # noqa: ANN401
        """Find the distinct inputs, send them in waves to a prediction store, and join it with the input."""
        from dbt_triton.warehouses.spark.dialect import SparkDialect  # noqa: PLC0415
        from dbt_triton.warehouses.spark.keys import key_expression  # noqa: PLC0415
        from dbt_triton.warehouses.spark.run_names import RunName  # noqa: PLC0415
        from dbt_triton.warehouses.spark.store import SparkStore  # noqa: PLC0415
        from dbt_triton.warehouses.spark.store_lock import StoreLock  # noqa: PLC0415
        from dbt_triton.warehouses.spark.waves import Sending, send_in_waves  # noqa: PLC0415

        model, binding = self._model(source)
        spark.sql(f"create schema if not exists {_SCHEMA}")
        spark.read.parquet(source.path).createOrReplaceTempView("bench_input")
        store = SparkStore(spark, (_SCHEMA, "predictions"), model, SparkDialect(), binding.fingerprint)
        run = RunName.new()
        lock = StoreLock(spark, store, run)
        lock.take()
        known = store.prepare(retry_errors=False)
        key = key_expression(["cast(value as string)"])
        query = store.pending_query("bench_input", ("value",), key, anything_known=known > 0)
        rows = spark.sql(f"select count(distinct {key}) as n from bench_input").collect()[0].n
        inputs = tuple(column.type for column in model.inputs)
        try:
            sending = Sending(query, rows, inputs, binding, model.options, "the benchmark", tasks=self._tasks)
            send_in_waves(spark, store, sending, run)
            joined = spark.sql(
                f"select i.value, p.same from (select *, {key} as input_key from bench_input) as i "
                f"left join {store.current} as p on p.ml_key = i.input_key"
            )
            joined.write.mode("overwrite").parquet(target)
        finally:
            run.end()
            spark.sql(store.drop)
            lock.release()

    def _model(self, source: Source) -> tuple[InferenceModel, Binding]:
        kind = source.kind
        options = {
            "provider": "triton",
            "endpoint": self._endpoint,
            "model-name": kind.model,
            "batch-size": str(kind.batch_size),
        }
        if self._in_flight:
            options["max-concurrent-operations"] = str(self._in_flight)
        written = ", ".join(f"'{name}' = '{value}'" for name, value in options.items())
        columns = f"INPUT (value {kind.flink}) OUTPUT (same {kind.flink})"
        model = InferenceModel.from_definition(parse_create_model(f"CREATE MODEL m {columns} WITH ({written})"))
        return model, asyncio.run(_bound(model))


async def _bound(model: InferenceModel) -> Binding:
    async with TritonClient(model.options) as client:
        return bind(model, await client.served_model())
