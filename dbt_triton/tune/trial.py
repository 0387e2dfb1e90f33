"""One trial: the product's engine sends a sample again and again for a while, and what comes back is thrown away."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from dbt_triton.client.statistics import counted_each
from dbt_triton.engine import Engine, FailedRows, RunError
from dbt_triton.engine.source import Request
from dbt_triton.errors import DbtTritonError, InferenceError, Reason
from dbt_triton.foreign_text import harmless
from dbt_triton.inference_model import Binding
from dbt_triton.options import Options
from dbt_triton.tune.measured import Answers, Budget, Measuring, measured_servers
from dbt_triton.tune.server_side import between_each
from dbt_triton.tune.trial_figures import Settings, Trial
from dbt_triton.warehouses.requests import request_format

#: The first part of a trial is not measured: connections are opened, and the limit on requests in flight finds itself.
WARM_UP = 0.25
#: A trial whose requests take long lasts longer, up to so many times its seconds: each request in flight is to be
#: answered once in the warm-up and once after it.
MOST_TIMES_LONGER = 5
_WATCH_SECONDS = 0.05
#: Whoever ends it all by Ctrl-C does not wait longer for a server that hangs.
_STOP_SECONDS = 1.0
#: A server that is away must not hold up each trial, before it and after it.
_STATISTICS_SECONDS = 3.0
_T = TypeVar("_T")
_NOTE = 200


@dataclass(frozen=True)
class Subject:
    """What is tried out.

    Args:
        options: of the call, as they are today.
        binding: of the call.
        headers: of its requests, secrets in them.
        sample: the values of rows, as they are sent.
    """

    options: Options
    binding: Binding
    headers: Mapping[str, str]
    sample: Sequence[pa.RecordBatch]

    @property
    def rows(self) -> int:
        """How many rows the sample has."""
        return sum(batch.num_rows for batch in self.sample)


class _Discard:
    """A sink that keeps nothing but the number of failed rows."""

    def __init__(self) -> None:
        self.failed = 0

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        """Throw predictions away."""

    def failures(self, failed: Sequence[FailedRows]) -> None:
        """Count failed rows."""
        self.failed += sum(len(rows.keys[0]) for rows in failed)


async def run_trial(
    subject: Subject, settings: Settings, *, seconds: float, budget: Budget, stopped: Callable[[], bool]
) -> Trial:
    """Send rows with the given settings for some seconds.

    Args:
        subject: what is tried out.
        settings: the options of this trial.
        seconds: how long, the warm-up included; longer where the requests themselves take longer.
        budget: of requests; the trial ends when its part is used up.
        stopped: whether the user wants no more.
    """
    options = settings.applied(subject.options)
    binding = replace(subject.binding, batch_size=settings.batch_size)
    sink, answers, over = _Discard(), Answers(), asyncio.Event()
    measuring = Measuring(answers, budget)
    async with measured_servers(options, binding, subject.headers, measuring) as servers:
        clients = [server.client for server in servers.all]
        before = await _unless_stopped(counted_each(clients, binding.version, seconds=_STATISTICS_SECONDS), stopped)
        engine = _TrialEngine(
            servers,
            request_format(options, binding),
            batch_size=settings.batch_size,
            key_columns=1,
            sink=sink,
            shared_batches=binding.shared_batches,
            version=binding.version,
        )

        def end() -> None:
            over.set()
            engine.end(InferenceError("the trial is over", reason=Reason.STOPPED))

        measuring.on_spent = end
        started = time.monotonic()

        async def watch() -> float:
            """End the run when its time is over; return when that was."""
            while not stopped() and not _is_over(time.monotonic() - started, seconds, answers, servers.current):
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), _WATCH_SECONDS)
                    break
            ended = time.monotonic()
            end()
            return ended

        clock, note = asyncio.create_task(watch()), ""
        try:
            await _unless_stopped(engine.run(_again_and_again(subject.sample, over.is_set)), stopped)
        except DbtTritonError as error:
            note = "" if isinstance(error, RunError) and error.reason == Reason.STOPPED else _note(error)
        if over.is_set():
            ended = await clock
        else:
            clock.cancel()
            ended = time.monotonic()
        after = await _unless_stopped(counted_each(clients, binding.version, seconds=_STATISTICS_SECONDS), stopped)
        limit = servers.current
        if not answers.attempts and not note:
            note = next((_note(server.why) for server in servers.all if server.why is not None), "")
    return replace(
        figures(settings, answers, started, ended, rows_failed=sink.failed),
        limit=limit,
        server=None if binding.route == "generate" else between_each(before, after),
        note=note,
    )


async def _unless_stopped(work: Coroutine[Any, Any, _T], stopped: Callable[[], bool]) -> _T | None:
    """Return what comes of it; None where the user wants no more, and a server lets us wait."""
    task = asyncio.create_task(work)
    try:
        while not (task.done() or stopped()):
            await asyncio.wait([task], timeout=_WATCH_SECONDS)
        await asyncio.wait([task], timeout=_STOP_SECONDS)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _TrialEngine(Engine):
    """The engine of a run, which sends the requests of what is encoded at once in any order.

    A run sends long rows first, and a trial ends long before it has come to the short ones.
    """

    def _requests_of(self, batch: pa.RecordBatch, *, last: bool) -> list[Request]:
        requests = super()._requests_of(batch, last=last)
        random.Random(len(requests)).shuffle(requests)  # noqa: S311 - alike in all trials
        return requests


def _is_over(seconds: float, wanted: float, answers: Answers, in_flight: int) -> bool:
    """Tell whether a trial has lasted long enough."""
    if seconds < wanted:
        return False
    return len(answers.ends) > 2 * in_flight or seconds >= wanted * MOST_TIMES_LONGER


def _again_and_again(sample: Sequence[pa.RecordBatch], is_over: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
    """Give the rows of a sample without an end, each with a key before its values."""
    keyed = [
        pa.RecordBatch.from_arrays(
            [pa.array(np.arange(batch.num_rows)), *batch.columns],
            names=["key", *(f"value_{place}" for place in range(batch.num_columns))],
        )
        for batch in sample
    ]
    while not is_over():
        yield from keyed


def figures(settings: Settings, answers: Answers, started: float, ended: float, *, rows_failed: int = 0) -> Trial:
    """Make the figures of what was answered between the warm-up and the end.

    Where all answers took longer, those of the whole run count, up to the last of them.
    """
    ends, rows = np.array(answers.ends), np.array(answers.rows, dtype=np.int64)
    begin = started + WARM_UP * (ended - started)
    inside = (ends >= begin) & (ends <= ended)
    if not inside.any():
        inside = np.ones(len(ends), dtype=bool)
        begin, ended = started, max([ended, *answers.ends[-1:]])
    attempt_ends, latencies = np.array(answers.attempt_ends), np.array(answers.latencies) * 1000
    measured = latencies[(attempt_ends >= begin) & (attempt_ends <= ended)]
    p50, p95, p99 = np.percentile(measured, [50, 95, 99]) if len(measured) else (0.0, 0.0, 0.0)
    return Trial(
        settings=settings,
        seconds=ended - begin,
        rows=int(rows[inside].sum()),
        requests=int(inside.sum()),
        attempts=answers.attempts,
        latency_mean=float(latencies.mean()) if len(latencies) else 0.0,
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        failures=dict(answers.failures),
        rows_failed=rows_failed,
    )


def _note(error: DbtTritonError) -> str:
    text = " ".join(harmless(str(error)).split())
    return text if len(text) <= _NOTE else text[:_NOTE] + " …"
