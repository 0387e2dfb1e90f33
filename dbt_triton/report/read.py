"""The run log, read from the warehouse by the project's own adapter, on any warehouse of the package."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dbt_triton import __version__
from dbt_triton.errors import DbtTritonError
from dbt_triton.project import not_read, printed_by_dbt
from dbt_triton.report.run_row import RunRow, read_row

_MARK, _MARK_OF_ROWS = "dbt_triton_runs ", "dbt_triton_runs_rows "
#: So many rows are read at most, the newest.
MOST_ROWS = 20_000
#: So many of each call come with the profile of what was predicted, the newest.
MOST_PROFILES = 60
_VERSION = re.compile(r"\.v[^.]+$")


@dataclass(frozen=True)
class RunLog:
    """What was read.

    Attributes:
        rows: the oldest first; those without a start are last.
        project, target, relation: where the table is, in words.
        exists: whether there is a table at all.
        is_written: whether the project writes one.
        since: the first moment that was looked at, UTC.
        node: the name that it was narrowed to.
        is_cut: whether older rows were left out, since there are too many.
        predicting: the unique ids of the project's models that may predict; None where that is not known.
        packages: the names of the project and of its packages.
    """

    rows: Sequence[RunRow]
    project: str
    target: str
    relation: str
    since: datetime
    exists: bool = True
    is_written: bool = True
    node: str | None = None
    is_cut: bool = False
    predicting: frozenset[str] | None = None
    packages: frozenset[str] = frozenset()

    def has_left(self, node: str) -> bool:
        """Tell whether the project had a model that it has no more. Another project may write to the same table."""
        ours = node.split(".")[1:2]
        return self.predicting is not None and bool(ours) and ours[0] in self.packages and node not in self.predicting


def read_run_log(dbt_arguments: Sequence[str], since: datetime, node: str | None) -> RunLog:
    """Read the run log.

    Args:
        dbt_arguments: such as ``--project-dir`` and ``--target``, passed on to dbt.
        since: the first moment, UTC.
        node: the name or unique_id of the only node; None is all of them.

    Raises:
        DbtTritonError: dbt cannot read the project or the table; with dbt's own words.
    """
    wanted = None if node is None else node.strip().lower()
    told = {
        "since": since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "node": wanted,
        "most": MOST_ROWS,
        "profiles": MOST_PROFILES,
    }
    arguments = ", ".join(f"{key}={'none' if value is None else json.dumps(value)}" for key, value in told.items())
    printed, said = printed_by_dbt(f"{{{{ dbt_triton.print_runs({arguments}) }}}}", dbt_arguments)
    place = next((text.removeprefix(_MARK) for text in printed if text.startswith(_MARK)), None)
    if place is None:
        locked = "\nA DuckDB file can be read while no other process writes to it" if "lock" in said.lower() else ""
        raise not_read("dbt cannot read the run log of this project", said + locked, dbt_arguments)
    about = json.loads(place)
    if about["package_version"] != __version__:
        raise DbtTritonError(
            f"the dbt package dbt_triton is {about['package_version']}, but this is dbt-triton {__version__}; "
            "run `dbt-triton init` and `dbt deps`"
        )
    batches = [text.removeprefix(_MARK_OF_ROWS) for text in printed if text.startswith(_MARK_OF_ROWS)]
    rows = [read_row(json.loads(line)) for batch in batches for line in batch.split("\n") if line]
    chosen = [row for row in rows if wanted is None or is_called(row.node, wanted)]
    return RunLog(
        in_order(chosen),
        str(about["project"]),
        str(about["target"]),
        str(about["relation"]),
        since,
        exists=bool(about["exists"]),
        is_written=bool(about["is_written"]),
        node=node,
        is_cut=len(rows) >= MOST_ROWS,
        predicting=frozenset(map(str, about["predicting"])),
        packages=frozenset(map(str, about["packages"])),
    )


def in_order(rows: Sequence[RunRow]) -> list[RunRow]:
    """Return rows by their start; those without one are last."""
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: (row.started_at or never, row.node, row.call))


def is_called(node: str, wanted: str) -> bool:
    """Tell whether a name in small letters means a node: its unique_id, its name, or its name with a version."""
    node = node.lower()
    name = node.split(".", 2)[-1]
    return wanted in {node, name, _VERSION.sub("", name)}
