"""What a call predicted, run by run: each OUTPUT column's profile, and how far it moved from the run before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton.population_stability import CHANGED_WORD, LOOK_WORD, Stability, compare
from dbt_triton.report.run_row import LARGEST, RunRow
from dbt_triton.report.series import Series
from dbt_triton.run_log import columns

#: So many of its runs are compared and drawn, the newest.
MOST_RUNS = 40
#: What stands for classes that are not counted by themselves. No class can be called so, as these are no texts.
OTHER, NULL = object(), object()
#: Of the 21 edges of a profile of numbers, those that are drawn and shown, by what they are called.
QUANTILES = {"lowest": 0, "5 %": 1, "25 %": 5, "median": 10, "75 %": 15, "95 %": 19, "highest": 20}


@dataclass(frozen=True)
class PredictedRun:
    """A column's profile in one run, and how it compares with that of the run before; None where it cannot be."""

    row: RunRow
    profile: Mapping[str, Any]
    before: RunRow | None = None
    stability: Stability | None = None

    @property
    def rows(self) -> int:
        """How many rows it is of."""
        return _whole(self.profile.get("rows"))

    @property
    def not_finite(self) -> int:
        """How many of its numbers are NaN or infinite."""
        return _whole(self.profile.get("not_finite"))

    @property
    def nulls(self) -> int:
        """How many of them are NULL."""
        return _whole(self.profile.get("nulls"))

    def classes(self) -> dict[Any, int]:
        """Return the rows of each class, also `OTHER` and `NULL`; those of none are left out."""
        counts = self.profile.get("counts")
        found: dict[Any, int] = {
            str(key): _whole(rows) for key, rows in (counts.items() if isinstance(counts, Mapping) else ())
        }
        found |= {OTHER: _whole(self.profile.get("other")), NULL: self.nulls}
        return {key: rows for key, rows in found.items() if rows}

    def quantiles(self) -> dict[str, float]:
        """Return the quantiles of its numbers by what they are called; none where there are none."""
        edges = self.profile.get("edges")
        if not isinstance(edges, Sequence) or len(edges) != columns.SHARES + 1:
            return {}
        try:
            return {word: float(edges[place]) for word, place in QUANTILES.items()}
        except (TypeError, ValueError, OverflowError):
            return {}


@dataclass(frozen=True)
class PredictedColumn:
    """A column over the newest runs, the oldest first; at least one. All are of the last one's kind."""

    name: str
    kind: str
    runs: Sequence[PredictedRun]

    @property
    def last(self) -> PredictedRun:
        """The newest run that has a profile of it."""
        return self.runs[-1]

    @property
    def top_classes(self) -> list[str]:
        """Return its classes, those of most rows over all runs first."""
        total: dict[str, int] = {}
        for run in self.runs:
            for key, rows in run.classes().items():
                if isinstance(key, str):
                    total[key] = total.get(key, 0) + rows
        return sorted(total, key=lambda key: (-total[key], key))


def predicted_columns(series: Series) -> list[PredictedColumn]:
    """Return the predicted columns of a call, in the order of its newest run, then those of older ones."""
    found: dict[str, list[PredictedRun]] = {}
    for row in series.rows:
        for name, profile in (row.predicted or {}).items():
            earlier = found.setdefault(name, [])
            # A run that predicted nothing has no shares, and is not what the next one is compared with.
            before = next((run for run in reversed(earlier) if run.rows > run.nulls), None)
            stability = compare(before.profile, profile) if before else None
            earlier.append(PredictedRun(row, profile, before.row if before else None, stability))
    newest = next((row.predicted for row in reversed(series.rows) if row.predicted), None) or {}
    names = [*newest, *(name for name in found if name not in newest)]
    return [column for name in names if (column := _column(name, found[name])) is not None]


def _column(name: str, runs: Sequence[PredictedRun]) -> PredictedColumn | None:
    # A run without any value does not say which kind the column is of.
    told = [run for run in runs if run.rows > run.nulls] or runs
    kind = str(told[-1].profile.get("kind"))
    if kind not in {columns.CLASSES, columns.NUMBERS, columns.OTHER}:
        return None
    return PredictedColumn(name, kind, [run for run in told if run.profile.get("kind") == kind][-MOST_RUNS:])


def moved(found: Sequence[PredictedColumn], row: RunRow) -> list[PredictedColumn]:
    """Return the columns that moved in this run, so that somebody should look."""
    return [
        column
        for column in found
        if column.last.row is row
        and column.last.stability
        and column.last.stability.verdict in {LOOK_WORD, CHANGED_WORD}
    ]


def _whole(value: Any) -> int:  # noqa: ANN401 - whatever JSON holds
    try:
        found = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0
    return found if 0 <= found < LARGEST else 0
