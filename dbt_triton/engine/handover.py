"""Handing over predictions and failed rows, chunk by chunk, in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from dbt_triton.engine.outcomes import FailedRows, Sink
from dbt_triton.engine.source import Request
from dbt_triton.errors import AnswerError
from dbt_triton.tensors import Answer, TensorSpec, decode_outputs
from dbt_triton.tensors.trim import Trimmer

#: A chunk of predictions is handed over at this many rows (a row group of DuckDB, which it then writes only once), at
#: this many bytes of answers, or after this many seconds if nothing is being written.
CHUNK_ROWS = 122_880
CHUNK_BYTES = 64 * 2**20
CHUNK_SECONDS = 1.0
#: Handing over may be this many chunks behind before sending waits for it.
_CHUNKS_BEHIND = 1


@dataclass
class _Chunk:
    """What waits to be decoded and handed over."""

    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    failed: list[FailedRows] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    started: float = field(default_factory=time.monotonic)


class HandOver:
    """Collects answers and failed rows, and gives them to a sink.

    Args:
        sink: takes predictions and failed rows.
        inputs: the tensors of a request.
        outputs: the tensors of an answer.
        on_undecodable: is told on the event loop of requests whose answers cannot be decoded.
    """

    def __init__(
        self,
        sink: Sink,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        on_undecodable: Callable[[Request, AnswerError], None],
    ) -> None:
        self._sink = sink
        self.trimmer = Trimmer(inputs, outputs)
        self._outputs = outputs
        self._on_undecodable = on_undecodable
        self._chunk = _Chunk()
        #: Rows that no request can hold; the reader finds them, in its own thread.
        self.refused: deque[FailedRows] = deque()
        self._behind: deque[asyncio.Future[list[tuple[Request, AnswerError]]]] = deque()
        self._rows = 0
        self.rows_failed = 0

    @property
    def rows(self) -> int:
        """How many rows have a prediction."""
        return self._rows + self._chunk.rows

    def take(self, request: Request, answer: Answer, size: int) -> None:
        """Take a checked answer of so many bytes."""
        chunk = self._chunk
        chunk.requests.append(request)
        chunk.answers.append(answer)
        chunk.rows += answer.rows
        chunk.bytes += size

    def fail(self, failed: FailedRows) -> None:
        """Take rows that failed for good."""
        self._chunk.failed.append(failed)
        self.rows_failed += len(failed.keys[0])

    def is_due(self) -> bool:
        """Whether there is enough to hand over, or it is time."""
        chunk = self._chunk
        if chunk.rows >= CHUNK_ROWS or chunk.bytes >= CHUNK_BYTES:
            return True
        # While the writer has enough to do, a larger chunk costs it less than two.
        is_writing = any(not written.done() for written in self._behind)
        return not is_writing and time.monotonic() - chunk.started >= CHUNK_SECONDS

    async def hand_over(self, writer: ThreadPoolExecutor) -> None:
        """Hand over what there is; wait where the writer is too far behind."""
        while self.refused:
            self.fail(self.refused.popleft())
        chunk, self._chunk = self._chunk, _Chunk()
        if not chunk.rows and not chunk.failed:
            return
        loop = asyncio.get_running_loop()
        self._behind.append(loop.run_in_executor(writer, self._decode_and_sink, chunk))
        self._rows += chunk.rows
        await self._wait_for_writer(_CHUNKS_BEHIND)

    async def drain(self, writer: ThreadPoolExecutor) -> None:
        """Hand over everything, and wait until it is taken."""
        await self.hand_over(writer)
        await self._wait_for_writer(0)

    async def settle(self) -> None:
        """Wait for what is being handed over, whatever comes of it."""
        await asyncio.gather(*self._behind, return_exceptions=True)

    async def _wait_for_writer(self, behind: int) -> None:
        while len(self._behind) > behind:
            # Not awaited itself: a worker that is cancelled meanwhile must take neither the chunk nor its error along.
            first = self._behind[0]
            await asyncio.wait([first])
            if first not in self._behind:
                continue  # another worker waited for it, too
            self._behind.remove(first)
            for request, error in first.result():
                self._rows -= request.rows
                self._on_undecodable(request, error)

    def _decode_and_sink(self, chunk: _Chunk) -> list[tuple[Request, AnswerError]]:
        """Decode a chunk and hand it over. Returns the requests whose answers cannot be decoded."""
        if chunk.failed:
            self._sink.failures(chunk.failed)
        if not chunk.requests:
            return []
        try:
            outputs = self._decoded(chunk.requests, chunk.answers)
        except AnswerError:
            return self._decode_one_by_one(chunk)
        columns = zip(*(request.request_keys for request in chunk.requests), strict=True)
        self._sink.predictions([pa.concat_arrays(column) for column in columns], outputs)
        return []

    def _decode_one_by_one(self, chunk: _Chunk) -> list[tuple[Request, AnswerError]]:
        undecodable = []
        for request, answer in zip(chunk.requests, chunk.answers, strict=True):
            try:
                self._sink.predictions(request.request_keys, self._decoded([request], [answer]))
            except AnswerError as error:
                undecodable.append((request, error))
        return undecodable

    def _decoded(self, requests: Sequence[Request], answers: Sequence[Answer]) -> list[pa.Array]:
        """Return the outputs, cut to the lengths that rows had before they were padded."""
        cuts = self.trimmer.cuts(answers, [request.lengths for request in requests])
        return decode_outputs(answers, self._outputs, cuts)
