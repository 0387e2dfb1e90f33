"""Tuning the calls of a planned model, within the step that dbt runs: a sample, trials, and what they say."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.ddl.calls import Span
from dbt_triton.engine.concurrency import MAX, MAX_SELF_BATCHING
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import Binding
from dbt_triton.step.plan import Plan
from dbt_triton.step.preflight import preflight
from dbt_triton.tensors.lengths import TOKEN_BYTES, is_text
from dbt_triton.tune.measured import Budget
from dbt_triton.tune.search import Found, Search, Space, StopSearchError
from dbt_triton.tune.trial import Subject, run_trial
from dbt_triton.tune.trial_figures import Settings, Trial
from dbt_triton.tune.verdict import Verdict, verdict
from dbt_triton.warehouses import SampleBounds, Warehouse
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.requests import headers_of

_SAMPLE_BYTES = 64 * 2**20
_SAMPLE_SECONDS = 60.0
#: Budgets are tried where one text in twenty is so many times as long as half of them.
_LONG_TAIL = 2.0


@dataclass(frozen=True)
class Bounds:
    """What the user allows.

    Args:
        rows: of the sample.
        seconds: of a trial.
        requests: for inference, in all.
    """

    rows: int
    seconds: float
    requests: int


@dataclass
class TunedCall:
    """What came of one call."""

    planned: PlannedCall
    binding: Binding
    space: Space
    sample_rows: int
    found: Found
    verdict: Verdict
    is_complete: bool
    requests: int = 0


@dataclass
class Tuner:
    """Tunes calls when the step calls it; what it finds is read from it afterwards.

    Args:
        bounds: what the user allows.
        wanted: the call, by its number from 1 or its inference model's name; None for all.
        progress: is told of each trial.
    """

    bounds: Bounds
    wanted: str | None
    progress: Callable[[str], None]
    calls: list[TunedCall] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    error: DbtTritonError | None = None
    #: Set by Ctrl-C: the trial that runs ends, and what is known is told.
    stop: threading.Event = field(default_factory=threading.Event)
    is_measuring: bool = False

    def __call__(self, plan: Plan, warehouse: Warehouse) -> dict[str, Any]:
        """Tune the calls of a plan."""
        try:
            self._tune(plan, warehouse)
        except DbtTritonError as error:
            self.error = error  # without what dbt would put around it
            raise
        return {"message": "ML_PREDICT tuned", "figures": {}, "warnings": []}

    def _tune(self, plan: Plan, warehouse: Warehouse) -> None:
        chosen = [planned for planned in self._chosen(plan) if self._can_be_tuned(plan, planned)]
        if not chosen:
            raise DbtTritonError("there is nothing to tune: " + "; ".join(self.left_out))
        bindings = preflight(replace(plan, calls=tuple(chosen)), warehouse)
        largest = preflight(replace(plan, calls=tuple(map(_with_auto_batch, chosen))), warehouse)
        budget = Budget(self.bounds.requests)
        for place, planned in enumerate(chosen):
            if self.stop.is_set():
                break
            binding = bindings[planned.number]
            sent = planned.bound_to(binding)
            sample = warehouse.sample(
                sent, plan.operand(sent, {}), SampleBounds(self.bounds.rows, _SAMPLE_BYTES, _SAMPLE_SECONDS)
            )
            rows = sum(batch.num_rows for batch in sample)
            if not rows:
                self.left_out.append(f"{_named(planned)} has no row to send: its input is empty, or NULL")
                continue
            subject = Subject(sent.model.options, binding, headers_of(sent), sample)
            space = _space(sent, binding, largest[planned.number].batch_size, sample)
            share = budget.left // (len(chosen) - place)
            self.progress(_begun(sent, space, rows, self.bounds.seconds, share))
            self.calls.append(self._searched(sent, subject, space, Budget(share)))
            budget.used += self.calls[-1].requests
        if not self.calls:
            raise DbtTritonError("there is nothing to tune: " + "; ".join(self.left_out or ["it was interrupted"]))

    def _searched(self, planned: PlannedCall, subject: Subject, space: Space, budget: Budget) -> TunedCall:
        made = 0

        async def measure(settings: Settings) -> Trial:
            nonlocal made
            if self.stop.is_set() or not budget.left:
                raise StopSearchError
            # What earlier trials have not used is shared among those that are left.
            budget.allot(budget.left // max(space.planned - made, 1))
            made += 1
            trial = await run_trial(
                subject, settings, seconds=self.bounds.seconds, budget=budget, stopped=self.stop.is_set
            )
            if self.stop.is_set() and trial.is_rough:
                raise StopSearchError
            self.progress(_done(made, trial))
            return trial

        search = Search(space, measure)
        self.is_measuring = True
        try:
            found = asyncio.run(search.run())
        finally:
            self.is_measuring = False
        if space.current not in found.trials:
            raise DbtTritonError("it was interrupted before a trial was over; nothing is known yet")
        return TunedCall(
            planned=planned,
            binding=subject.binding,
            space=space,
            sample_rows=subject.rows,
            found=found,
            verdict=verdict(found, space.current, search.preferred()),
            is_complete=search.is_complete,
            requests=budget.used,
        )

    def _chosen(self, plan: Plan) -> Sequence[PlannedCall]:
        if self.wanted is None:
            return plan.calls
        found = [
            planned
            for planned in plan.calls
            if self.wanted.lower() in {str(planned.number + 1), planned.model.name.lower()}
        ]
        if not found:
            there = ", ".join(f"{planned.number + 1} ({planned.model.name})" for planned in plan.calls)
            raise DbtTritonError(f"no call is {self.wanted}; --call takes the number of one, or its model: {there}")
        return found

    def _can_be_tuned(self, plan: Plan, planned: PlannedCall) -> bool:
        """Tell whether trials make sense; where not, why goes to what is left out."""
        if planned.model.is_stub:
            why = "is a stub, which asks no server"
        elif planned.in_order:
            why = "sends sequences, whose rows go one after the other, whatever the options say"
        elif _reads_predictions(plan, planned):
            why = "reads the predictions of another call, which are not made here; put the first call into a model"
        else:
            return True
        self.left_out.append(f"{_named(planned)} {why}")
        return False


def _named(planned: PlannedCall) -> str:
    return f"call {planned.number + 1} (line {planned.call.line}, {planned.model.name})"


def _reads_predictions(plan: Plan, planned: PlannedCall) -> bool:
    """Tell whether the input of a call holds another call."""
    marked: dict[Span, str] = {other.call.span: "null" for other in plan.calls if other is not planned}
    return plan.statement.input_query(planned.call, marked) != plan.statement.input_query(planned.call, {})


def _with_auto_batch(planned: PlannedCall) -> PlannedCall:
    """Return a call whose batch size is what the server takes."""
    options = planned.model.options.model_copy(update={"batch_size": None})
    return replace(planned, model=replace(planned.model, options=options))


def _space(planned: PlannedCall, binding: Binding, most_rows: int, sample: Sequence[pa.RecordBatch]) -> Space:
    options = planned.model.options
    generates = binding.route == "generate"
    current = Settings(
        1 if generates else binding.batch_size,
        options.max_concurrent_operations or 0,
        options.batch_by,
        options.batch_tokens or 0,
    )
    most = 1 if generates else max(most_rows, current.batch_size)
    has_texts = most > 1 and any(is_text(spec) for spec in binding.inputs)
    is_padded = most > 1 and any(spec.pad is not None and -1 in spec.row_shape for spec in binding.inputs)
    servers = len(options.endpoints)
    return Space(
        current,
        most,
        has_lengths=has_texts or is_padded,
        most_in_flight=(MAX_SELF_BATCHING if generates else MAX) * servers,
        bounds=_bounds(sample, most) if has_texts else (),
        servers=servers,
    )


def _bounds(sample: Sequence[pa.RecordBatch], most_rows: int) -> tuple[int, ...]:
    """Return budgets of tokens worth a trial, where some texts are much longer than others: for full and fewer rows."""
    columns = [column for batch in sample for column in batch.columns if pa.types.is_string(column.type)]
    sizes = [np.asarray(pc.binary_length(column.drop_null())) // TOKEN_BYTES + 1 for column in columns]
    tokens = np.concatenate(sizes) if sizes else np.zeros(0)
    if not len(tokens) or np.percentile(tokens, 95) < _LONG_TAIL * np.median(tokens):
        return ()
    full = float(np.median(tokens)) * most_rows
    return tuple(sorted({2 ** max(round(math.log2(full / part)), 5) for part in (1, 4)}))


def _begun(planned: PlannedCall, space: Space, rows: int, seconds: float, requests: int) -> str:
    return (
        f"{_named(planned)}: {rows:,} rows of its input; at most {space.planned} trials of about {seconds:g} s, and "
        f"{requests:,} requests. Ctrl-C ends it with what is known"
    )


def _done(number: int, trial: Trial) -> str:
    settings = trial.settings
    tokens = f", {settings.batch_tokens} tokens" if settings.batch_tokens else ""
    failed = f", {trial.failed} failed" if trial.failed else ""
    return (
        f"trial {number}: {settings.batch_size} rows a request{tokens}, {settings.shown_in_flight} in flight, "
        f"batch-by {settings.batch_by}: {trial.rate:,.0f} rows/s, {trial.p50:,.1f} ms{failed}"
    )
