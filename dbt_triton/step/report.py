"""What is said about rows that failed: Triton's own words, the rows, and where to look further."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dbt_triton.engine import RunError
from dbt_triton.errors import Reason
from dbt_triton.step.advice import advice_on_status
from dbt_triton.step.shown_values import printable, shown, shown_row
from dbt_triton.warehouses import CallRun, FailedRow
from dbt_triton.warehouses.columns import ERROR
from dbt_triton.warehouses.planned_call import PlannedCall

_MEND_VALUES = (
    "Mend such values in the TABLE query; they are not sent again as they are, unless 'retry-errors' is 'true'"
)
_MEND_MODEL = (
    "Mend the model, or its config.pbtxt: it answers something else than it declares. The next run sends these rows "
    "again"
)
_MEND_TEXTS = (
    "Say in the prompt which JSON is wanted, let the server keep to it ('guided'), or raise max_tokens. The same "
    "prompts are not sent again, unless 'retry-errors' is 'true'"
)
#: What to do about rows that failed for these reasons alone.
_MENDING = {Reason.WRONG_ANSWER.value: _MEND_MODEL, Reason.UNFIT_TEXT.value: _MEND_TEXTS}
#: So many rows are shown.
SHOWN_ROWS = 3
#: So many rows that fail alike are a column of another type rather than bad rows.
_SEVERAL = 2
#: A row that was not sent, since a value of it is none of the declared type.
_UNFIT = re.compile(r"not sent: (?P<column>.+): its value is no (?P<type>.+)")


def ended_early(
    error: RunError, planned: PlannedCall, rows: Sequence[Mapping[str, Any]], *, full_refresh: bool, keeps: bool = True
) -> str:
    """Say why a run ended early, and which rows met it.

    Args:
        error: what ended it.
        planned: the call.
        rows: the first of those that it concerns.
        full_refresh: whether the run was one.
        keeps: whether predictions outlive a run.
    """
    options = planned.model.options
    said = "Nothing is kept" if error.no_answer_counts or not keeps else kept(planned, full_refresh=full_refresh)
    if not error.keys:
        return f"{_model(planned)}: {error.message}\n  {said}"
    shown_rows = "\n".join("    " + shown_row(row) for row in rows)
    status = f"status {error.status}" if error.status else "no answer"
    advice = (
        f"  {advice_on_status(error.status, options)}\n" if error.status and error.reason == Reason.REJECTED else ""
    )
    return (
        f"{_model(planned)}: {status} after {error.attempts} attempt(s): {error.message}\n{advice}"
        f"  It concerns a request of {len(error.keys[0])} row(s), such as:\n{shown_rows}\n  {said}"
    )


def kept(planned: PlannedCall, *, full_refresh: bool) -> str:
    """Say what a run that ended early leaves for the next one."""
    if planned.model.options.cache == "off":
        return "Nothing is kept, with 'cache' = 'off'"
    if planned.in_order:
        return "The steps of a sequence belong together: the next run sends all of them again"
    but = ", unless it has --full-refresh again, as `dbt retry` of this one has" if full_refresh else ""
    return f"Predictions made so far are kept in {planned.store}; the next run goes on from there{but}"


def failed_rows(count: int, planned: PlannedCall, call: CallRun, *, of: int, keeps: bool = True) -> str:
    """Say which rows failed, the first of them with the reason, and where to select the rest.

    Args:
        count: how many failed.
        planned: the call.
        call: its run, which knows the rows.
        of: how many rows have all their values.
        keeps: whether predictions outlive the run; else there is nothing to select.
    """
    first = call.first_failures(SHOWN_ROWS)
    bear = "a larger 'max-error-ratio'" if planned.model.options.on_error == "null" else "'on-error' = 'null'"
    reasons = {row.reason for row in first}
    mending = _MENDING.get(first[0].reason, _MEND_VALUES) if len(reasons) == 1 else _MEND_VALUES
    said = (_unfit_column(of, first[0], planned, call) if count == of else None) or _first_rows(
        count, first, keeps=keeps
    )
    if not keeps:
        return f"{_model(planned)}: {said}"
    every_row = call.every_row()
    return (
        f"{_model(planned)}: {said}"
        f"\n  Every reason: {call.every_reason()}\n"
        + (f"  Every row: {every_row}\n" if every_row else "")
        + f"  {mending}. "
        f"Or {bear} builds the table, with NULL for them and the reason in {ERROR}"
    )


def _first_rows(count: int, rows: Sequence[FailedRow], *, keeps: bool) -> str:
    lines = [f"    {shown_row(one.row)}: {f'status {one.status}: ' if one.status else ''}{one.why}" for one in rows]
    others = "; every other row is done and kept" if keeps else ""
    return f"{count:,} row(s) failed{others}. The first:\n" + "\n".join(lines)


def _unfit_column(rows: int, first: FailedRow, planned: PlannedCall, call: CallRun) -> str | None:
    """Say in one sentence that no value of a column is of the declared type, if that is why every row failed."""
    unfit = _UNFIT.fullmatch(first.why)
    if unfit is None or rows < _SEVERAL or call.different_reasons() != 1:
        return None
    names = [column.name for column in planned.model.inputs]
    written = planned.call.descriptor[names.index(unfit["column"])] if unfit["column"] in names else unfit["column"]
    column = next((name for name in first.row if name.lower() == written.lower()), written)
    value = first.row.get(column)
    is_file = unfit["type"] == "VARCHAR" and isinstance(value, bytes)
    mending = (
        "Where INPUT declares BYTES, it goes as it is"
        if is_file
        else "Is it the column that INPUT means, and its type?"
    )
    return (
        f"every one of the {rows:,} values of column {printable(column)} is no {unfit['type']}, such as "
        f"{shown(value)}, so that no row was sent. {mending}"
    )


def _model(planned: PlannedCall) -> str:
    options = planned.model.options
    return f"Triton at {options.endpoint}, model {options.model_name} version {options.model_version}"
