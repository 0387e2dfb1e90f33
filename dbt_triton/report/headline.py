"""The first line of the page: how the last run went, and which models need somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_triton.report import words
from dbt_triton.report.run_row import RunRow
from dbt_triton.report.status import Judged, Level
from dbt_triton.run_log import columns


@dataclass(frozen=True)
class Headline:
    """The first lines of the page."""

    level: Level
    text: str
    detail: str


def headline(judged: Sequence[Judged], *, is_there: bool = True) -> Headline:
    """Say in a line how the last run went, and which models need somebody.

    Args:
        judged: every call.
        is_there: whether there is a table at all.
    """
    known, judged = judged, [one for one in judged if one.status.level != Level.GONE]
    if known and not judged:
        return Headline(Level.RUNNING, "No run in this time of a model that the project has", "")
    if not judged:
        return Headline(Level.RUNNING, "No run in this time" if is_there else "No run yet", "")
    newest = max((one.series.last for one in judged), key=lambda row: (row.started_at is not None, row.started_at))
    last = [one for one in judged if _is_of(one.series.last, newest)]
    others = [one for one in judged if not _is_of(one.series.last, newest)]
    detail = _detail([one.series.last for one in last])
    if others:
        detail += f" · not in it: {_names(others)}"
    bad, look, running = (_at(last, level) for level in (Level.BAD, Level.LOOK, Level.RUNNING))
    if bad:
        return Headline(Level.BAD, f"{_names(bad)} {_ended(bad)} in the last run", detail)
    if running:
        return Headline(Level.RUNNING, f"{_names(running)} {'is' if len(running) == 1 else 'are'} running", detail)
    went = f"The last run was built, but look at {_names(look)}" if look else "The last run went well"
    return _with_others(went, look, others, detail) or Headline(Level.WELL, f"All well: {_made(len(last))}", detail)


def _with_others(went: str, look: Sequence[Judged], others: Sequence[Judged], detail: str) -> Headline | None:
    """Return the line of a last run that went on to its end, where somebody should look; None where nobody has to."""
    bad, unsettled = _at(others, Level.BAD), _at(others, Level.LOOK)
    if bad:
        return Headline(Level.BAD, f"{went}; {_names(bad)} {_ended(bad)} in an earlier one", detail)
    if look:
        return Headline(Level.LOOK, went, detail)
    if unsettled:
        return Headline(Level.LOOK, f"{went}; look at the last one of {_names(unsettled)}", detail)
    return None


def _made(number: int) -> str:
    if number == 1:
        return "the last run made its prediction"
    return f"the last run made all its {words.count(number)} predictions"


def _ended(bad: Sequence[Judged]) -> str:
    """Say how they ended."""
    kinds = {one.status.word for one in bad}
    if len(kinds) > 1:
        return "did not end well"
    (kind,) = kinds
    return kind if kind == columns.FAILED else f"{'was' if len(bad) == 1 else 'were'} {kind}"


def _is_of(row: RunRow, newest: RunRow) -> bool:
    return row is newest or (bool(row.invocation_id) and row.invocation_id == newest.invocation_id)


def _at(judged: Sequence[Judged], level: Level) -> list[Judged]:
    return [one for one in judged if one.status.level == level]


def _names(judged: Sequence[Judged]) -> str:
    return words.listed([one.series.label for one in judged])


def _detail(rows: Sequence[RunRow]) -> str:
    starts = [row.started_at for row in rows if row.started_at]
    ends = [row.ended_at for row in rows]
    known_ends = [end for end in ends if end is not None]
    parts = [f"Last run: {words.moment(min(starts, default=None))}"]
    if known_ends and len(known_ends) == len(ends):
        parts[0] += f" to {words.moment(max(known_ends))}"
    counted = [row.rows for row in rows if row.rows is not None]
    if counted:
        parts.append(words.several(sum(counted), "row"))
    sent = [row.sent_rows for row in rows if row.sent_rows is not None]
    if sent:
        parts.append(f"{words.count(sum(sent))} of them sent")
    return " · ".join(parts)
