"""Many sequences at once: one for each key, the rows of each in order and one of them in flight.

A sequence is whole or it is nothing. What is lost in the middle (the server dropped an idle sequence, a step was not
answered, the model raised an exception) starts again from its first row, under a new id: under the old one a step that
nobody waits for any more could still be run in between. Its predictions are handed over when the last one is there.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.engine.engine import Engine
from dbt_triton.engine.outcomes import FailedRows, RunError
from dbt_triton.engine.server import Server
from dbt_triton.engine.source import Request, taken
from dbt_triton.errors import AnswerError, InferenceError, Reason
from dbt_triton.tensors import Answer

#: What Triton says of a sequence that it does not know (any more).
_LOST = "must specify the START flag"
_RESTARTED_REASONS = {Reason.TIMEOUT, Reason.MODEL_ERROR, Reason.UNAVAILABLE}
#: How many ids a model can be told, by the data type of its correlation id.
_ID_BITS = {"TYPE_UINT32": 32, "TYPE_INT32": 31, "TYPE_INT64": 63}
_DEFAULT_ID_BITS = 64


@dataclass(slots=True, eq=False)
class Sequence(Request):
    """The rows of one key, in order.

    Args:
        steps: one request for each row.
        parts: the key columns, record batch by record batch.
        refused: why one of the rows cannot be sent.
    """

    steps: list[Request] = field(default_factory=list)
    parts: list[list[pa.Array]] = field(default_factory=list)
    refused: InferenceError | None = None


class SequenceIds:
    """Ids that meet no other run's: they begin at a random place of their whole range.

    Args:
        correlation_id: the data type by which the model is told the id; empty for any.
    """

    def __init__(self, correlation_id: str) -> None:
        self._range = 2 ** _ID_BITS.get(correlation_id, _DEFAULT_ID_BITS) - 1
        self._last = secrets.randbelow(self._range)

    def next(self) -> int:
        """Return an id, from 1: Triton takes 0 for none."""
        self._last = (self._last + 1) % self._range
        return self._last + 1


class SequenceEngine(Engine):
    """Sends the rows of one ML_PREDICT call as one sequence for each key.

    Its record batches hold the key columns, then the number of the sequence, then the inputs; all rows of a sequence
    stand together, in their order.

    Args:
        arguments: as of `Engine`.
        correlation_id: the data type by which the model is told the id of a sequence.
    """

    def __init__(self, *arguments: Any, correlation_id: str = "", **options: Any) -> None:  # noqa: ANN401 - Engine's
        super().__init__(*arguments, **options)
        self._sequence_ids = SequenceIds(correlation_id)
        self._unfinished: tuple[int, Sequence] | None = None

    def _requests_of(self, batch: pa.RecordBatch, *, last: bool) -> list[Request]:
        """Return the sequences that end in a batch; the last one may go on in the next."""
        keys = batch.columns[: self._key_columns]
        numbers = batch.column(self._key_columns).to_numpy(zero_copy_only=False)
        steps, refused = self._steps(keys, batch.columns[self._key_columns + 1 :])
        finished: list[Request] = []
        starts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist()]
        for start, end in pairwise([*starts, batch.num_rows]):
            number = int(numbers[start])
            if self._unfinished is None or self._unfinished[0] != number:
                finished += self._finish()
                self._unfinished = (number, Sequence(None, [], 0, 0))  # type: ignore[arg-type]
            sequence = self._unfinished[1]
            sequence.end += end - start
            sequence.parts.append([key.slice(start, end - start) for key in keys])
            sequence.steps += [step for step in steps[start:end] if step is not None]
            sequence.refused = sequence.refused or next(
                (refused[at] for at in range(start, end) if at in refused), None
            )
        return finished + (self._finish() if last else [])

    def _steps(
        self, keys: list[pa.Array], inputs: list[pa.Array]
    ) -> tuple[list[Request | None], dict[int, InferenceError]]:
        """Make a request of each row. Returns them by their places, and why there is none at others."""
        encoded = self._format.encode(inputs, 1, in_order=True)
        steps: list[Request | None] = [None] * len(keys[0])
        for places, rows in encoded.groups:
            group_keys = keys if places is None else taken(keys, places)
            for row, place in enumerate(range(len(steps)) if places is None else places.tolist()):
                steps[place] = Request(rows, group_keys, row, row + 1)
        refused: dict[int, InferenceError] = {}
        for one in encoded.refused:
            error = InferenceError(f"a row of its sequence: {one.why}", reason=Reason.REFUSED, attempts=0)
            refused |= dict.fromkeys(one.places.tolist(), error)
        return steps, refused

    def _finish(self) -> list[Request]:
        if self._unfinished is None:
            return []
        _, sequence = self._unfinished
        self._unfinished = None
        sequence.keys = [pa.concat_arrays(column) for column in zip(*sequence.parts, strict=True)]
        return [sequence]

    async def _deliver(self, request: Request, *, alone: bool = False) -> list[Request]:
        """Send a sequence, if need be again from its start."""
        if not isinstance(request, Sequence):
            return await super()._deliver(request, alone=alone)
        restarts = self._options.max_retries
        error = request.refused
        while error is None:
            server = await self._server_for(request)
            if server is None:
                return []
            started = time.monotonic()
            answers: list[tuple[Answer, int]] = []
            number = self._sequence_ids.next()
            try:
                await self._run_through(server, request, number, answers)
            except InferenceError as failure:
                self._note_failure(server, failure, started, request)
                if failure.reason == Reason.STOPPED or self._failure is not None:
                    return []
                if failure.reason == Reason.UNAVAILABLE and not await self._outlives(server, failure, request):
                    return []
                await self._abandon(server, failure, request, number)
                # A server that is away is not the sequence's fault, but one that goes away in its midst may be.
                restarts -= failure.reason != Reason.UNAVAILABLE or bool(answers)
                if restarts < 0 or not _may_start_again(failure):
                    error = _of_step(failure, len(answers), request)
            else:
                self._breaker.success()
                self._note_success(server, request, time.monotonic() - started)
                for step, (answer, size) in zip(request.steps, answers, strict=True):
                    self._results.take(step, answer, size)
                return []
        self._give_up(request, error)
        return []

    async def _server_for(self, sequence: Sequence) -> Server | None:
        """Return the server that has a sequence from its start to its end; None when the run ends."""
        if self._servers.only is None:
            return await self._servers.take(sequence.not_at)
        await self._breaker.until_recovered(sequence)
        return self._servers.only

    def _note_failure(self, server: Server, failure: InferenceError, started: float, sequence: Sequence) -> None:
        """Leave the sequence to another server, where there are several, and this one to its own fate."""
        if self._servers.only is None:
            self._servers.give_back(server)
            self._any_server.note_failure(server, failure, started, sequence)

    def _note_success(self, server: Server, sequence: Sequence, seconds: float) -> None:
        if self._servers.only is None:
            self._servers.give_back(server)
            self._servers.answered(server, sequence.rows, seconds)
        else:
            server.limit.answered(sequence.rows)

    async def _run_through(
        self, server: Server, sequence: Sequence, number: int, answers: list[tuple[Answer, int]]
    ) -> None:
        """Send every step, each when the one before it is answered."""
        for position, step in enumerate(sequence.steps):
            step.parameters = {
                "sequence_id": number,
                "sequence_start": position == 0,
                "sequence_end": position == len(sequence.steps) - 1,
            }
            # A first step may begin at another server as well; the others belong to this one.
            answers.append(await self._sender.send(server, step, alone=True, retry=None if position == 0 else True))

    async def _abandon(self, server: Server, failure: InferenceError, sequence: Sequence, number: int) -> None:
        """Have the server end what it may still have of a sequence: it has so many slots, and keeps idle ones long."""
        is_gone = failure.not_sent and self._servers.only is None
        if is_gone or failure.reason == Reason.TIMEOUT or _LOST in failure.message:
            return  # the end would wait behind the step that is not answered; or there is nothing to end
        last = replace(sequence.steps[0])
        last.parameters = {"sequence_id": number, "sequence_start": True, "sequence_end": True}
        with suppress(InferenceError):
            await self._sender.send(server, last, alone=False)  # an exception of the model is not worth another attempt

    async def _outlives(self, server: Server, failure: InferenceError, sequence: Sequence) -> bool:
        """Wait for a server that is away. Returns whether it came back; else the run is ended."""
        if self._servers.only is None:
            return True  # another one may have the sequence
        fatal = await self._breaker.outlive(failure, sequence, not_before=server.client.resume_at)
        if fatal is not None:
            self._end(RunError(fatal, sequence.request_keys))
        return fatal is None

    def _give_up(self, sequence: Sequence, error: InferenceError) -> None:
        """Fail every row of a sequence, and the run where no sequence succeeds."""
        fatal = self._breaker.failure(error) if error.attempts else None
        if fatal is not None or error.reason == Reason.REJECTED:
            self._end(RunError(fatal or error, sequence.request_keys))
            return
        self._results.fail(FailedRows(sequence.request_keys, error))


def _may_start_again(failure: InferenceError) -> bool:
    if isinstance(failure, AnswerError):
        return False
    return failure.reason in _RESTARTED_REASONS or _LOST in failure.message


def _of_step(failure: InferenceError, done: int, sequence: Sequence) -> InferenceError:
    """Say which step of its sequence a failure is about."""
    return InferenceError(
        f"step {done + 1} of {len(sequence.steps)} of its sequence: {failure.message}",
        reason=failure.reason,
        status=failure.status,
        attempts=failure.attempts,
    )
