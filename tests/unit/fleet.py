"""Several small servers in the event loop of a test: each slow, away, busy, or of another version as a test says."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson
from unit.http_server import Answer, Received, _bytes, _read
from unit.kserve import Kept, batches_of

from dbt_triton.client.fleet import ask_all
from dbt_triton.ddl import parse_create_model
from dbt_triton.engine import Engine, RunStats, SequenceEngine
from dbt_triton.inference_model import InferenceModel, bind
from dbt_triton.warehouses.requests import open_servers, request_format

_WITH = {"provider": "triton", "model-name": "m", "max-retries": "2", "timeout": "20s", "batch-size": "4"}


@dataclass
class Model:
    """What a server serves, and how it fares. A test may change any of it in mid-run.

    Args:
        seconds: for a request, of which it answers ``slots`` at a time.
        slots: how many it works on at once.
        fault: ``hang``, ``reset`` (after the request was read), ``die`` (the whole server, for a moment), ``nonsense``
            (an answer that cannot be decoded), or a status to answer in place of predictions.
        retry_after: goes with the status.
        version: that it says it serves.
        max_batch_size: that it says it takes.
        sequences: whether it keeps sequences.
        generates: whether it is decoupled, and asked by ``generate_stream``.
        change: makes another answer of the right one, which is an event of a language model.
    """

    seconds: float = 0.0
    slots: int = 4
    fault: str | int | None = None
    retry_after: str | None = None
    version: str = "1"
    max_batch_size: int = 32
    sequences: bool = False
    generates: bool = False
    judge: Callable[[list[str]], int | str | None] = field(default=lambda _: None)
    change: Callable[[dict[str, Any]], bytes] = field(default=orjson.dumps)


class SmallServer:
    """Listens on an address and a port that it keeps while it is stopped; makes texts upper case."""

    def __init__(self, model: Model | None = None, host: str = "127.0.0.1", port: int = 0, context: Any = None) -> None:
        self.model = model or Model()
        self.host, self.port, self._context = host, port, context
        self.sent: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.requests = 0
        self.in_flight = self.most_in_flight = 0
        self.parameters: list[dict[str, Any]] = []
        self.hosts: set[str] = set()
        self.began: list[float] = []
        self._slots = asyncio.Semaphore(self.model.slots)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dying: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{self.host}:{self.port}"

    async def start(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._connection, self.host, self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def kill(self) -> None:
        """Drop every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _die(self) -> None:
        """Come back a little later, as a process that is supervised."""
        await self.kill()
        await asyncio.sleep(0.3)
        if not self._closed:
            await self.start()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        await self.kill()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while received := await _read(reader):
                self.hosts |= set(received.headers("host"))
                answer = await self._answer(received)
                if answer.reset:
                    writer.transport.abort()
                    return
                writer.write(_bytes(answer))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, received: Received) -> Answer:
        model = self.model
        if received.method == "GET":
            return Answer(body=orjson.dumps(self._metadata(received.path)))
        said = orjson.loads(received.body)
        texts = [said["text_input"]] if model.generates else said["inputs"][0]["data"]
        self.requests += 1
        self.began.append(time.monotonic())
        self.sent.update(texts)
        self.parameters.append(said.get("parameters", {}))
        fault = model.judge(texts) or model.fault
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "die":
            self._dying = asyncio.create_task(self._die())
            await asyncio.sleep(3600)
        if fault == "reset":
            return Answer(reset=True)
        if isinstance(fault, int):
            headers = {"Retry-After": model.retry_after} if model.retry_after else {}
            return Answer(fault, b'{"error": "as the test says"}', headers)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            async with self._slots:
                await asyncio.sleep(model.seconds)
        finally:
            self.in_flight -= 1
        self.answered.update(texts)
        if model.generates:
            event = {"model_name": "m", "model_version": model.version, "text_output": texts[0].upper()}
            sent = b"data: " + model.change(event) + b"\n\n"
            return Answer(body=sent, headers={"Content-Type": "text/event-stream"})
        output = {"name": "OUTPUT_TEXT", "datatype": "BYTES", "shape": [len(texts), 1]}
        body: dict[str, Any] = {"id": said["id"], "model_name": "m", "model_version": model.version}
        made = [0] * len(texts) if fault == "nonsense" else [text.upper() for text in texts]
        body["outputs"] = [{**output, "data": made}]
        return Answer(body=model.change(body))

    def _metadata(self, path: str) -> dict[str, Any]:
        text = {"datatype": "BYTES", "shape": [-1, 1]}
        if self.model.generates:
            return self._of_language_model(path)
        if path.endswith("/config"):
            config = {"name": "m", "max_batch_size": self.model.max_batch_size}
            return config | ({"sequence_batching": {}} if self.model.sequences else {})
        if path.endswith("/v2"):
            return {"name": "triton", "version": "2.51.0", "extensions": []}
        inputs, outputs = [{"name": "INPUT_TEXT"} | text], [{"name": "OUTPUT_TEXT"} | text]
        return {"name": "m", "versions": [self.model.version], "inputs": inputs, "outputs": outputs}

    def _of_language_model(self, path: str) -> dict[str, Any]:
        if path.endswith("/config"):
            return {"name": "m", "max_batch_size": 0, "model_transaction_policy": {"decoupled": True}}
        if path.endswith("/v2"):
            return {"name": "triton", "version": "2.51.0", "extensions": []}
        text = {"datatype": "BYTES", "shape": [1]}
        inputs, outputs = [{"name": "text_input"} | text], [{"name": "text_output"} | text]
        return {"name": "m", "versions": [self.model.version], "inputs": inputs, "outputs": outputs}


def declared(endpoint: str, **options: str) -> InferenceModel:
    """Declare the model at an endpoint, or at several with commas."""
    written = _WITH | {"endpoint": endpoint} | {name.replace("_", "-"): value for name, value in options.items()}
    pairs = ", ".join(f"'{key}' = '{value}'" for key, value in written.items() if value)
    definition = f"CREATE MODEL m INPUT (`text` STRING) OUTPUT (`upper` STRING) WITH ({pairs})"
    return InferenceModel.from_definition(parse_create_model(definition))


@dataclass
class Ran:
    """What came of a run."""

    kept: Kept
    stats: RunStats
    notes: tuple[str, ...]
    seconds: float


async def predict(
    texts: Sequence[str],
    endpoint: str,
    *,
    meanwhile: Callable[[Engine], Any] | None = None,
    **options: str,
) -> Ran:
    """Predict texts as a warehouse does: ask the servers, bind, open them, and run the engine."""
    model = declared(endpoint, **options)
    fleet = await ask_all(model.options, {})
    binding = bind(model, fleet.served)
    kept = Kept()
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(open_servers(model.options, binding, {}))
        kind = SequenceEngine if model.options.sequence_by else Engine
        engine = kind(
            servers,
            request_format(model.options, binding),
            batch_size=binding.batch_size,
            key_columns=1,
            sink=kept,
            shared_batches=binding.shared_batches,
            version=binding.version,
        )
        task = asyncio.create_task(meanwhile(engine)) if meanwhile is not None else None
        try:
            batches = batches_of(texts)
            if model.options.sequence_by:
                batches = [_with_numbers(batch) for batch in batches]
            stats = await asyncio.wait_for(engine.run(batches), 60)
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    return Ran(kept, stats, fleet.notes, time.monotonic() - started)


def _with_numbers(batch: Any) -> Any:
    """Put the number of its sequence, which is what stands before the dash of its text, into each row."""
    import pyarrow as pa  # noqa: PLC0415 - here only

    numbers = [int(text.partition("-")[0]) for text in batch.column(1).to_pylist()]
    arrays = [batch.column(0), pa.array(numbers, pa.int64()), batch.column(1)]
    return pa.RecordBatch.from_arrays(arrays, names=["key", "number", "text"])
