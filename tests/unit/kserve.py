"""A model behind httpx.MockTransport that speaks KServe v2: it makes texts upper case, and fails as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpx
import orjson
import pyarrow as pa

from dbt_triton.client import TritonClient
from dbt_triton.engine import Engine, FailedRows, RunStats
from dbt_triton.options import parse_options
from dbt_triton.tensors import RequestFormat, TensorSpec, datatype_of_sql

Body = dict[str, Any]
#: Given the texts of a request: None, or a status and words to answer in place of a prediction.
Judge = Callable[[list[str]], tuple[int, str] | None]


def spec(column: str, sql_type: str, row_shape: tuple[int, ...] = (1,)) -> TensorSpec:
    """Describe a tensor that is called like its column, in capitals."""
    found = datatype_of_sql(sql_type)
    assert found is not None
    return TensorSpec(column, column.upper(), found[0], row_shape)


def predicted(texts: list[str]) -> Body:
    """Answer as Triton would: both outputs, in an order of its own."""
    lengths = {"name": "LENGTH", "datatype": "INT32", "shape": [len(texts), 1], "data": [len(text) for text in texts]}
    upper = {"name": "UPPER", "datatype": "BYTES", "shape": [len(texts), 1], "data": [text.upper() for text in texts]}
    return {"model_name": "m", "model_version": "1", "outputs": [lengths, upper]}


class UpperModel:
    """Answers requests, and keeps the texts of each.

    Args:
        judge: refuses requests.
        change: changes an answer before it is sent.
        before: is awaited before a request is answered.
    """

    def __init__(
        self,
        judge: Judge = lambda _: None,
        change: Callable[[Body, list[str]], Body | bytes] = lambda body, _: body,
        before: Callable[[list[str]], Awaitable[object]] | None = None,
    ) -> None:
        self.requests: list[list[str]] = []
        self.answered: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._judge = judge
        self._change = change
        self._before = before

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        (tensor,) = orjson.loads(request.content)["inputs"]
        texts = tensor["data"]
        assert tensor == {"name": "TEXT", "datatype": "BYTES", "shape": [len(texts), 1], "data": texts}
        self.requests.append(texts)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await (self._before(texts) if self._before else asyncio.sleep(0))
        finally:
            self.in_flight -= 1
        if refused := self._judge(texts):
            return httpx.Response(refused[0], content=orjson.dumps({"error": refused[1]}))
        answer = self._change(predicted(texts), texts)
        self.answered += texts
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else orjson.dumps(answer))


class Kept:
    """A sink that keeps everything, by key."""

    def __init__(self) -> None:
        self.predictions_by_key: dict[Any, tuple[Any, ...]] = {}
        self.failed: list[tuple[Any, FailedRows]] = []

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        """Keep predictions; a key that comes twice is an error."""
        for key, *row in zip(keys[0].to_pylist(), *(column.to_pylist() for column in outputs), strict=True):
            assert key not in self.predictions_by_key
            self.predictions_by_key[key] = tuple(row)

    def failures(self, failed: Sequence[FailedRows]) -> None:
        """Keep failed rows."""
        self.failed += [(key, rows) for rows in failed for key in rows.keys[0].to_pylist()]

    @property
    def failed_keys(self) -> list[Any]:
        """The keys of the failed rows, in order."""
        return sorted(key for key, _ in self.failed)


def batches_of(texts: Sequence[str], sizes: Iterable[int] = (10_000,)) -> list[pa.RecordBatch]:
    """Lay texts in record batches of these sizes (the last again and again); the key of a row is its number."""
    table = pa.table({"key": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})
    batches, start, sizes = [], 0, list(sizes)
    while start < len(texts):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        batches += table.slice(start, size).combine_chunks().to_batches()
        start += size
    return batches


async def run_engine(  # noqa: PLR0913 - the parts of one run
    model: UpperModel,
    batches: Iterable[pa.RecordBatch],
    sink: Kept,
    *,
    batch_size: int = 4,
    shared_batches: bool = False,
    options: dict[str, Any] | None = None,
) -> RunStats:
    """Send record batches to a model."""
    required = {"provider": "triton", "endpoint": "http://nowhere.invalid", "model-name": "m", "max-retries": "0"}
    parsed = parse_options(required | (options or {}), "m")
    outputs = [spec("upper", "STRING"), spec("length", "INT")]
    form = RequestFormat([spec("text", "STRING")], outputs, binary=False, batched=True)
    async with TritonClient(parsed, transport=httpx.MockTransport(model)) as client:
        engine = Engine(client, form, batch_size=batch_size, key_columns=1, sink=sink, shared_batches=shared_batches)
        return await engine.run(batches)
