"""Handing over predictions and failed rows, chunk by chunk, in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.engine.outcomes import FailedRows, Sink
from dbt_triton.engine.source import Request
from dbt_triton.errors import AnswerError, InferenceError, Reason
from dbt_triton.instrumentation import event, reason_word
from dbt_triton.tensors import Answer, Format, TensorSpec, decode_outputs, parse_texts
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


@dataclass
class _Handed:
    """What came of a chunk, for the event loop to know."""

    undecodable: list[tuple[Request, AnswerError]] = field(default_factory=list)
    decoded_of: set[object] = field(default_factory=set)
    unfit: list[FailedRows] = field(default_factory=list)
    fit_rows: int = 0
    tokens: int = 0


class HandOver:
    """Collects answers and failed rows, and gives them to a sink.

    Args:
        sink: takes predictions and failed rows.
        form: how requests and answers look.
    """

    def __init__(
        self,
        sink: Sink,
        form: Format,
    ) -> None:
        self._sink = sink
        self.trimmer = Trimmer(form.inputs, form.outputs)
        self._outputs = form.outputs
        self._structured = form.structured
        self._token_counts = [place for place, spec in enumerate(form.outputs) if _counts_tokens(spec)][:1]
        #: So many tokens the model has written, where it says so.
        self.tokens = 0
        #: Is told on the event loop which servers' answers were decoded, and of requests whose answers cannot be.
        self.on_decoded: Callable[[set[object], Sequence[tuple[Request, AnswerError]]], None] = _nobody_is_told
        #: Is told on the event loop of rows whose text is not what OUTPUT declares, and how many rows' was.
        self.on_unfit: Callable[[list[FailedRows], int], None] = _nobody_is_told
        self._chunk = _Chunk()
        #: Rows that no request can hold; the reader finds them, in its own thread.
        self.refused: deque[FailedRows] = deque()
        self._behind: deque[asyncio.Future[_Handed]] = deque()
        self._rows = 0
        self.rows_failed = 0
        #: What decoding and handing over has taken so far.
        self.seconds = 0.0

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
        event("rows.failed", rows=len(failed.keys[0]), reason=reason_word(failed.error.reason))

    def is_due(self) -> bool:
        """Whether there is enough to hand over, or it is time."""
        chunk = self._chunk
        if chunk.rows >= CHUNK_ROWS or chunk.bytes >= CHUNK_BYTES:
            return True
        if time.monotonic() - chunk.started < CHUNK_SECONDS:
            return False
        # While the writer has enough to do, a larger chunk costs it less than two.
        return all(written.done() for written in self._behind)

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
            handed = first.result()
            self.tokens += handed.tokens
            self._rows -= sum(request.rows for request, _ in handed.undecodable)
            self.on_decoded(handed.decoded_of, handed.undecodable)
            unfit = sum(len(failed.keys[0]) for failed in handed.unfit)
            self._rows -= unfit
            self.rows_failed += unfit
            if unfit:
                event("rows.failed", rows=unfit, reason=reason_word(Reason.UNFIT_TEXT))
            if self._structured is not None:
                self.on_unfit(handed.unfit, handed.fit_rows)

    def _decode_and_sink(self, chunk: _Chunk) -> _Handed:
        """Decode a chunk and hand it over. Returns what came of it, such as answers that cannot be decoded."""
        started = time.perf_counter()
        try:
            return self._handed(chunk)
        finally:
            self.seconds += time.perf_counter() - started

    def _handed(self, chunk: _Chunk) -> _Handed:
        handed = _Handed()
        if chunk.failed:
            self._sink.failures(chunk.failed)
        if not chunk.requests:
            return handed
        requests, answers = _as_they_were_read(chunk)
        try:
            outputs = self._decoded(requests, answers)
        except AnswerError:
            self._decode_one_by_one(requests, answers, handed)
            return handed
        handed.decoded_of = {request.not_at for request in requests}
        self._sink_rows(_keys_of(requests), outputs, handed)
        return handed

    def _decode_one_by_one(self, requests: Sequence[Request], answers: Sequence[Answer], handed: _Handed) -> None:
        """Find the answers that cannot be decoded, and sink all others at once: the sink takes long for many pieces."""
        decoded: list[Request] = []
        outputs: list[list[pa.Array]] = []
        for request, answer in zip(requests, answers, strict=True):
            try:
                outputs.append(self._decoded([request], [answer]))
            except AnswerError as error:
                handed.undecodable.append((request, error))
            else:
                decoded.append(request)
        if decoded:
            handed.decoded_of = {request.not_at for request in decoded}
            columns = [pa.concat_arrays(pieces) for pieces in zip(*outputs, strict=True)]
            self._sink_rows(_keys_of(decoded), columns, handed)

    def _decoded(self, requests: Sequence[Request], answers: Sequence[Answer]) -> list[pa.Array]:
        """Return the outputs, cut to the lengths that rows had before they were padded."""
        cuts = self.trimmer.cuts(answers, [request.lengths for request in requests])
        return decode_outputs(answers, self._outputs, cuts)

    def _sink_rows(self, keys: list[pa.Array], outputs: list[pa.Array], handed: _Handed) -> None:
        """Give decoded rows to the sink: the columns of OUTPUT, and the rows whose text has none."""
        handed.tokens += sum(_sum(outputs[place]) for place in self._token_counts)
        if self._structured is not None:
            parsed = parse_texts(outputs, self._structured)
            outputs = parsed.columns
            if parsed.failed:
                unfit = [
                    FailedRows(
                        [column.slice(place, 1) for column in keys], InferenceError(why, reason=Reason.UNFIT_TEXT)
                    )
                    for place, why in parsed.failed.items()
                ]
                self._sink.failures(unfit)
                handed.unfit += unfit
                keys = [column.take(pa.array(parsed.whole)) for column in keys]
            handed.fit_rows += len(keys[0])
        if len(keys[0]):
            self._sink.predictions(keys, outputs)


def _as_they_were_read(chunk: _Chunk) -> tuple[list[Request], list[Answer]]:
    """Return the requests of a chunk and their answers in the order of their rows, not of the answers."""
    batches: dict[int, int] = {}
    for request in chunk.requests:
        batches.setdefault(id(request.keys), len(batches))
    order = sorted(
        range(len(chunk.requests)),
        key=lambda place: (batches[id(chunk.requests[place].keys)], chunk.requests[place].start),
    )
    return [chunk.requests[place] for place in order], [chunk.answers[place] for place in order]


def _keys_of(requests: Sequence[Request]) -> list[pa.Array]:
    """Return the keys of the rows of some requests; those of rows side by side are taken at once."""
    pieces = []
    first = last = requests[0]
    for request in requests[1:]:
        if request.keys is not last.keys or request.start != last.end:
            pieces.append([column.slice(first.start, last.end - first.start) for column in first.keys])
            first = request
        last = request
    pieces.append([column.slice(first.start, last.end - first.start) for column in first.keys])
    return [pa.concat_arrays(columns) for columns in zip(*pieces, strict=True)]


def _nobody_is_told(*_: object) -> None:
    """Stand for an engine that has not said who wants to know."""


def _counts_tokens(spec: TensorSpec) -> bool:
    return spec.name == "num_output_tokens" and pa.types.is_integer(spec.datatype.arrow) and not spec.raw


def _sum(counts: pa.Array) -> int:
    while pa.types.is_nested(counts.type):
        counts = counts.flatten()
    return int(pc.sum(counts.cast(pa.int64())).as_py() or 0)
