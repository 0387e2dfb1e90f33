"""The runs of each call of a model over time, and what they add up to."""

from __future__ import annotations

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


def duplicate_rows(row: RunRow) -> int | None:
    """Return how many rows had the inputs of another row, and needed no prediction of their own."""
    if row.rows is None or row.distinct_rows is None:
        return None
    return max(row.rows - row.distinct_rows, 0)


def saved_rows(row: RunRow) -> int | None:
    """Return how many rows were predicted without being sent: by the store, or with a row of the same inputs."""
    duplicates = duplicate_rows(row)
    if duplicates is None and row.reused_rows is None:
        return None
    return (duplicates or 0) + (row.reused_rows or 0)


def throughput(rows: Iterable[RunRow]) -> float | None:
    """Return the rows sent a second while predictions were waited for, of runs that sent some."""
    sent, waited = 0.0, 0.0
    for row in rows:
        took = row.wait_seconds or row.seconds
        if row.sent_rows and took:
            sent += row.sent_rows
            waited += took
    return sent / waited if waited else None
