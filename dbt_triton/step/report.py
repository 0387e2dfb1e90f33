"""What is said about rows that failed: Triton's own words, the rows, and where to look further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_triton.engine import RunError
from dbt_triton.step.plan import PlannedCall, unused_name
from dbt_triton.step.rewrite import Source
from dbt_triton.store import ERROR, KEY, PredictionStore, key_of_halves
from dbt_triton.warehouse import DuckDBWarehouse, quote

_SHOWN_ROWS = 3
_SHOWN_COLUMNS = 4
_SHOWN_LENGTH = 60
_SHOWN_KEY = 200
# No column of a user's is called so.
_WHY, _STATUS = "dbt_triton_why", "dbt_triton_status"


def ended_early(error: RunError, planned: PlannedCall, source: Source, warehouse: DuckDBWarehouse) -> str:
    """Say why a run ended early, and which rows met it."""
    options = planned.model.options
    kept = (
        "Nothing is kept, with 'cache' = 'off'"
        if options.cache == "off"
        else f"Predictions made so far are kept in {planned.store}; the next run goes on from there"
    )
    if not error.keys:
        return f"{_model(planned)}: {error.message}\n  {kept}"
    halves = zip(*(column.to_pylist()[:_SHOWN_ROWS] for column in error.keys), strict=True)
    keys = ", ".join(key_of_halves(str(high), str(low)) for high, low in halves)
    shown = warehouse.rows(f"{source.rows} where {source.key} in ({keys}) limit {_SHOWN_ROWS}")
    rows = "\n".join("    " + _shown(row) for row in shown)
    status = f"status {error.status}" if error.status else "no answer"
    return (
        f"{_model(planned)}: {status} after {error.attempts} attempt(s): {error.message}\n"
        f"  It concerns a request of {len(error.keys[0])} row(s), such as:\n{rows}\n  {kept}"
    )


def failed_rows(
    count: int, planned: PlannedCall, source: Source, store: PredictionStore, warehouse: DuckDBWarehouse
) -> str:
    """Say which rows failed, the first of them with the reason, and where to select the rest."""
    key = quote(unused_name("input_key", planned.columns))
    shown = warehouse.rows(
        f"select failed.{ERROR} as {_WHY}, failed.ml_http_status as {_STATUS}, input_rows.* exclude ({key}) "
        f"from (select *, {source.key} as {key} from {source.relation}) as input_rows "
        f"join {store.current} as failed on failed.{KEY} = input_rows.{key} "
        f"where failed.{ERROR} is not null limit {_SHOWN_ROWS}"
    )
    lines = []
    for row in shown:
        why, status = row.pop(_WHY), row.pop(_STATUS)
        lines.append(f"    {_shown(row)}: {f'status {status}: ' if status else ''}{why}")
    bear = "a larger 'max-error-ratio'" if planned.model.options.on_error == "null" else "'on-error' = 'null'"
    return (
        f"{_model(planned)}: {count:,} row(s) failed; every other row is done and kept. The first:\n"
        + "\n".join(lines)
        + f"\n  Every reason: select * from {store.relation} where {ERROR} is not null\n{_every_row(planned, store)}"
        "  Mend such values in the TABLE query; they are not sent again as they are, unless 'retry-errors' is 'true'. "
        f"Or {bear} builds the table, with NULL for them and the reason in {ERROR}"
    )


def _every_row(planned: PlannedCall, store: PredictionStore) -> str:
    """Say how to select the rows, unless they are those of a query, the steps of a sequence, or have a long key."""
    named = planned.call.relation
    # A Python model's input is a temporary table, which is gone by then.
    if named is None or named[0] == "temp" or planned.in_order or len(planned.key) > _SHOWN_KEY:
        return ""
    relation = ".".join(map(quote, named))
    failed = f"select {KEY} from {store.relation} where {ERROR} is not null"
    return f"  Every row: select * from {relation} where {planned.key} in ({failed})\n"


def _model(planned: PlannedCall) -> str:
    options = planned.model.options
    return f"Triton at {options.endpoint}, model {options.model_name} version {options.model_version}"


def _shown(row: Mapping[str, Any]) -> str:
    """Show the first columns of a row, where its key usually is."""
    values = []
    for name, value in list(row.items())[:_SHOWN_COLUMNS]:
        text = repr(value)
        values.append(f"{name} = {text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + '…'}")
    return ", ".join(values)
