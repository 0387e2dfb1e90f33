"""What is told of trials: a table with bars, where the time goes, what to write; or all of it as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbt_triton.foreign_text import harmless
from dbt_triton.tune.trial_figures import Settings, Trial
from dbt_triton.tune.tuner import TunedCall, Tuner
from dbt_triton.tune.verdict import rate_of, said, where_time_goes
from dbt_triton.tune.written import Written, changed

_BAR, _TIME_BAR = 20, 48
#: Of a pipe or a file, which has no width of its own.
_WIDTH = 200
#: A narrower terminal gets fewer columns; each column of the lengths of rows takes so many more.
_WIDE = 130
_COLUMN = 15
_OVERLOAD = {"429", "502", "503", "504"}
_WITHOUT_THE_WAREHOUSE = (
    "The engine is that of a run, and predictions are decoded and thrown away: a run gets this, less what reading and "
    "writing in the warehouse take."
)


def print_tuned(tuner: Tuner, calls: Sequence[tuple[TunedCall, Sequence[Written]]], out: TextIO) -> None:
    """Print what was found of each call."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(file=out, highlight=False, soft_wrap=True, width=_WIDTH)
    bar = "█" if "utf" in (getattr(out, "encoding", None) or "utf-8").lower() else "#"
    for call, to_write in calls:
        console.print(_table(call, bar, console.width))
        for line in _lines(call, to_write, bar):
            console.print(Text(line))
    for left_out in tuner.left_out:
        console.print(Text(f"Left out: {left_out}."))


def _table(call: TunedCall, bar: str, width: int) -> Table:
    """Return the trials, one line for all repeats of one."""
    planned, found = call.planned, call.found
    title = f"{planned.model.name}: {call.sample_rows:,} rows of its input, {call.requests:,} requests"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, title_style="bold")
    has_tokens = any(one.batch_tokens for one in found.trials)
    table.add_column("rows a request", justify="right")
    table.add_column("in flight", justify="right")
    columns = ["batch-by"] * call.space.has_lengths + ["batch-tokens"] * has_tokens
    is_wide = width >= _WIDE + _COLUMN * len(columns)
    latencies = ["p50", "p95", "p99"] if is_wide else ["p50", "p99"]
    columns += ["rows/s", *["requests/s"] * is_wide, *latencies, "queue", "compute ms", "failed"]
    for column in columns:
        # One word cannot be wrapped, and would be cut; where there is no room, headings of several words wrap.
        table.add_column(column, justify="right", no_wrap=" " not in column)
    table.add_column("", no_wrap=True, min_width=_BAR, overflow="crop")
    table.add_column("", no_wrap=True, overflow="crop")
    most = max(rate_of(found, one).median for one in found.trials) or 1.0
    for settings, trials in sorted(found.trials.items()):
        rate, figures = rate_of(found, settings), _Medians(trials)
        lengths = [settings.batch_by] * call.space.has_lengths
        lengths += [str(settings.batch_tokens or "")] * has_tokens
        in_flight = settings.shown_in_flight + ("" if settings.in_flight else f" ({trials[-1].limit})")
        cells = [f"{settings.batch_size:,}", in_flight, *lengths]
        cells += [("~" if any(one.is_rough for one in trials) else "") + f"{rate.median:,.0f}"]
        cells += [f"{figures.of('request_rate'):,.0f}"] * is_wide
        cells += [f"{figures.of(name):,.1f}" for name in latencies]
        cells += [figures.of_server("queue"), figures.of_server("compute"), _failures(trials)]
        marks = ["today"] * (settings == call.space.current)
        marks += ["best" if call.verdict.is_better else "within noise"] * (
            settings == call.verdict.best and settings != call.space.current
        )
        cells += [bar * round(_BAR * rate.median / most), " ".join(marks)]
        table.add_row(*map(Text, cells), style="bold" if marks else None)
    return table


class _Medians:
    """The medians of repeats."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = trials

    def of(self, name: str) -> float:
        return float(median(getattr(trial, name) for trial in self._trials))

    def of_server(self, name: str) -> str:
        values = [getattr(trial.server, name) for trial in self._trials if trial.server is not None]
        return f"{median(values):,.1f}" if values else "-"


def _failures(trials: Sequence[Trial]) -> str:
    counts: dict[str, int] = {}
    for trial in trials:
        for kind, count in trial.failures.items():
            counts[kind] = counts.get(kind, 0) + count
    rows = sum(trial.rows_failed for trial in trials)
    parts = [f"{count:,} x {kind}" for kind, count in counts.items()]
    return ", ".join([*parts, *([f"{rows:,} rows"] if rows else [])]) or "0"


def _lines(call: TunedCall, to_write: Sequence[Written], bar: str) -> Iterator[str]:
    """Say what the table means."""
    result, found = call.verdict, call.found
    generates = call.binding.route == "generate"
    shown: dict[str, Settings] = {"Today": result.current}
    if result.best is not None and result.best != result.current:
        shown["Best" if result.is_better else "Within noise of it"] = result.best
    for name, settings in shown.items():
        trial = found.trials[settings][-1]
        yield f"{name}: {' '.join(where_time_goes(trial, generates=generates))}"
        if not generates and trial.server is not None and trial.requests:
            yield f"  {time_bar(trial, bar)}"
    yield from _notes(call)
    yield ""
    yield said(result)
    for place in to_write:
        yield f"Write in {place.where}:"
        yield from (f"  {line}" for line in place.lines)
    yield _WITHOUT_THE_WAREHOUSE
    yield ""


def time_bar(trial: Trial, bar: str) -> str:
    """Draw what a request's time went to."""
    assert trial.server is not None  # noqa: S101 - for mypy; who calls has looked
    compute, queue = trial.server.compute, trial.server.queue
    other = max(trial.latency_mean - compute - queue, 0.0)
    whole = compute + queue + other or 1.0
    marks = (bar, "▒" if bar == "█" else "=", "·" if bar == "█" else ".")
    parts = [mark * round(_TIME_BAR * part / whole) for mark, part in zip(marks, (compute, queue, other), strict=True)]
    return f"{''.join(parts)}  {marks[0]} compute {marks[1]} queue {marks[2]} client, network and the rest"


def _notes(call: TunedCall) -> Iterator[str]:
    """Say what a reader must know to believe the figures."""
    trials = [trial for repeats in call.found.trials.values() for trial in repeats]
    yield from (f"{warning.rstrip('.')}." for warning in call.binding.warnings)
    if not call.is_complete:
        yield "It ended before every trial was made, by Ctrl-C or the budget of requests; this is what is known."
    shed = [one for one in trials if _OVERLOAD & one.failures.keys()]
    if shed:
        least = min(shed, key=lambda one: one.limit)
        yield (
            f"The server sheds load ({_failures(shed)}): with about {least.limit} in flight at "
            f"{least.settings.batch_size} rows a request, and in {len(shed)} of {len(trials)} trials."
        )
    if any(one.failures.get("413") for one in trials):
        largest = max(one.settings.batch_size for one in trials if one.failures.get("413"))
        yield f"Requests of {largest:,} rows are too large for the server, or for a gateway before it (413)."
    for note in dict.fromkeys(one.note for one in trials if one.note):
        yield f"A trial ended early: {note}"
    if call.found.others:
        yield (
            f"The server counted {call.found.others:,} requests more than were sent here: somebody else uses the "
            "model, and the figures are what is left beside them."
        )
    hits = sum(one.server.cache_hits for one in trials if one.server is not None)
    if hits:
        yield (
            f"The server's response cache answered {hits:,} requests: the sample comes again and again, so that the "
            "figures are too good. Switch response_cache off while you tune."
        )
    if any(one.is_rough for one in trials):
        yield "~: fewer than ten answers, so take it for a hint; --seconds makes trials longer."


def as_json(tuner: Tuner, model: str, calls: Sequence[tuple[TunedCall, Sequence[Written]]]) -> dict[str, Any]:
    """Return what was found for machines."""
    return {
        "model": model,
        "calls": [_call_as_json(call, to_write) for call, to_write in calls],
        "left_out": list(tuner.left_out),
    }


def _call_as_json(call: TunedCall, to_write: Sequence[Written]) -> dict[str, Any]:
    result = call.verdict
    return {
        "call": call.planned.number + 1,
        "inference_model": call.planned.model.name,
        "sample_rows": call.sample_rows,
        "requests": call.requests,
        "is_complete": call.is_complete,
        "today": {"settings": asdict(result.current), "rows_a_second": asdict(result.today)},
        "best": None
        if result.best is None or result.then is None
        else {"settings": asdict(result.best), "rows_a_second": asdict(result.then)},
        "is_better": result.is_better,
        "ratio": round(result.ratio, 3),
        "options": changed(result.best, call.space) if result.best is not None and result.is_better else {},
        "write": [{"where": one.where, "lines": one.lines} for one in to_write],
        "trials": [
            asdict(trial) | {"rows_a_second": trial.rate, "requests_of_others": trial.others}
            for repeats in call.found.trials.values()
            for trial in repeats
        ],
        "notes": [harmless(note) for note in _notes(call)],
    }
