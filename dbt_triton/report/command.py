"""The command `dbt-triton report`."""

from __future__ import annotations

import os
import webbrowser
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dbt_triton.errors import DbtTritonError
from dbt_triton.report.arguments import first_moment
from dbt_triton.report.page import page
from dbt_triton.report.read import read_run_log

#: What the page is called in dbt's target folder.
FILE_NAME = "ml_predict_report.html"


def report(arguments: Namespace, dbt_arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Write the page, and say its first line and where it is. Returns 0, whatever the runs were."""
    now = datetime.now(UTC)
    since = first_moment(arguments.days, arguments.since, now)
    if since > now:
        raise DbtTritonError(f"--since: {since:%Y-%m-%d %H:%M} UTC has not come yet")
    file = arguments.output or _target_folder(arguments.project_dir) / FILE_NAME
    if arguments.output and not file.absolute().parent.is_dir():
        raise DbtTritonError(f"--output: there is no folder {file.absolute().parent}")
    made = page(read_run_log(dbt_arguments, since, arguments.node), now)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made.html, encoding="utf-8")
    say(made.headline.text)
    say(f"wrote {file}")
    if arguments.open and not _open(file):
        say(f"there is no browser to open here; open {file.absolute().as_uri()} in one")
    return 0


def _target_folder(project_dir: str | None) -> Path:
    folder = Path(project_dir or os.environ.get("DBT_PROJECT_DIR") or ".")
    return folder / (os.environ.get("DBT_TARGET_PATH") or "target")


def _open(file: Path) -> bool:
    try:
        return webbrowser.open(file.absolute().as_uri())
    except webbrowser.Error:
        return False
