"""What a build costs when there is little new, and how time and memory grow with the rows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from harness.dbt_build import DbtProject
from harness.workload import Case

#: With this DuckDB keeps its own memory small. Its default is 80 %, of which a predicting model takes half.
MEMORY_LIMIT = "128MB"
NO_LIMIT = "80%"


@dataclass(frozen=True)
class Growth:
    """Seconds of the whole node, and megabytes at the peak of the whole dbt process, by number of rows."""

    seconds: dict[int, float]
    megabytes: dict[int, float]

    def time_ratio(self, more: int, fewer: int) -> float:
        """How many times longer more rows take."""
        return self.seconds[more] / self.seconds[fewer]

    def memory_ratio(self, more: int, fewer: int) -> float:
        """How many times more memory more rows take."""
        return self.megabytes[more] / self.megabytes[fewer]


def measure_little_new(project: DbtProject, case: Case, changed: int) -> tuple[float, float, float]:
    """Build three times with a persistent cache, the last time after some reviews have changed. Returns the seconds."""
    project.forget()
    first = project.build(case, CACHE="persistent")
    again = project.build(case, sent=0, CACHE="persistent")
    project.change(case, changed)
    after_change = project.build(case, sent=changed, CACHE="persistent")
    project.forget()
    return first.seconds, again.seconds, after_change.seconds


def measure_growth(project: DbtProject, row_counts: list[int], *, memory_limit: str, rounds: int) -> Growth:
    """Build tables of several sizes, 256 rows a request. Returns medians."""
    seconds: dict[int, list[float]] = {rows: [] for rows in row_counts}
    megabytes: dict[int, list[float]] = {rows: [] for rows in row_counts}
    for _ in range(rounds):
        for rows in row_counts:
            built = project.build(Case(256, 32, rows), MEMORY_LIMIT=memory_limit)
            seconds[rows].append(built.seconds)
            megabytes[rows].append(built.peak_megabytes)
    return Growth(_medians(seconds), _medians(megabytes))


def _medians(figures: dict[int, list[float]]) -> dict[int, float]:
    return {rows: statistics.median(found) for rows, found in figures.items()}
