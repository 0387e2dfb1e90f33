"""What people write on Spark without the product: ``predict_batch_udf`` with NVIDIA's client; and no client at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from harness.spark_tables import Kind, Source

Predict = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def identity(spark: Any, source: Source, target: str) -> None:  # noqa: ANN401 - pyspark's classes are untyped
    """Pass every row through a task's Python, and ask nobody."""
    frame = spark.read.parquet(source.path)
    frame.mapInArrow(_same, frame.schema).write.mode("overwrite").parquet(target)


def batch_udf(module: str, address: str) -> Callable[[Any, Source, str], None]:
    """Return a run of ``predict_batch_udf`` with a tritonclient.

    Args:
        module: ``http`` or ``grpc``.
        address: of the server, without a scheme.
    """

    def run(spark: Any, source: Source, target: str) -> None:  # noqa: ANN401
        from pyspark.ml.functions import predict_batch_udf  # noqa: PLC0415 - not everybody has it
        from pyspark.sql import functions, types  # noqa: PLC0415

        kind = source.kind
        returned = types.StringType() if kind.sql == "string" else types.DoubleType()
        predict = predict_batch_udf(
            lambda: _predictor(module, address, kind), return_type=returned, batch_size=kind.batch_size
        )
        frame = spark.read.parquet(source.path)
        frame.select("ml_key", predict(functions.col("value")).alias("same")).write.mode("overwrite").parquet(target)

    return run


def _predictor(module: str, address: str, kind: Kind) -> Predict:
    """Return what a task calls for each batch: one request, and the answer awaited, as Spark's documentation shows."""
    if module == "http":
        import tritonclient.http as triton  # noqa: PLC0415 - imported where the tasks run
    else:
        import tritonclient.grpc as triton  # noqa: PLC0415
    client = triton.InferenceServerClient(address)
    given, asked = kind.tensors

    def predict(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows = values.reshape(-1, 1)
        tensor = triton.InferInput(given, list(rows.shape), kind.datatype)
        tensor.set_data_from_numpy(rows)
        answer = client.infer(kind.model, [tensor], outputs=[triton.InferRequestedOutput(asked)])
        same = answer.as_numpy(asked).reshape(-1)
        if kind.datatype == "BYTES":
            return np.array([text.decode() for text in same], dtype=np.object_)
        numbers: np.ndarray[Any, Any] = same
        return numbers

    return predict


def _same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches
