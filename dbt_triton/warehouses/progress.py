"""How far a run is: a bar on a terminal, elsewhere a line every ten seconds.

With ``DBT_TRITON_LOG_FORMAT=json`` a line is an object of JSON, on a terminal, too. All goes to standard error, since
orchestrators read dbt's standard output, where a line that parses as JSON is taken for an event of dbt's.
``DBT_TRITON_PROGRESS`` chooses: ``auto`` (the default), ``bar``, ``plain`` or ``off``.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from dbt_triton.engine import Progress
from dbt_triton.instrumentation.logs import FIELDS, JsonFormatter, wants_json
from dbt_triton.instrumentation.variables import PROGRESS, value_of
from dbt_triton.standard_streams import stderr_is_terminal, tell

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_SECONDS = 10.0
_SHORT_RUN_SECONDS = 2.0


class Reporter(Protocol):
    """Shows how far one run is; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time."""
        ...


def reporter(name: str, rows: int) -> Reporter:
    """Choose how a run is shown.

    Args:
        name: of the predicting model.
        rows: at most so many are sent; equal inputs are sent once.
    """
    wanted = value_of(PROGRESS)
    if wanted not in {"bar", "plain", "off"}:
        wanted = "bar" if stderr_is_terminal() else "plain"
    every = float("inf") if wanted == "off" else PLAIN_SECONDS
    if wants_json():
        return JsonReporter(name, rows, every=every)
    return BarReporter(name, rows) if wanted == "bar" else PlainReporter(name, rows, every=every)


def seconds_left(rows: int, done: int, seconds: float) -> float | None:
    """Estimate the rest of a run from the rows so far; None while nothing is done."""
    return (rows - done) * seconds / done if done > 0 else None


def speed(progress: Progress, seconds: float) -> str:
    """Say how many rows a second are done, and how many tokens a second are written, where a language model says so.

    Requests of a language model may take minutes each, so that there are fewer than one row a second.
    """
    rows = progress.rows / seconds
    tokens = f", {progress.tokens / seconds:,.0f} tokens/s" if progress.tokens else ""
    return f"{rows:,.{0 if rows >= 1 else 2}f} rows/s{tokens}"


class PlainReporter:
    """Writes a line now and then: words, so that it cannot be read as JSON."""

    def __init__(self, name: str, rows: int, *, every: float) -> None:
        self._name = name
        self._rows = rows
        self._every = every
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def __call__(self, progress: Progress) -> None:
        """Write a line if the last one is long enough ago."""
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        seconds = now - self._started
        left = seconds_left(self._rows, progress.rows, seconds)
        parts = [
            f"{progress.rows:,} of {self._rows:,} rows",
            speed(progress, seconds),
            f"{progress.in_flight} in flight",
            f"{progress.retries:,} retries",
            f"{progress.rows_failed:,} errors",
            *([] if left is None else [f"{left:,.0f} s left"]),
        ]
        tell(self._line(f"ML_PREDICT {self._name}: {', '.join(parts)}", progress, seconds))

    def _line(self, words: str, progress: Progress, seconds: float) -> str:  # noqa: ARG002 - a JSON line has them
        """Return the line."""
        return words


class JsonReporter(PlainReporter):
    """Writes an object of JSON now and then, as the log does."""

    def _line(self, words: str, progress: Progress, seconds: float) -> str:
        record = logging.makeLogRecord(
            {"name": "dbt_triton.progress", "levelname": "INFO", "levelno": logging.INFO, "msg": words, "args": None}
        )
        vars(record)[FIELDS] = {
            "rows": progress.rows,
            "rows_total": self._rows,
            "rows_failed": progress.rows_failed,
            "in_flight": progress.in_flight,
            "retries": progress.retries,
            "seconds": round(seconds, 3),
            **({"tokens": progress.tokens} if progress.tokens else {}),
        }
        return JsonFormatter().format(record)


class BarReporter:
    """Shows a bar; the bars of models that run at once are shown together, as a terminal bears one display only."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _shown: ClassVar[Bars | None] = None
    _users: ClassVar[int] = 0

    def __init__(self, name: str, rows: int) -> None:
        self._name = name
        self._rows = rows
        self._started = time.monotonic()
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, progress: Progress) -> None:
        """Move the bar; a short run never shows one."""
        seconds = time.monotonic() - self._started
        if self._task is None:
            if seconds < _SHORT_RUN_SECONDS:
                return
            self._appear()
        bars, task = BarReporter._shown, self._task
        if bars is None or task is None:
            return
        bars.update(
            task,
            completed=progress.rows,
            speed=speed(progress, seconds),
            requests=f"{progress.in_flight} in flight",
            trouble=f"{progress.retries:,} retries, {progress.rows_failed:,} errors",
        )

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is None:
            return
        with BarReporter._lock:
            if BarReporter._shown is not None:
                BarReporter._shown.remove_task(self._task)
            BarReporter._users -= 1
            if BarReporter._users == 0 and BarReporter._shown is not None:
                BarReporter._shown.stop()
                BarReporter._shown = None
            self._task = None

    def _appear(self) -> None:
        with BarReporter._lock:
            if BarReporter._shown is None:
                BarReporter._shown = _bars()
                BarReporter._shown.start()
            BarReporter._users += 1
            self._task = BarReporter._shown.add_task(
                f"ML_PREDICT {self._name}", total=self._rows, speed="", requests="", trouble=""
            )


def _bars() -> Bars:
    # Slow to import, and wanted on a terminal only.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[requests]}"),
        TextColumn("{task.fields[trouble]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
