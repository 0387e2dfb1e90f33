"""The page: one HTML text with its style and its drawings, no script, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from dbt_triton import __version__
from dbt_triton.population_stability import CHANGED, LOOK
from dbt_triton.report import charts, figures, predicted_charts, words
from dbt_triton.report.drawing import Chart
from dbt_triton.report.figures import HEADINGS, ShareTable
from dbt_triton.report.headline import Headline, headline
from dbt_triton.report.predicted import MOST_RUNS, PredictedColumn, predicted_columns
from dbt_triton.report.read import RunLog, in_order
from dbt_triton.report.series import Series, series_of, throughput
from dbt_triton.report.slots import slots_of
from dbt_triton.report.status import Judged, Level, judge
from dbt_triton.report.svg import can_draw
from dbt_triton.run_log import columns

#: The page's size: charts are drawn up to this many characters, and models are listed with their figures up to that.
DRAWN_SIZE, LISTED_SIZE = 1_200_000, 1_600_000
#: So many charts are drawn, each in about 50 ms.
MOST_DRAWN = 150
#: So many models are in the table at most, and so many runs in its strips.
MOST_LISTED, MOST_IN_STRIP = 300, 24
#: With more models than this the strips are left out of the table.
_MOST_STRIPS = 80
#: So many predicted columns of a call are shown.
_MOST_COLUMNS = 12
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class ColumnPart:
    """A predicted column as the page shows it."""

    name: str
    verdict: str
    css: str
    sentence: str
    charts: Sequence[Chart]
    shares: ShareTable | None


@dataclass(frozen=True)
class Part:
    """A call as the page shows it."""

    number: int
    label: str
    judged: Judged
    last: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    quiet: str
    each: str
    columns: Sequence[ColumnPart]
    more_columns: int
    reasons: Sequence[tuple[str, str, str, str]]
    table: Sequence[Sequence[str]]
    runs: int


@dataclass(frozen=True)
class Page:
    """The HTML, and its first line."""

    html: str
    headline: Headline


def page(log: RunLog, now: datetime) -> Page:
    """Make the page of a run log.

    Args:
        log: what was read.
        now: when, UTC.
    """
    every = series_of(log.rows)
    judged = sorted(
        (judge(one, predicted_columns(one), now, every, has_left=log.has_left(one.node)) for one in every),
        key=lambda one: one.status.level,
    )
    timed = in_order([row for row in log.rows if row.started_at is not None])
    first = headline(judged, is_there=log.exists)
    overview = slots_of(timed)
    parts: list[Part] = []
    size = drawn = 0
    for number, one in enumerate(judged, start=1):
        if size > LISTED_SIZE:
            break
        part = _part(number, one, draws=can_draw() and size < DRAWN_SIZE and drawn < MOST_DRAWN)
        parts.append(part)
        size += _size(part)
        drawn += sum(bool(chart.svg) for chart in _charts_of(part))
    style = _text("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    html = _template().render(
        about=log,
        names=[words.name(one) for one in (log.project, log.target, log.relation, log.node or "")],
        style=Markup(style),  # noqa: S704 - our own
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
        now=words.minute(now),
        since=words.minute(log.since),
        headline=first,
        needs=[one for one in judged if one.status.level in {Level.BAD, Level.LOOK}][:_MOST_COLUMNS],
        tiles=figures.tiles(timed) if timed else [],
        overview=_overview(overview) if can_draw() and len(judged) > 1 else [],
        overview_each=overview.each,
        listed=[_line(number, one, len(judged)) for number, one in enumerate(judged[:MOST_LISTED], start=1)],
        parts=parts,
        left_out=len(judged) - len(parts),
        without_charts=sum(not any(chart.svg for chart in part.charts) for part in parts),
        unlisted=max(len(judged) - MOST_LISTED, 0),
        untimed=len(log.rows) - len(timed),
        can_draw=can_draw(),
        headings=HEADINGS,
        most_runs=MOST_RUNS,
        look=LOOK,
        changed=CHANGED,
        version=__version__,
    )
    return Page(html, first)


def _line(number: int, one: Judged, models: int) -> dict[str, Any]:
    """Return a row of the table of models."""
    last = one.series.last
    indices = [column.last.stability for column in one.predicted if column.last.row is last and column.last.stability]
    worst = max(indices, key=lambda stability: stability.index, default=None)
    return {
        "number": number,
        "label": one.series.label,
        "level": one.status.level.css,
        "word": one.status.word,
        "last": words.minute(last.started_at),
        "rows": words.count(last.rows),
        "rate": words.rate(throughput([last])),
        "p95": words.milliseconds(last.latency_p95_ms),
        "failed": words.count(last.failed_rows),
        "drift": f"{worst.index:.2f}" if worst else words.NOTHING,
        "drift_word": worst.verdict if worst else "",
        "strip": figures.strip(one.series, MOST_IN_STRIP) if models <= _MOST_STRIPS else [],
        "strip_words": figures.outcomes_in_words(one.series, MOST_IN_STRIP),
    }


def _overview(slots: Any) -> list[Chart]:  # noqa: ANN401 - Slots
    makers = (charts.outcomes_chart, charts.rows_chart, charts.failed_chart)
    drawn = [make(slots, f"all{number}") for number, make in enumerate(makers)]
    return [chart for chart in drawn if chart.svg]


def _part(number: int, one: Judged, *, draws: bool) -> Part:
    series = one.series
    slots = slots_of(series.rows)
    makers: list[Callable[..., Chart]] = [
        charts.rows_chart,
        charts.throughput_chart,
        charts.latency_chart,
        charts.parts_chart,
    ]
    has_failed = any(row.failed_rows or row.failed_by_reason for row in series.rows)
    has_retried = any(row.retries for row in series.rows)
    makers += [charts.failed_chart] if has_failed else []
    makers += [charts.retries_chart] if has_retried else []
    quiet = {
        (False, False): "No failed row and no retry in this time.",
        (False, True): "No failed row in this time.",
        (True, False): "No retry in this time.",
        (True, True): "",
    }[has_failed, has_retried]
    shown = one.predicted[:_MOST_COLUMNS]
    return Part(
        number=number,
        label=series.label,
        judged=one,
        last=figures.last_run(series.last),
        charts=[make(slots, f"s{number}c{place}") for place, make in enumerate(makers)] if draws else [],
        quiet=quiet,
        each=slots.each,
        columns=[_column(column, series, f"s{number}p{place}", draws=draws) for place, column in enumerate(shown)],
        more_columns=len(one.predicted) - len(shown),
        reasons=figures.reason_table(series.rows),
        table=figures.run_table(slots),
        runs=len(series.rows),
    )


def _column(column: PredictedColumn, series: Series, name: str, *, draws: bool) -> ColumnPart:
    stability = column.last.stability
    drawn = []
    if draws and column.kind != columns.OTHER:
        drawn = [
            predicted_charts.shares_chart(column, f"{name}a"),
            predicted_charts.stability_chart(column, f"{name}b"),
        ]
    return ColumnPart(
        words.name(column.name),
        stability.verdict if stability else "",
        figures.CSS_OF_VERDICT[stability.verdict] if stability else "",
        figures.said_of_column(column, series.last),
        drawn,
        figures.share_table(column),
    )


def _charts_of(part: Part) -> list[Chart]:
    return [*part.charts, *(chart for column in part.columns for chart in column.charts)]


def _size(part: Part) -> int:
    """Return about how many characters a call takes on the page."""
    cells = sum(len(cell) + 9 for row in part.table for cell in row)
    return sum(len(chart.svg) + 400 for chart in _charts_of(part)) + cells + 4_000


def _template() -> Any:  # noqa: ANN401 - jinja2's
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"coded": _coded, "foreign": _foreign, "svg": Markup}
    return environment.from_string(_text("page.html.jinja"))


def _text(name: str) -> str:
    return files("dbt_triton.report").joinpath(name).read_text(encoding="utf-8")


def _coded(text: str) -> Markup:
    """Return a text of ours, with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def _foreign(text: str) -> Markup:
    """Return a foreign text, in whatever direction it is written, so that what stands around it keeps its own."""
    return Markup("<bdi>{}</bdi>").format(text)
