"""What is said about rows that failed: Triton's own words, the rows, and where to look further."""

from __future__ import annotations

import re
from typing import Any

from dbt_triton.engine import RunError
from dbt_triton.errors import Reason
from dbt_triton.step.advice import advice_on_status
from dbt_triton.step.shown_values import printable, shown, shown_row
from dbt_triton.warehouses.columns import ERROR, HTTP_STATUS, KEY, REASON
from dbt_triton.warehouses.duckdb.dialect import quote
from dbt_triton.warehouses.duckdb.keys import key_of_halves, salt_of_store
from dbt_triton.warehouses.duckdb.rewrite import Source
from dbt_triton.warehouses.duckdb.session import DuckDBWarehouse
from dbt_triton.warehouses.duckdb.store import PredictionStore
from dbt_triton.warehouses.planned_call import PlannedCall, unused_name

_MEND_VALUES = (
    "Mend such values in the TABLE query; they are not sent again as they are, unless 'retry-errors' is 'true'"
)
_MEND_MODEL = (
    "Mend the model, or its config.pbtxt: it answers something else than it declares. The next run sends these rows "
    "again"
)
_SHOWN_ROWS = 3
_SHOWN_KEY = 200
#: So many rows that fail alike are a column of another type rather than bad rows.
_SEVERAL = 2
#: A row that was not sent, since a value of it is none of the declared type.
_UNFIT = re.compile(r"not sent: (?P<column>.+): its value is no (?P<type>.+)")
# No column of a user's is called so.
_WHY, _STATUS, _REASON = "dbt_triton_why", "dbt_triton_status", "dbt_triton_reason"


def ended_early(
    error: RunError, planned: PlannedCall, source: Source, warehouse: DuckDBWarehouse, *, full_refresh: bool
) -> str:
    """Say why a run ended early, and which rows met it."""
    options = planned.model.options
    said = "Nothing is kept" if error.no_answer_counts else kept(planned, full_refresh=full_refresh)
    if not error.keys:
        return f"{_model(planned)}: {error.message}\n  {said}"
    halves = zip(*(column.to_pylist()[:_SHOWN_ROWS] for column in error.keys), strict=True)
    keys = ", ".join(key_of_halves(str(high), str(low)) for high, low in halves)
    found = warehouse.rows(f"{source.rows} where {source.key} in ({keys}) limit {_SHOWN_ROWS}")
    rows = "\n".join("    " + shown_row(row) for row in found)
    status = f"status {error.status}" if error.status else "no answer"
    advice = (
        f"  {advice_on_status(error.status, options)}\n" if error.status and error.reason == Reason.REJECTED else ""
    )
    return (
        f"{_model(planned)}: {status} after {error.attempts} attempt(s): {error.message}\n{advice}"
        f"  It concerns a request of {len(error.keys[0])} row(s), such as:\n{rows}\n  {said}"
    )


def kept(planned: PlannedCall, *, full_refresh: bool) -> str:
    """Say what a run that ended early leaves for the next one."""
    if planned.model.options.cache == "off":
        return "Nothing is kept, with 'cache' = 'off'"
    if planned.in_order:
        return "The steps of a sequence belong together: the next run sends all of them again"
    but = ", unless it has --full-refresh again, as `dbt retry` of this one has" if full_refresh else ""
    return f"Predictions made so far are kept in {planned.store}; the next run goes on from there{but}"


def failed_rows(  # noqa: PLR0913 - each is another part of the run
    count: int, planned: PlannedCall, source: Source, store: PredictionStore, warehouse: DuckDBWarehouse, *, of: int
) -> str:
    """Say which rows failed, the first of them with the reason, and where to select the rest.

    Args:
        count: how many failed.
        planned: the call.
        source: its input.
        store: where the reasons are.
        warehouse: the session.
        of: how many rows have all their values.
    """
    key, place = (quote(unused_name(name, planned.columns)) for name in ("input_key", "input_place"))
    first = warehouse.rows(
        f"select failed.{ERROR} as {_WHY}, failed.{HTTP_STATUS} as {_STATUS}, "
        f"failed.{REASON} as {_REASON}, input_rows.* exclude ({', '.join([key, place, *source.hidden])}) "
        f"from (select *, {source.key} as {key}, rowid as {place} from {source.relation}) as input_rows "
        f"join {store.current} as failed on failed.{KEY} = input_rows.{key} "
        f"where failed.{ERROR} is not null order by input_rows.{place} asc limit {_SHOWN_ROWS}"
    )
    bear = "a larger 'max-error-ratio'" if planned.model.options.on_error == "null" else "'on-error' = 'null'"
    at_fault = {str(row.pop(_REASON)) for row in first} == {Reason.WRONG_ANSWER.value}
    said = (_unfit_column(of, first[0], planned, store, warehouse) if count == of else None) or _first_rows(
        count, first
    )
    return (
        f"{_model(planned)}: {said}"
        f"\n  Every reason: select * from {store.relation} where {ERROR} is not null\n{_every_row(planned, store)}"
        f"  {_MEND_MODEL if at_fault else _MEND_VALUES}. "
        f"Or {bear} builds the table, with NULL for them and the reason in {ERROR}"
    )


def _first_rows(count: int, rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        why, status = row.pop(_WHY), row.pop(_STATUS)
        lines.append(f"    {shown_row(row)}: {f'status {status}: ' if status else ''}{why}")
    return f"{count:,} row(s) failed; every other row is done and kept. The first:\n" + "\n".join(lines)


def _unfit_column(
    rows: int, first: dict[str, Any], planned: PlannedCall, store: PredictionStore, warehouse: DuckDBWarehouse
) -> str | None:
    """Say in one sentence that no value of a column is of the declared type, if that is why every row failed."""
    unfit = _UNFIT.fullmatch(str(first[_WHY]))
    reasons = warehouse.rows(f"select count(distinct {ERROR}) as n from {store.current} where {ERROR} is not null")
    if unfit is None or rows < _SEVERAL or int(reasons[0]["n"]) != 1:
        return None
    names = [column.name for column in planned.model.inputs]
    written = planned.call.descriptor[names.index(unfit["column"])] if unfit["column"] in names else unfit["column"]
    column = next((name for name in first if name.lower() == written.lower()), written)
    is_file = unfit["type"] == "VARCHAR" and isinstance(first.get(column), bytes)
    mending = (
        "Where INPUT declares BYTES, it goes as it is"
        if is_file
        else "Is it the column that INPUT means, and its type?"
    )
    return (
        f"every one of the {rows:,} values of column {printable(column)} is no {unfit['type']}, such as "
        f"{shown(first.get(column))}, so that no row was sent. {mending}"
    )


def _every_row(planned: PlannedCall, store: PredictionStore) -> str:
    """Say how to select the rows, unless they are those of a query, the steps of a sequence, or have a long key."""
    named = planned.call.relation
    # A Python model's input is a temporary table, which is gone by then.
    is_gone = named is None or named[0] == "temp"
    if (
        named is None
        or is_gone
        or planned.in_order
        or planned.is_wide
        or sum(map(len, planned.key_values)) > _SHOWN_KEY
    ):
        return ""
    key = planned.key_with(salt_of_store(store.relation, store.fingerprint))
    relation = ".".join(map(quote, named))
    failed = f"select {KEY} from {store.relation} where {ERROR} is not null"
    return f"  Every row: select * from {relation} where {key} in ({failed})\n"


def _model(planned: PlannedCall) -> str:
    options = planned.model.options
    return f"Triton at {options.endpoint}, model {options.model_name} version {options.model_version}"
