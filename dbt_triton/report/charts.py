"""The charts of a call's runs over time: rows, throughput, latency, time by part, failed rows and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dbt_triton.report import words
from dbt_triton.report.drawing import Chart, Frame, Key, Value, bars, lines
from dbt_triton.report.run_row import RunRow
from dbt_triton.report.series import duplicate_rows, highest, middle, stored_rows, throughput, total
from dbt_triton.report.slots import Slots
from dbt_triton.run_log import columns

#: So many reasons have a colour of their own.
MOST_REASONS = 5
_OF_ROWS: dict[str, tuple[str, Callable[[RunRow], float | None]]] = {
    "sent": ("sent", lambda row: row.sent_rows),
    "from the store": ("reused", stored_rows),
    "same input as another row, or NULL": ("same", duplicate_rows),
}
_PARTS: dict[str, tuple[str, Callable[[RunRow], float | None]]] = {
    "plan": ("c6", lambda row: row.plan_seconds),
    "read": ("c5", lambda row: row.read_seconds),
    "wait": ("c1", lambda row: row.wait_seconds),
    "write": ("c2", lambda row: row.write_seconds),
    "join": ("c3", lambda row: row.join_seconds),
}
_OUTCOMES: dict[str, tuple[str, Callable[[RunRow], bool]]] = {
    "succeeded": ("c1", lambda row: row.has_succeeded and not row.failed_rows),
    "succeeded, with failed rows": ("look", lambda row: row.has_succeeded and bool(row.failed_rows)),
    "failed": ("bad", lambda row: row.outcome == columns.FAILED),
    "interrupted or killed": ("c7", lambda row: row.outcome in {columns.INTERRUPTED, columns.KILLED}),
    "running, or unknown": ("same", lambda row: row.outcome not in set(columns.OUTCOMES) - {columns.RUNNING}),
}
_LATENCIES: list[tuple[Key, Callable[[Sequence[RunRow]], float | None]]] = [
    (Key("c1", "p50", "solid"), lambda rows: middle(rows, lambda row: row.latency_p50_ms)),
    (Key("c2", "p95", "dashed"), lambda rows: highest(rows, lambda row: row.latency_p95_ms)),
    (Key("c4", "p99", "dotted"), lambda rows: highest(rows, lambda row: row.latency_p99_ms)),
]
_REASON_COLOURS = ("failed", "c2", "c4", "c7", "c3")
#: From so many seconds on, time is drawn in minutes, and in hours.
_MINUTES, _HOURS = 180, 3 * 3_600


def rows_chart(slots: Slots, name: str) -> Chart:
    """Draw the rows by what became of them: sent, taken from the store, the same as another row."""
    frame = Frame("Rows", slots, name, _keys(_OF_ROWS), words.count)
    return bars(frame, _sums(slots, _OF_ROWS))


def throughput_chart(slots: Slots, name: str) -> Chart:
    """Draw the rows sent a second."""
    keys = [Key("sent", "rows sent a second, while requests were in flight", "solid")]
    frame = Frame("Throughput", slots, name, keys, words.rate)
    found = [
        Value(place, "rows a second", amount, "sent")
        for place, slot in enumerate(slots.places)
        if (amount := throughput(slot.rows)) is not None
    ]
    return lines(frame, found)


def latency_chart(slots: Slots, name: str) -> Chart:
    """Draw the latencies of requests: the middle one of each run, and what 95 % and 99 % of its requests stay below."""
    keys = [key for key, _ in _LATENCIES]
    frame = Frame("Latency of a request, milliseconds", slots, name, keys, words.milliseconds)
    found = [
        Value(place, key.label, amount, key.colour)
        for key, of in _LATENCIES
        for place, slot in enumerate(slots.places)
        if (amount := of(slot.rows)) is not None
    ]
    note = "" if slots.is_by_run else "p50: the median of its runs; p95 and p99: the highest of them."
    return lines(frame, found, note)


def parts_chart(slots: Slots, name: str) -> Chart:
    """Draw the seconds by part."""
    found = _sums(slots, _PARTS)
    longest = max((total(slot.rows, _seconds_of_parts) or 0 for slot in slots.places), default=0)
    unit, divisor = (
        ("hours", 3_600) if longest >= _HOURS else ("minutes", 60) if longest >= _MINUTES else ("seconds", 1)
    )
    scaled = [Value(one.place, one.of, one.amount / divisor, one.colour) for one in found]
    say = lambda amount: words.seconds(amount * divisor)  # noqa: E731
    chart = bars(Frame(f"Time by part, {unit}", slots, name, _keys(_PARTS), say), scaled)
    return replace(chart, note=chart.note or "Read, wait and write overlap.")


def failed_chart(slots: Slots, name: str) -> Chart:
    """Draw the failed rows by reason; the most frequent ones have a colour of their own."""
    totals: dict[str, int] = {}
    for slot in slots.places:
        for row in slot.rows:
            for reason, rows in _reasons(row).items():
                totals[reason] = totals.get(reason, 0) + rows
    reasons = sorted(totals, key=lambda reason: -totals[reason])[:MOST_REASONS]
    colours = dict(zip(reasons, _REASON_COLOURS, strict=False))
    keys = [Key(colour, words.label(reason), is_foreign=True) for reason, colour in colours.items()]
    keys += [Key("same", "other reasons")] if len(totals) > len(reasons) else []
    found = []
    for place, slot in enumerate(slots.places):
        amounts: dict[str, int] = {}
        for row in slot.rows:
            for reason, rows in _reasons(row).items():
                colour = colours.get(reason, "same")
                amounts[colour] = amounts.get(colour, 0) + rows
        found += [Value(place, "", amounts[key.colour], key.colour) for key in keys if key.colour in amounts]
    return bars(Frame("Failed rows by reason", slots, name, keys, words.count), found, says_of=False)


def retries_chart(slots: Slots, name: str) -> Chart:
    """Draw the requests that were tried again."""
    of = {"attempts after the first": ("c2", lambda row: row.retries)}
    return bars(Frame("Retries", slots, name, _keys(of), words.count), _sums(slots, of))


def outcomes_chart(slots: Slots, name: str) -> Chart:
    """Draw the calls of all models by how they ended."""
    found = [
        Value(place, label, amount, colour)
        for place, slot in enumerate(slots.places)
        for label, (colour, of) in _OUTCOMES.items()
        if (amount := sum(1 for row in slot.rows if of(row)))
    ]
    there = {one.of for one in found}
    keys = [Key(colour, label) for label, (colour, _) in _OUTCOMES.items() if label in there]
    return bars(Frame("Predictions by outcome", slots, name, keys, words.count), found)


def _keys(of: Mapping[str, tuple[str, Callable[[RunRow], float | None]]]) -> list[Key]:
    return [Key(colour, label) for label, (colour, _) in of.items()]


def _sums(slots: Slots, of: Mapping[str, tuple[str, Callable[[RunRow], float | None]]]) -> list[Value]:
    """Return what is known at each place, added up."""
    return [
        Value(place, label, amount, colour)
        for place, slot in enumerate(slots.places)
        for label, (colour, amount_of) in of.items()
        if (amount := total(slot.rows, amount_of)) is not None
    ]


def _seconds_of_parts(row: RunRow) -> float:
    return sum(of(row) or 0 for _, of in _PARTS.values())


def _reasons(row: RunRow) -> Mapping[str, int]:
    """Return the failed rows of a run by reason; where none is said, there is one."""
    return row.failed_by_reason or ({"no reason given": row.failed_rows} if row.failed_rows else {})
