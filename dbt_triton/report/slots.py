"""What a chart has along its axis: a place for each run, or, where there are many runs, for each hour, day or week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from dbt_triton.report.run_row import RunRow

#: So many places a chart has at most.
MOST_SLOTS = 40
_TICKS = 5
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_WIDTHS = [
    (_HOUR, "an hour"),
    (3 * _HOUR, "3 hours"),
    (6 * _HOUR, "6 hours"),
    (12 * _HOUR, "12 hours"),
    (_DAY, "a day"),
    (2 * _DAY, "2 days"),
    (7 * _DAY, "a week"),
    (14 * _DAY, "2 weeks"),
    (28 * _DAY, "4 weeks"),
    (91 * _DAY, "13 weeks"),
    (364 * _DAY, "52 weeks"),
]
#: A Monday, so that weeks begin on one.
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Slot:
    """A place: the moment where it begins, and the runs that are in it."""

    start: datetime
    rows: Sequence[RunRow]


@dataclass(frozen=True)
class Slots:
    """The places along an axis.

    Attributes:
        places: from left to right.
        each: what a place is, in words: ``a run``, ``a day``.
    """

    places: Sequence[Slot]
    each: str

    @property
    def is_by_run(self) -> bool:
        """Whether each place is one run."""
        return self.each == "a run"

    def title(self, place: int) -> str:
        """Say when a place is."""
        slot = self.places[place]
        if self.is_by_run or self.each.endswith(("hour", "hours")):
            return f"{slot.start:%Y-%m-%d %H:%M} UTC"
        return f"{'' if self.each == 'a day' else 'from '}{slot.start:%Y-%m-%d} UTC"

    def ticks(self) -> dict[int, str]:
        """Return the label of each place that has one: a time within two days, a date else, the year where it tells."""
        number = len(self.places)
        if not number:
            return {}
        step = max(-(-number // _TICKS), 1)
        chosen = list(range(0, number, step))
        first, last = self.places[0].start, self.places[-1].start
        if last - first < 2 * _DAY:
            labels = [f"{self.places[place].start:%H:%M}" for place in chosen]
        elif last - first > 360 * _DAY:
            labels = [f"{self.places[place].start:%b %Y}" for place in chosen]
        else:
            labels = [f"{self.places[place].start.day} {self.places[place].start:%b}" for place in chosen]
        # A label that stands already says nothing more.
        kept = [labels[0], *(now if now != before else "" for before, now in pairwise(labels))]
        return dict(zip(chosen, kept, strict=True))


def slots_of(rows: Sequence[RunRow], *, by_run: bool = False) -> Slots:
    """Return the places for rows that have a start and are in order.

    Args:
        rows: the runs of one call, or of all.
        by_run: whether a place is a run in any case; then the newest of them.
    """
    timed = [(row.started_at, row) for row in rows if row.started_at is not None]
    if by_run or len(timed) <= MOST_SLOTS:
        return Slots([Slot(start, [row]) for start, row in timed[-MOST_SLOTS:]], "a run")
    first, last = timed[0][0], timed[-1][0]
    width, each = next((one for one in _WIDTHS if (last - first) / one[0] < MOST_SLOTS - 1), (None, ""))
    if width is None:
        years = int((last - first) / (364 * _DAY) / (MOST_SLOTS - 2)) + 1
        width, each = years * 364 * _DAY, f"{52 * years} weeks"
    start = (first - _EPOCH) // width
    number = (last - _EPOCH) // width - start + 1
    held: list[list[RunRow]] = [[] for _ in range(number)]
    for moment, row in timed:
        held[(moment - _EPOCH) // width - start].append(row)
    return Slots([Slot(_moment(start + place, width), held[place]) for place in range(number)], each)


def _moment(place: int, width: timedelta) -> datetime:
    """Return where a place begins; the first one may do so before there are dates."""
    try:
        return _EPOCH + place * width
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
