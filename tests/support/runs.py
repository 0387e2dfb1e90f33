"""The rows of a run log, as a test reads them."""

from __future__ import annotations

import json
from typing import Any

from dbt_triton.run_log.columns import COLUMNS
from support.dbt import DbtProject

Row = dict[str, Any]


def runs(project: DbtProject, relation: str = "ml_predict_runs", *, node: str | None = None) -> list[Row]:
    """Return the rows of a run log in the order in which they began; of one model where it is named."""
    names = [f"{project.quote(name)}" for name in COLUMNS]
    found = [
        dict(zip(COLUMNS, row, strict=True))
        for row in project.query(f"select {', '.join(names)} from {relation} order by started_at, node, call")
    ]
    return [row for row in found if node is None or row["node"] == f"model.shop.{node}"]


def predicted(row: Row, column: str = "output") -> Row:
    """Return the profile of a predicted column."""
    profile: Row = json.loads(row["predicted"])[column]
    return profile
