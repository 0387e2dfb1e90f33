"""The store and the waves of Spark, without dbt: a table of texts, and a model that makes them upper case."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from unit.http_server import Answer, Received, RecordingServer

from dbt_triton.client.fleet import ask_all
from dbt_triton.ddl import parse_create_model
from dbt_triton.engine import RunStats
from dbt_triton.inference_model import Binding, InferenceModel, bind
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.store import SparkStore
from dbt_triton.warehouses.spark.store_lock import StoreLock
from dbt_triton.warehouses.spark.type_names import type_name
from dbt_triton.warehouses.spark.waves import Sending, send_in_waves

UPPER = "INPUT (text STRING) OUTPUT (upper STRING)"


class Types:
    """How names and types are written."""

    def quote(self, identifier: str) -> str:
        """Quote an identifier."""
        return "`" + identifier.replace("`", "``") + "`"

    def type_name(self, kind: SqlType) -> str:
        """Name a type."""
        return type_name(kind)


def define(schema: str, options: Mapping[str, str]) -> InferenceModel:
    """Validate a model."""
    pairs = {"provider": "triton", "timeout": "20s", "max-retries": "1"} | dict(options)
    written = ", ".join(f"'{key}' = '{value}'" for key, value in pairs.items())
    return InferenceModel.from_definition(parse_create_model(f"CREATE MODEL m {schema} WITH ({written})"))


def served(model: InferenceModel) -> Binding:
    """Ask the servers, as the preflight does."""
    return bind(model, asyncio.run(ask_all(model.options, {})).served)


class Call:
    """One call: a query of inputs, a model, and a store.

    Args:
        spark: the session.
        name: of the table that would be built; the store is beside it.
        model: the inference model.
        source: the FROM clause of the input.
        values: SQL of what is sent.
        key: SQL of the key.
        binding: where the server is not to be asked.
    """

    def __init__(  # noqa: PLR0913 - what a call is made of
        self,
        spark: Any,
        name: str,
        model: InferenceModel,
        source: str,
        *,
        values: tuple[str, ...] = ("text",),
        key: str | None = None,
        binding: Binding | None = None,
        file_format: str = "parquet",
    ) -> None:
        self.spark = spark
        self.model = model
        self.binding = binding or served(model)
        self.source = source
        self.values = values
        self.key = key or key_of(*values)
        store = (spark.catalog.currentDatabase(), f"{name}__ml_predictions")
        self.store = SparkStore(spark, store, model, Types(), self.binding.fingerprint, file_format)
        self.known = 0

    def run(self, query: str | None = None, **settings: Any) -> RunStats:
        """Prepare the store and send what is pending."""
        options = self.model.options
        run = RunName.new()
        lock = StoreLock(self.spark, self.store, run)
        lock.take()
        try:
            self.known = self.store.prepare(retry_errors=options.retry_errors, start_anew=options.in_sequence)
            pending = query or self.store.pending_query(
                self.source, self.values, self.key, anything_known=self.known > 0
            )
            rows = self.spark.sql(f"select count(distinct {self.key}) as n from {self.source}").collect()[0].n
            sending = Sending(
                pending,
                rows - self.known,
                tuple(column.type for column in self.model.inputs),
                self.binding,
                options,
                'inference model "m"',
                **settings,
            )
            return send_in_waves(self.spark, self.store, sending, run)
        finally:
            run.end()
            lock.release()

    def rows(self) -> list[Any]:
        """Return the input with its predictions, as the table would have it."""
        outputs = ", ".join(f"predictions.{column.name}" for column in self.model.outputs)
        return list(
            self.spark.sql(
                f"select input_rows.*, {outputs}, predictions.ml_error from "
                f"(select *, {self.key} as input_key from {self.source}) as input_rows "
                f"left join {self.store.current} as predictions on predictions.ml_key = input_rows.input_key"
            ).collect()
        )

    def stored(self) -> dict[str, int]:
        """Count the rows of the store by their kinds."""
        self.spark.catalog.refreshTable(self.store.relation)
        found = self.spark.sql(f"select ml_kind, count(*) as n from {self.store.relation} group by ml_kind").collect()
        return {row.ml_kind: row.n for row in found}

    def files(self) -> int:
        """Count the files of the store's predictions."""
        return len(self.spark.sql(f"select * from {self.store.relation} where ml_kind = 'ok'").inputFiles())

    def drop(self) -> None:
        """Forget everything."""
        self.spark.sql(self.store.drop)


def key_of(*values: str) -> str:
    """Return the SQL of a key."""
    joined = ", ".join(f"length(cast({value} as string)), ':', cast({value} as string)" for value in values)
    return f"substring(unhex(sha2(concat({joined}), 256)), 1, 16)"


class FakeTriton:
    """A server in a thread of its own that speaks KServe for a model of texts, and fails as a test says.

    Args:
        judge: is given the texts of a request and its number, from 1; returns what to answer in place of predictions.
        version: that it says it serves.
    """

    def __init__(
        self, judge: Callable[[list[str], int], Answer | None] = lambda _texts, _n: None, version: str = "1"
    ) -> None:
        self.judge = judge
        self.version = version
        self.requests: list[list[str]] = []
        self.answered: list[str] = []
        self.headers: list[list[tuple[str, str]]] = []
        self._lock = threading.Lock()

    def answer(self, received: Received) -> Answer:
        """Answer one request."""
        if received.method == "GET":
            return Answer(body=json.dumps(self._metadata(received.path)).encode())
        texts = json.loads(received.body)["inputs"][0]["data"]
        with self._lock:
            self.requests.append(texts)
            self.headers.append(received.header_lines)
            number = len(self.requests)
        refused = self.judge(texts, number)
        if refused is not None:
            return refused
        with self._lock:
            self.answered += texts
        said = json.loads(received.body)
        output = {
            "name": "OUTPUT_TEXT",
            "datatype": "BYTES",
            "shape": [len(texts), 1],
            "data": [text.upper() for text in texts],
        }
        body = {"model_name": "m", "model_version": self.version, "outputs": [output]}
        return Answer(body=json.dumps({"id": said["id"]} | body if "id" in said else body).encode())

    def _metadata(self, path: str) -> dict[str, Any]:
        text = {"datatype": "BYTES", "shape": [-1, 1]}
        if path.endswith("/config"):
            return {"name": "m", "max_batch_size": 32}
        if path.endswith("/v2"):
            return {"name": "triton", "version": "2.51.0", "extensions": []}
        return {
            "name": "m",
            "versions": [self.version],
            "inputs": [{"name": "INPUT_TEXT"} | text],
            "outputs": [{"name": "OUTPUT_TEXT"} | text],
        }

    @contextmanager
    def serving(self) -> Generator[str]:
        """Serve, and yield the endpoint."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def start() -> RecordingServer:
            return await RecordingServer(self.answer).__aenter__()

        server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
        try:
            yield server.url
        finally:
            asyncio.run_coroutine_threadsafe(_closed(server), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()


async def _closed(server: RecordingServer) -> None:
    """Close a server with its connections, those of killed workers too."""
    await server.__aexit__(None, None, None)
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def refused(status: int, words: str, **headers: str) -> Answer:
    """Answer with an error of Triton's."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps({"error": words}).encode(), named)


def texts(spark: Any, rows: int, *, distinct: int | None = None, name: str = "texts") -> str:
    """Make a view of texts, some of them equal, and return its name."""
    spark.range(rows).selectExpr("id", f"concat('text ', id % {distinct or rows}) as text").createOrReplaceTempView(
        name
    )
    return name
