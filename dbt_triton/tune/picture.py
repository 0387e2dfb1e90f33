"""The trials as a PNG: rows a second by batch size and by requests in flight, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt_triton.errors import DbtTritonError
from dbt_triton.tune.trial_figures import Settings
from dbt_triton.tune.tuner import TunedCall
from dbt_triton.tune.verdict import rate_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES_A_CALL = 4.2
_POINTS = 2
_BLUE, _ORANGE, _GREY = "#1f6feb", "#f0883e", "#b1bac4"


def check_picture(path: Path) -> None:
    """Say before the first trial that no picture can be drawn.

    Raises:
        DbtTritonError: matplotlib is not installed, or there is no such folder.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise DbtTritonError(
            "--picture needs matplotlib: run `pip install 'dbt-triton[tune]'`, or leave it out: the table has bars"
        ) from error
    if not path.absolute().parent.is_dir():
        raise DbtTritonError(f"--picture: there is no folder {path.absolute().parent}")


def draw(calls: Sequence[TunedCall], model: str, path: Path) -> None:
    """Draw the trials of each call in a row, and write the picture."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(14, _INCHES_A_CALL * len(calls) + 0.4), layout="constrained")
    figure.suptitle(f"dbt-triton tune {_plain(model)}")
    rows = figure.subplots(len(calls), 3, squeeze=False)
    for call, (sizes, in_flight, times) in zip(calls, rows, strict=True):
        _sizes(sizes, call)
        _in_flight(in_flight, call)
        _times(times, call)
    figure.savefig(path, dpi=110, format="png")


def _sizes(axes: Axes, call: TunedCall) -> None:
    trials = sorted(
        one for one in call.found.trials if one.in_flight == call.space.moderate and one.batch_by == _by(call)
    )
    _line(axes, call, [(one.batch_size, one) for one in trials], f"{call.space.moderate} in flight", _BLUE)
    _finish(axes, f"{_plain(call.planned.model.name)}: rows a second", "rows a request")


def _in_flight(axes: Axes, call: TunedCall) -> None:
    fixed = [one for one in call.found.trials if one.in_flight and one.batch_by == _by(call)]
    sizes = sorted({one.batch_size for one in fixed}, key=lambda size: -sum(one.batch_size == size for one in fixed))
    for size, colour in zip(sizes[:2], (_BLUE, _ORANGE), strict=False):
        trials = sorted(one for one in fixed if one.batch_size == size and not one.batch_tokens)
        _line(axes, call, [(one.in_flight, one) for one in trials], f"{size} rows a request", colour)
    for settings, colour, label in _marked(call):
        axes.axhline(rate_of(call.found, settings).median, color=colour, linestyle="--", linewidth=1, label=label)
    _finish(axes, "rows a second", "requests in flight")


def _times(axes: Axes, call: TunedCall) -> None:
    """Draw the milliseconds of a request, today's and the best."""
    names, parts = [], [list[float](), list[float](), list[float]()]
    for settings, _, label in _marked(call):
        trial = call.found.trials[settings][-1]
        compute, queue = (trial.server.compute, trial.server.queue) if trial.server else (0.0, 0.0)
        names.append(label)
        for part, value in zip(parts, (compute, queue, max(trial.latency_mean - compute - queue, 0.0)), strict=True):
            part.append(value)
    left = [0.0] * len(names)
    named = zip(parts, (_BLUE, _ORANGE, _GREY), ("compute", "queue", "client, network"), strict=True)
    for values, colour, label in named:
        axes.barh(names, values, left=left, color=colour, label=label, height=0.5)
        left = [sum(pair) for pair in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.set_title("where a request's time goes", fontsize=10)
    axes.set_xlabel("ms")
    axes.legend(fontsize=8)


def _marked(call: TunedCall) -> list[tuple[Settings, str, str]]:
    found = [(call.verdict.current, _GREY, "today")]
    if call.verdict.best is not None and call.verdict.best != call.verdict.current:
        label = "best" if call.verdict.is_better else "within noise"
        found.append((call.verdict.best, "#2da44e", label))
    return found


def _plain(name: str) -> str:
    """Return a name in which matplotlib sees no formula, which it would fail on where it is none."""
    return name.replace("$", r"\$")


def _by(call: TunedCall) -> str:
    return call.space.current.batch_by


def _line(axes: Axes, call: TunedCall, points: Sequence[tuple[int, Settings]], label: str, colour: str) -> None:
    """Draw the medians of trials, each with its least and its most; a single point is no line."""
    if len(points) < _POINTS:
        return
    rates = [rate_of(call.found, one) for _, one in points]
    errors = [[one.median - one.least for one in rates], [one.most - one.median for one in rates]]
    places, medians = [place for place, _ in points], [one.median for one in rates]
    axes.errorbar(places, medians, yerr=errors, marker="o", capsize=3, label=label, color=colour)


def _finish(axes: Axes, title: str, label: str) -> None:
    handles: Any = axes.get_legend_handles_labels()[0]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    if handles:
        axes.legend(fontsize=8)
