"""The runs of each call of a model over time, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from dbt_triton.report import words
from dbt_triton.report.read import in_order
from dbt_triton.report.run_row import RunRow


@dataclass(frozen=True)
class Series:
    """The runs of one call, in order; each has a start.

    Attributes:
        node: unique_id of the model.
        call: its number within the model, from 1.
        label: what it is called on the page, in one line.
        name: the model's name, whatever it holds.
        rows: its runs, the oldest first; at least one.
    """

    node: str
    call: int
    label: str
    name: str
    rows: Sequence[RunRow]

    @property
    def last(self) -> RunRow:
        """The newest run."""
        return self.rows[-1]


def series_of(rows: Iterable[RunRow]) -> list[Series]:
    """Return the runs by model and call, by name. Rows without a start, which have no place in time, are left out."""
    found: dict[tuple[str, int], list[RunRow]] = {}
    for row in rows:
        if row.started_at is not None:
            found.setdefault((row.node, row.call), []).append(row)
    calls: dict[str, set[int]] = {}
    for node, call in found:
        calls.setdefault(node, set()).add(call)
    short = {node: node.split(".", 2)[-1] or "(no name)" for node in calls}
    names = list(short.values())
    series = []
    for (node, call), of_one in found.items():
        # Two packages of a project may have models of one name.
        label = short[node] if names.count(short[node]) == 1 else node
        label += f" · call {call}" if len(calls[node]) > 1 else ""
        series.append(Series(node, call, words.name(label), short[node], in_order(of_one)))
    return sorted(series, key=lambda one: (one.label.lower(), one.node, one.call))


def total(rows: Iterable[RunRow], of: Callable[[RunRow], float | None]) -> float | None:
    """Add up what is known; None where nothing is."""
    known = [number for number in map(of, rows) if number is not None]
    return sum(known) if known else None


def middle(rows: Iterable[RunRow], of: Callable[[RunRow], float | None]) -> float | None:
    """Return the median of what is known."""
    known = [number for number in map(of, rows) if number is not None]
    return median(known) if known else None


def highest(rows: Iterable[RunRow], of: Callable[[RunRow], float | None]) -> float | None:
    """Return the highest of what is known."""
    return max((number for number in map(of, rows) if number is not None), default=None)


def saved_rows(row: RunRow) -> int | None:
    """Return how many rows needed no request: the store had them, another row had the same input, or it was NULL."""
    if row.rows is None or row.sent_rows is None:
        return None
    return max(row.rows - row.sent_rows, 0)


def stored_rows(row: RunRow) -> int | None:
    """Return how many of these the store had; where it had any, rows equal to one that was sent are among them."""
    saved = saved_rows(row)
    return row.reused_rows if saved is None or row.reused_rows is None else min(row.reused_rows, saved)


def duplicate_rows(row: RunRow) -> int | None:
    """Return how many of these are the rest: the same as another row, or NULL."""
    saved = saved_rows(row)
    return None if saved is None else saved - (stored_rows(row) or 0)


def throughput(rows: Iterable[RunRow]) -> float | None:
    """Return the rows sent a second while predictions were waited for, of runs that sent some."""
    sent, waited = 0.0, 0.0
    for row in rows:
        took = row.wait_seconds or row.seconds
        if row.sent_rows and took:
            sent += row.sent_rows
            waited += took
    found = sent / waited if waited else math.inf
    return found if math.isfinite(found) else None
