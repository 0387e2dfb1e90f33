"""The figures of the page that are no charts: tiles, the table of runs, shares of the last run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton.population_stability import CHANGED_WORD, FEW_WORD, LOOK_WORD, STABLE_WORD
from dbt_triton.report import words
from dbt_triton.report.predicted import NULL, OTHER, PredictedColumn, PredictedRun
from dbt_triton.report.run_row import RunRow
from dbt_triton.report.series import Series, duplicate_rows, highest, middle, saved_rows, stored_rows, throughput, total
from dbt_triton.report.slots import Slots
from dbt_triton.run_log import columns

_MOST_CLASSES = 12
#: The class of each verdict in the style sheet.
CSS_OF_VERDICT = {STABLE_WORD: "well", LOOK_WORD: "look", CHANGED_WORD: "bad", FEW_WORD: "running"}
_OUTCOME_WORDS = {
    columns.SUCCEEDED: "succeeded",
    columns.FAILED: "failed",
    columns.INTERRUPTED: "interrupted",
    columns.KILLED: "killed",
    columns.RUNNING: "running",
}


@dataclass(frozen=True)
class Tile:
    """A figure with its name, and what it is to be compared with."""

    name: str
    figure: str
    detail: str
    level: str = ""


def tiles(rows: Sequence[RunRow]) -> list[Tile]:
    """Return the figures of the whole time."""
    outcomes = {word: sum(row.outcome == word for row in rows) for word in columns.OUTCOMES}
    ill = [f"{words.count(number)} {word}" for word, number in outcomes.items() if number and word != columns.SUCCEEDED]
    ended = [row for row in rows if not row.is_running]
    of_rows = total(rows, lambda row: row.rows)
    saved = total(rows, saved_rows)
    failed = total(rows, lambda row: row.failed_rows)
    requests, retries = total(rows, lambda row: row.requests), total(rows, lambda row: row.retries)
    builds = len({row.invocation_id for row in rows if row.invocation_id})
    p95 = middle(rows, lambda row: row.latency_p95_ms)
    worst = highest(rows, lambda row: row.latency_p95_ms)
    of_builds = f"in {words.several(builds, 'dbt run')}" if builds else ""
    is_ill = any(outcomes[word] for word in (columns.FAILED, columns.KILLED, columns.INTERRUPTED))
    return [
        Tile(
            "Predictions",
            words.count(len(rows)),
            "; ".join(filter(None, [of_builds, ", ".join(ill) or ("all succeeded" if ended else "")])),
            "ill" if is_ill else "",
        ),
        Tile("Rows", words.count(of_rows), f"{words.count(total(rows, lambda row: row.sent_rows))} sent"),
        Tile("Saved", words.share(saved, of_rows), f"{words.count(saved)} rows needed no request"),
        Tile("Throughput", f"{words.rate(throughput(rows))}/s", "rows sent, while requests were in flight"),
        Tile("Latency p95", words.milliseconds(p95), f"median run; worst {words.milliseconds(worst)}"),
        Tile(
            "Failed rows",
            words.count(failed),
            f"{words.share(failed, of_rows)} of rows; "
            f"{words.count(retries)} retries of {words.count(requests)} requests",
            "look" if failed else "",
        ),
    ]


def strip(series: Series, most: int) -> list[tuple[str, str]]:
    """Return the class and the words of each of the newest runs of a call, the oldest first."""
    return [(css_of(row), f"{words.minute(row.started_at)}: {said_of(row)}") for row in series.rows[-most:]]


def css_of(row: RunRow) -> str:
    """Return the class of a run's outcome in the style sheet."""
    if row.has_succeeded:
        return "look" if row.failed_rows else "well"
    return "bad" if row.outcome in {columns.FAILED, columns.INTERRUPTED, columns.KILLED} else "running"


def said_of(row: RunRow) -> str:
    """Say how a run ended."""
    said = _OUTCOME_WORDS.get(row.outcome, "unknown")
    return f"{said}, {words.several(row.failed_rows, 'failed row')}" if row.failed_rows else said


def outcomes_in_words(series: Series, most: int) -> str:
    """Say how the newest runs of a call ended."""
    said = [_OUTCOME_WORDS.get(row.outcome, "unknown") for row in series.rows[-most:]]
    counted = ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))
    return f"last {len(said)} runs: {counted}" if len(said) > 1 else f"one run: {counted}"


def last_run(row: RunRow) -> list[tuple[str, str]]:
    """Return what is known of a run, as names and words; what is not known is left out."""
    seconds = row.seconds
    pairs = [
        ("Started", words.moment(row.started_at)),
        ("Took", words.seconds(seconds)),
        ("Rows", words.count(row.rows)),
        ("Sent", words.count(row.sent_rows)),
        ("From the store", words.count(stored_rows(row))),
        ("Failed rows", words.count(row.failed_rows)),
        ("Rows sent a second", words.rate(throughput([row]))),
        ("Requests", words.count(row.requests)),
        ("Retries", words.count(row.retries)),
        ("Latency p50, p95, p99", _latencies(row)),
        ("Server: queue, compute", _server(row)),
        ("Requests in flight", words.count(row.requests_in_flight)),
        ("Bytes sent, received", f"{words.size(row.bytes_sent)}, {words.size(row.bytes_received)}"),
        ("Inference model", words.name(row.inference_model) if row.inference_model else ""),
        ("Served as", _served(row)),
        ("Endpoint", words.name(row.endpoint) if row.endpoint else ""),
    ]
    return [(name, said) for name, said in pairs if said.replace(words.NOTHING, "").strip(" ,/s")]


def _latencies(row: RunRow) -> str:
    found = (row.latency_p50_ms, row.latency_p95_ms, row.latency_p99_ms)
    return ", ".join(words.milliseconds(one) for one in found)


def _server(row: RunRow) -> str:
    return f"{words.seconds(row.server_queue_seconds)}, {words.seconds(row.server_compute_seconds)}"


def _served(row: RunRow) -> str:
    version = f" version {words.name(row.served_version)}" if row.served_version else ""
    return (words.name(row.model_name) if row.model_name else "") + version


HEADINGS = (
    "when", "outcome", "rows", "sent", "from the store", "same or NULL", "failed", "requests", "retries", "rows/s",
    "p50", "p95", "p99", "took", "plan", "read", "wait", "write", "join", "server queue", "server compute",
    "sent bytes", "received bytes", "in flight",
)  # fmt: skip


def run_table(slots: Slots) -> list[list[str]]:
    """Return the figures of each place of the charts, the newest first, under `HEADINGS`."""
    table = []
    for place, slot in reversed(list(enumerate(slots.places))):
        rows = slot.rows
        if not rows:
            continue
        outcome = said_of(rows[0]) if slots.is_by_run else words.several(len(rows), "run")
        ill = sum(not row.has_succeeded for row in rows)
        counts = (
            lambda row: row.rows, lambda row: row.sent_rows, stored_rows, duplicate_rows,
            lambda row: row.failed_rows, lambda row: row.requests, lambda row: row.retries,
        )  # fmt: skip
        seconds = (
            lambda row: row.seconds, lambda row: row.plan_seconds, lambda row: row.read_seconds,
            lambda row: row.wait_seconds, lambda row: row.write_seconds, lambda row: row.join_seconds,
            lambda row: row.server_queue_seconds, lambda row: row.server_compute_seconds,
        )  # fmt: skip
        table.append(
            [
                slots.title(place).removesuffix(" UTC"),
                outcome if slots.is_by_run or not ill else f"{outcome}, {ill} not well",
                *(words.count(total(rows, of)) for of in counts),
                words.rate(throughput(rows)),
                words.milliseconds(middle(rows, lambda row: row.latency_p50_ms)),
                words.milliseconds(highest(rows, lambda row: row.latency_p95_ms)),
                words.milliseconds(highest(rows, lambda row: row.latency_p99_ms)),
                *(words.seconds(total(rows, of)) for of in seconds),
                words.size(total(rows, lambda row: row.bytes_sent)),
                words.size(total(rows, lambda row: row.bytes_received)),
                words.count(highest(rows, lambda row: row.requests_in_flight)),
            ]
        )
    return table


@dataclass(frozen=True)
class ShareTable:
    """What a column's last run predicted beside the run before: headings, rows of cells, what is left out."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def share_table(column: PredictedColumn) -> ShareTable | None:
    """Return the shares of the classes, or the quantiles, of the last run and the one before."""
    before = next((run for run in column.runs if run.row is column.last.before), None)
    if column.kind == columns.NUMBERS:
        last, earlier = column.last.quantiles(), before.quantiles() if before else {}
        rows = [[word, words.value(last.get(word)), words.value(earlier.get(word))] for word in last or earlier]
        rows.append(["NULL", _share(column.last, "nulls"), _share(before, "nulls")])
        if column.last.not_finite or (before and before.not_finite):
            rows.append(["NaN, infinite", _share(column.last, "not_finite"), _share(before, "not_finite")])
        return ShareTable(("quantile", "last run", "run before"), rows)
    if column.kind != columns.CLASSES:
        return None
    last_classes = column.last.classes()
    earlier_classes: dict[Any, int] = before.classes() if before else {}
    of_last, of_earlier = sum(last_classes.values()), sum(earlier_classes.values())
    names = sorted(
        {key for key in (*last_classes, *earlier_classes) if isinstance(key, str)},
        key=lambda key: (-last_classes.get(key, 0), -earlier_classes.get(key, 0), key),
    )
    special: list[tuple[Any, str]] = [(OTHER, "all others"), (NULL, "NULL")]
    shown: list[tuple[Any, str]] = [(key, words.label(key)) for key in names[:_MOST_CLASSES]]
    shown += [(key, word) for key, word in special if key in last_classes or key in earlier_classes]
    rows = [
        [
            word,
            words.count(last_classes.get(key, 0)),
            words.share(last_classes.get(key, 0), of_last),
            words.share(earlier_classes.get(key, 0), of_earlier),
        ]
        for key, word in shown
    ]
    rest = len(names) - _MOST_CLASSES
    note = f"{words.several(rest, 'more class', 'more classes')} not listed." if rest > 0 else ""
    return ShareTable(("class", "rows", "last run", "run before"), rows, note)


def said_of_column(column: PredictedColumn, newest: RunRow) -> str:
    """Say how far a predicted column moved, and of how many rows that is."""
    last, stability = column.last, column.last.stability
    said = f"{words.several(last.rows, 'row')}."
    if column.kind == columns.OTHER:
        said += f" {words.count(last.nulls)} of them NULL. "
        said += "No shares are kept of arrays, nor of texts that nearly all differ."
    elif stability is None or last.before is None:
        said += " There is no run before with the like of it to compare with."
    else:
        against = words.minute(last.before.started_at)
        said = f"PSI {stability.index:.3f} against the run of {against}: {stability.verdict}. {said}"
        if stability.verdict == FEW_WORD:
            said += f" Of so few, {stability.chance:.2f} is expected though nothing has changed."
    if last.row is not newest:
        said += f" The last run predicted nothing to compare; this is of {words.minute(last.row.started_at)}."
    return said


def _share(run: PredictedRun | None, of: str) -> str:
    return words.share(getattr(run, of), run.rows) if run else words.NOTHING


def reason_table(rows: Sequence[RunRow]) -> list[tuple[str, str, str, str]]:
    """Return the failed rows by reason: rows of the whole time, of the last run, and when there were some last."""
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        for reason in row.failed_by_reason or {}:
            found.setdefault(reason, []).append(row)
    counted = {reason: sum((row.failed_by_reason or {})[reason] for row in of) for reason, of in found.items()}
    return [
        (
            words.name(reason),
            words.count(counted[reason]),
            words.count((rows[-1].failed_by_reason or {}).get(reason, 0)),
            words.minute(found[reason][-1].started_at),
        )
        for reason in sorted(found, key=lambda reason: -counted[reason])[:_MOST_CLASSES]
    ]
