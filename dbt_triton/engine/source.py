"""Reading ahead: record batches become requests while earlier ones are sent."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.arrow_numbers import as_arrow
from dbt_triton.options import Options
from dbt_triton.tensors import REQUEST_BYTES, EncodedRows
from dbt_triton.tensors.padding import PaddedLengths

#: About so many rows, or requests where these have more of them, and no more bytes are encoded at once. Rows of similar
#: length are looked for among them: further ahead there is next to nothing to gain (docs/performance.md has figures).
_ENCODED_ROWS = 16_384
_ENCODED_REQUESTS = 64
_ENCODED_BYTES = 16 * 2**20


@dataclass(slots=True, eq=False)
class Request:
    """Rows ``start`` to ``end`` (exclusive) of one encoded record batch."""

    encoded: EncodedRows
    keys: list[pa.Array]
    start: int
    end: int
    parameters: dict[str, Any] | None = None
    #: How often it was sent again, since its only row had no answer, or several.
    recounts: int = 0
    #: The server where it, or what it is a part of, has failed; another one is asked first.
    not_at: object = None
    #: Whether its whole answer could not be decoded once, and it was sent to another server for that.
    was_undecodable: bool = False
    #: The servers where it broke its connection after it was sent.
    broken_at: tuple[object, ...] = ()
    #: How often it was sent, in vain so far.
    attempts: int = 0

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.end - self.start

    @property
    def request_keys(self) -> list[pa.Array]:
        """The key columns of the rows."""
        return [column.slice(self.start, self.rows) for column in self.keys]

    @property
    def lengths(self) -> PaddedLengths | None:
        """How long its rows were before they were padded; None where they were not."""
        lengths = self.encoded.lengths
        return None if lengths is None else lengths.rows(self.start, self.end)

    def halves(self) -> list[Request]:
        """Split it in two."""
        middle = self.start + self.rows // 2
        return [replace(self, end=middle, attempts=0), replace(self, start=middle, attempts=0)]

    def pieces(self, rows: int) -> list[Request]:
        """Split it into requests of so many rows."""
        starts = range(self.start, self.end, rows)
        return [replace(self, start=start, end=min(start + rows, self.end), attempts=0) for start in starts]


class SequenceMarker:
    """Marks the requests of a run as one sequence: start on the first, end on the last.

    With sequence-id-auto-increment each request is a sequence of its own, whose id is the next one.
    """

    def __init__(self, options: Options) -> None:
        self._id = options.wire_sequence_id
        self._start = options.sequence_start
        self._end = options.sequence_end
        self._first = True
        self._is_each_its_own = options.sequence_id_auto_increment
        self._count = 0

    def mark(self, requests: list[Request], *, last: bool) -> list[Request]:
        """Give each request its parameters; ``last`` says that no requests follow these."""
        marked = []
        for position, request in enumerate(requests):
            is_last = last and position == len(requests) - 1
            parameters = {
                "sequence_id": self._id,
                "sequence_start": self._start and self._first,
                "sequence_end": self._end and is_last,
            }
            if self._is_each_its_own:
                parameters = {"sequence_id": self._next_id(), "sequence_start": True, "sequence_end": True}
            self._first = False
            marked.append(replace(request, parameters=parameters))
        return marked

    def _next_id(self) -> int | str | None:
        """Count on from a number; a text gets the number of the only task, and a count, as in Flink."""
        count, self._count = self._count, self._count + 1
        return self._id + count if isinstance(self._id, int) else f"{self._id}-0-{count}"


class Source:
    """Gives requests to the workers; the next record batch is read and encoded while this one is sent.

    Args:
        batches: record batches.
        requests_of: makes requests of one, in the reader's thread; ``last`` tells that it is the last.
        reader: the thread.
    """

    def __init__(
        self,
        batches: Iterator[pa.RecordBatch],
        requests_of: Callable[..., list[Request]],
        reader: ThreadPoolExecutor,
    ) -> None:
        self._batches = batches
        self._requests_of = requests_of
        self._reader = reader
        self._pending: deque[Request] = deque()
        self._lock = asyncio.Lock()
        self._ahead: pa.RecordBatch | None = None
        self._started = False
        #: What reading and encoding has taken so far.
        self.seconds = 0.0
        self._next: asyncio.Future[list[Request] | None] | None = self._read_ahead()

    async def next(self) -> Request | None:
        """Return the next request, or None when there are no more."""
        while not self._pending:
            async with self._lock:
                if self._pending:
                    break
                if self._next is None:
                    return None
                requests = await self._next
                self._next = self._read_ahead() if requests is not None else None
                self._pending.extend(requests or [])
        return self._pending.popleft()

    def ready(self) -> Request | None:
        """Return the next request if one is made already."""
        return self._pending.popleft() if self._pending else None

    @property
    def rest(self) -> int | None:
        """How many requests are still to be given; None as long as not everything is read."""
        return len(self._pending) if self._next is None else None

    @property
    def exhausted(self) -> bool:
        """Whether every request was given."""
        return self._next is None and not self._pending

    def put_back(self, requests: Iterable[Request]) -> None:
        """Give requests to the next worker that asks."""
        self._pending.extendleft(requests)

    async def close(self) -> None:
        """Wait for a read that is under way: its connection must be free afterwards."""
        if self._next is not None:
            await asyncio.gather(self._next, return_exceptions=True)

    def _read_ahead(self) -> asyncio.Future[list[Request] | None]:
        return asyncio.get_running_loop().run_in_executor(self._reader, self._read)

    def _read(self) -> list[Request] | None:
        """Read one batch further than is sent, so that the last one is known to be the last."""
        started = time.perf_counter()
        try:
            return self._requests_of_next()
        finally:
            self.seconds += time.perf_counter() - started

    def _requests_of_next(self) -> list[Request] | None:
        if not self._started:
            self._started = True
            self._ahead = next(self._batches, None)
        batch = self._ahead
        if batch is None:
            return None
        self._ahead = next(self._batches, None)
        return self._requests_of(batch, last=self._ahead is None)


def exact_batches(batches: Iterable[pa.RecordBatch], batch_size: int) -> Iterator[pa.RecordBatch]:
    """Cut a stream of record batches into pieces to encode at once, each of whole requests but for the last.

    Rows of which a request would be too large are cut by their bytes: a piece is one request of fewer rows.

    Args:
        batches: record batches of any length.
        batch_size: rows a request.
    """
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        request_rows, rows = _rows_at_once(batch.nbytes // max(batch.num_rows, 1), batch_size)
        # What waits is filled up to whole requests; only that is copied.
        short = -count % request_rows
        if count + batch.num_rows < rows or batch.num_rows < short:
            waiting.append(batch)
            count += batch.num_rows
            continue
        if count:
            yield pa.concat_batches([*waiting, batch.slice(0, short)])
        end = batch.num_rows - (batch.num_rows - short) % request_rows
        yield from (batch.slice(start, min(rows, end - start)) for start in range(short, end, rows))
        waiting, count = ([batch.slice(end)], batch.num_rows - end) if end < batch.num_rows else ([], 0)
    if count:
        yield pa.concat_batches(waiting)


def taken(keys: list[pa.Array], places: np.ndarray[Any, np.dtype[np.int64]]) -> list[pa.Array]:
    """Return the keys of the rows at these places."""
    return [column.take(as_arrow(places)) for column in keys]


def rows_at_once(width: int, batch_size: int) -> int:
    """Return how many rows to encode at once: whole requests, and not too many bytes, not even of one request.

    Args:
        width: bytes a row.
        batch_size: rows a request.
    """
    return _rows_at_once(width, batch_size)[1]


def _rows_at_once(width: int, batch_size: int) -> tuple[int, int]:
    """Return the rows of a request, and of what is encoded at once."""
    width = max(width, 1)
    request_rows = min(batch_size, max(REQUEST_BYTES // width, 1))
    rows = min(max(_ENCODED_ROWS, _ENCODED_REQUESTS * request_rows), _ENCODED_BYTES // width)
    return request_rows, max(rows // request_rows, 1) * request_rows
