"""dbt within the demo: its lines go to a log, and a bar stands in their place; ``VERBOSE=1`` shows them as they are."""

# ruff: noqa: T201 - part of a command

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PROJECT = Path(__file__).resolve().parent
GRACE_SECONDS = 30
_SHOWN_LINES = 30
#: What becomes of a node that is as it should be.
_WELL = {"success", "pass", "ok", "info"}


def run_dbt(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one dbt command in the example project, and return its exit code.

    An interrupt is passed on once, and dbt has some seconds to end.
    """
    dbt = Path(sys.executable).parent / "dbt"
    verbose = is_verbose(environment)
    command = [str(dbt), *([] if verbose else ["--log-format", "json", "--no-use-colors"]), *arguments]
    command += ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    with subprocess.Popen(  # noqa: S603 - the command is built above
        command,
        env=dict(environment),
        stdout=None if verbose else subprocess.PIPE,
        stderr=None if verbose else subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # dbt gets one interrupt, from here, whoever was interrupted
    ) as process:
        try:
            shown = None if process.stdout is None else _follow(process.stdout, arguments[0], environment)
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    if shown is not None and code != 0:
        shown.fail(code)
    return code


def is_verbose(environment: Mapping[str, str]) -> bool:
    """Tell whether dbt's own lines are wanted."""
    return environment.get("VERBOSE", "").strip().lower() not in {"", "0", "false", "no"}


def log_file(environment: Mapping[str, str]) -> Path:
    """Return the file that holds dbt's lines: ``DBT_TRITON_DEMO_LOG``, or one of the project's logs."""
    return Path(environment.get("DBT_TRITON_DEMO_LOG") or PROJECT / "logs" / "demo.log").absolute()


class _Run:
    """What one command of dbt has said so far."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.done = self.total = 0
        #: How many nodes did not end well, by what became of them.
        self.others: dict[str, int] = {}
        self._log = log
        self._started = time.monotonic()
        self._problems: list[str] = []
        self._last: list[str] = []

    def read(self, line: str) -> str:
        """Take one line of dbt's, and return its text for the log."""
        try:
            event = json.loads(line)
            info, data = event["info"], event.get("data", {})
        except (ValueError, KeyError, TypeError):
            info, data = {"msg": line.rstrip("\n")}, {}  # of Python itself, such as a traceback
        text = str(info.get("msg", ""))
        self._last = [*self._last[-_SHOWN_LINES:], *text.splitlines()]
        if info.get("level") == "error":
            self._problems.append(text)
        self._count(info, data)
        return text

    def _count(self, info: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        """Count the nodes that have ended: "3 of 16 OK …", "4 of 16 SKIP …"."""
        if "index" not in data:
            return
        self.total = int(data.get("total") or data.get("num_models") or self.total)
        if info.get("name") == "LogStartLine":
            return
        self.done += 1
        said = (str(one).lower() for one in (data.get("node_info", {}).get("node_status"), data.get("status")))
        # Of a unit test dbt says nothing here, but for the level.
        status = next((one for one in said if one not in {"none", ""}), str(info.get("level")))
        if status not in _WELL:
            self.others[status] = self.others.get(status, 0) + 1

    def outcome(self) -> str:
        """Say in one line what was done; empty where dbt has run nothing."""
        if not self.done:
            return ""
        others = "".join(f", {number} {status}" for status, number in self.others.items())
        seconds = time.monotonic() - self._started
        nodes = f"{self.done} of {self.total} models and tests"
        return f"dbt {self.name}: {nodes}{others}, {seconds:.0f} s ({shown_path(self._log)})"

    def fail(self, code: int) -> None:
        """Show what went wrong."""
        print("\n".join(self._problems or self._last), file=sys.stderr)
        print(f"dbt {self.name} ended with code {code}; all of its lines: {shown_path(self._log)}", file=sys.stderr)


def shown_path(path: Path) -> str:
    """Return a path as it is shortest to type here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _follow(lines: IO[str], name: str, environment: Mapping[str, str]) -> _Run:
    """Read a command's lines until it ends: into the log, and as a bar where there is a terminal."""
    path = log_file(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    run = _Run(name, path)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with (
        path.open("w" if name == "deps" else "a", encoding="utf-8", errors="backslashreplace") as log,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task(f"dbt {name}", total=None)
        for line in lines:
            log.write(run.read(line) + "\n")
            log.flush()
            progress.update(bar, total=run.total or None, completed=run.done)
    if outcome := run.outcome():
        print(outcome, flush=True)
    return run
