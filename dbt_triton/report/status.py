"""How each call stands after its newest run, what its owner should do, and the first line of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from dbt_triton.population_stability import CHANGED_WORD
from dbt_triton.report import words
from dbt_triton.report.predicted import PredictedColumn, moved
from dbt_triton.report.run_row import RunRow
from dbt_triton.report.series import Series
from dbt_triton.run_log import columns

#: A run that began so long ago and has not ended is worth a look.
_LONG = timedelta(hours=24)
_KEPT = "What it had predicted is kept, unless its option cache is off"
#: A name that stands in a command as it is.
_PLAIN = re.compile(r"\w[\w.]*")


class Level(IntEnum):
    """How bad it is; the worst first."""

    BAD = 0
    LOOK = 1
    RUNNING = 2
    WELL = 3
    GONE = 4

    @property
    def css(self) -> str:
        """Its class in the style sheet."""
        return "running" if self is Level.GONE else self.name.lower()


@dataclass(frozen=True)
class Status:
    """How a call stands.

    Attributes:
        level: how bad it is.
        word: in a word or two, such as ``failed``.
        sentence: what happened.
        advice: what to do; empty where there is nothing.
        queries: SQL that shows more.
    """

    level: Level
    word: str
    sentence: str = ""
    advice: str = ""
    queries: Sequence[str] = ()


@dataclass(frozen=True)
class Judged:
    """A call, its predicted columns, and how it stands."""

    series: Series
    predicted: Sequence[PredictedColumn]
    status: Status


def judge(
    series: Series,
    predicted: Sequence[PredictedColumn],
    now: datetime,
    others: Sequence[Series] = (),
    *,
    has_left: bool = False,
) -> Judged:
    """Say how a call stands after its newest run.

    Args:
        series: the call.
        predicted: its predicted columns.
        now: when, UTC.
        others: all calls.
        has_left: whether the project has no such model any more.
    """
    last = series.last
    if has_left:
        sentence = "The project has no such predicting model any more."
        return Judged(series, predicted, Status(Level.GONE, "not in the project", sentence))
    if any(_came_after(series, other) for other in others):
        sentence = "Its model has fewer calls of ML_PREDICT now."
        return Judged(series, predicted, Status(Level.GONE, "not in the model", sentence))
    build = f"`dbt build --select {series.name}`" if _PLAIN.fullmatch(series.name) else "`dbt build`"
    queries = (words.query(last.failed_query),) if last.failed_query else ()
    goes_on = f"{_KEPT}: {build} goes on."
    if last.outcome == columns.FAILED:
        counted = f"{words.several(last.failed_rows, 'row')} failed{_reasons(last)}." if last.failed_rows else ""
        said = words.sentence(last.error) or counted or "It did not say why."
        status = Status(Level.BAD, "failed", said, _after_failure(build, is_queried=bool(queries)), queries)
    elif last.outcome == columns.INTERRUPTED:
        status = Status(Level.BAD, "interrupted", "It was stopped before its end.", goes_on, queries)
    elif last.outcome == columns.KILLED:
        said = "Its process ended without a word, such as by a lack of memory or with its machine."
        status = Status(Level.BAD, "killed", said, goes_on, queries)
    elif last.is_running:
        status = _running(last, build, now)
    elif not last.has_succeeded:
        advice = f"Look at dbt's log of that run, or run it again: {build}."
        status = Status(Level.LOOK, "unknown", "Its outcome is not written down.", advice)
    elif last.failed_rows:
        status = _failed_rows(last, build, queries)
    else:
        status = _drift(series, predicted)
    return Judged(series, predicted, status)


def _came_after(series: Series, other: Series) -> bool:
    """Tell whether the model of a call was built without it since: each build of one has a row for all of its calls."""
    last, newer = series.last, other.last
    return (
        series.call > other.call == 1
        and series.node == other.node
        and newer.has_succeeded
        and newer.invocation_id != last.invocation_id
        and bool(newer.started_at and last.started_at and newer.started_at > last.started_at)
    )


def _after_failure(build: str, *, is_queried: bool) -> str:
    look = (
        "Look at the failed rows by the query below."
        if is_queried
        else "`dbt-triton check` compares the model with its server."
    )
    return f"{look} {_KEPT}: {build} sends only the rest."


def _failed_rows(row: RunRow, build: str, queries: Sequence[str]) -> Status:
    of_all = f"{words.several(row.failed_rows or 0, 'row')} of {words.count(row.rows)} failed{_reasons(row)}"
    where = "The query below shows them. " if queries else ""
    return Status(
        Level.LOOK,
        "failed rows",
        f"{of_all}, and the table was built without their predictions.",
        f"{where}Rows that timed out are sent again by {build}; refused ones with the option retry-errors.",
        queries,
    )


def _reasons(row: RunRow) -> str:
    reasons = sorted((row.failed_by_reason or {}).items(), key=lambda item: -item[1])
    if not reasons:
        return ""
    if len(reasons) == 1:
        return f" ({words.name(reasons[0][0])})"
    return " (" + words.listed([f"{words.count(rows)} {words.name(reason)}" for reason, rows in reasons]) + ")"


def _running(row: RunRow, build: str, now: datetime) -> Status:
    if row.started_at is not None and now - row.started_at > _LONG:
        return Status(
            Level.LOOK,
            "no end",
            "It has begun, and has not said how it ended.",
            f"Where its process is gone, what it had predicted is kept: {build} goes on.",
        )
    return Status(Level.RUNNING, "running", "It has begun, and has not ended.")


def _drift(series: Series, predicted: Sequence[PredictedColumn]) -> Status:
    found = moved(predicted, series.last)
    if not found:
        return Status(Level.WELL, "well")
    has_changed = any(run.last.stability and run.last.stability.verdict == CHANGED_WORD for run in found)
    texts = [
        f"{words.name(column.name)} (PSI {column.last.stability.index:.2f})"
        for column in found
        if column.last.stability
    ]
    word = "changed" if has_changed else "moved"
    return Status(
        Level.LOOK,
        word,
        f"What it predicts has {word} since the run before: {words.listed(texts)}.",
        "Compare its shares below: other rows came in, or the model is another.",
    )
