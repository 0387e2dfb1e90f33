"""Rows of models that fail before a call of theirs begins: what is wrong with their SQL, or with what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbt_triton.foreign_text import harmless, shown
from dbt_triton.step.run_outcomes import first_line
from dbt_triton.step.waiting_rows import WAITING
from dbt_triton.warehouses.planned_call import PlannedCall

if TYPE_CHECKING:
    from dbt_triton.step.plan import Plan
    from dbt_triton.step.run_log import LoggedCall


class Unbegun:
    """Rows that are written if dbt says that the node of this thread has failed, and no call of it has begun.

    Args:
        rows: of the node, or of those that wait for it; none where no run log is written.
        waits: whether they are of others, which dbt skips.
    """

    def __init__(self, rows: Sequence[LoggedCall], *, waits: bool = False) -> None:
        self._rows = rows
        self._waits = waits

    def planned(self, plan: Plan) -> None:
        """Note what will be called. Where that is nothing but stubs, nothing is written."""
        asked = [planned for planned in plan.calls if not planned.model.is_stub]
        if self._rows and not asked:
            WAITING.forget()
        for logged in self._rows[: len(asked)]:
            logged.row |= called(asked[0])

    def failed(self, error: BaseException) -> None:
        """Note why: dbt's own message has a heading, or is a traceback."""
        for logged in self._rows:
            why = first_line(error)
            if self._waits:
                name = shown(logged.row.get("inference_model") or "")
                why = f"skipped, since the inference model {name} was not built: {why}"
            logged.row["error"] = why


def called(planned: PlannedCall) -> dict[str, Any]:
    """Return the columns that say what a call asks."""
    options = planned.model.options
    return {
        "inference_model": planned.model.name,
        "endpoint": harmless(options.endpoint),
        "model_name": options.model_name,
    }
