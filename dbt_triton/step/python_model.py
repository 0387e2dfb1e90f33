"""Door 3: ML_PREDICT within a dbt Python model, so that dbt's own table and incremental apply unchanged.

A Python model runs within dbt's transaction once a hook has begun one, and such a transaction does not see what the
store's cursor commits. So the call runs on a cursor of its own, which is given the DESCRIPTOR columns and nothing
else, and its predictions are brought back into a temporary table of the session.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from dbt_triton.errors import ConfigurationError, DbtTritonError
from dbt_triton.flink_options import reasons_not_needed
from dbt_triton.inference_model import InferenceModel, model_from_row
from dbt_triton.inference_model.row import COLUMNS
from dbt_triton.step.plan import make_plan, output_names, unused_name
from dbt_triton.step.predict import run_plan
from dbt_triton.store import ERROR
from dbt_triton.warehouse import DuckDBWarehouse, Interrupts, literal, quote

logger = logging.getLogger("dbt_triton.step")

_ROW = "ml_row"
_CALLS = "dbt_triton_calls"


def ml_predict(  # noqa: PLR0913 - dbt's two, and the four arguments of ML_PREDICT
    dbt: Any,  # noqa: ANN401 - made by dbt for each model
    session: Any,  # noqa: ANN401 - dbt-duckdb's cursor
    table: Any,  # noqa: ANN401 - what dbt.ref() gives, or what DuckDB can read
    model: Any,  # noqa: ANN401 - as above
    descriptor: str | Sequence[str],
    *,
    config: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - a DuckDBPyRelation
    """Predict within a dbt Python model.

    Args:
        dbt: the model's first argument.
        session: its second one.
        table: the input: ``dbt.ref(…)``, a relation made from it, a data frame, an Arrow table, or a SELECT as a text.
        model: the inference model: ``dbt.ref(…)``.
        descriptor: the input column, or several, bound to INPUT by position.
        config: options of this call, which win over those of the inference model; keys as in ``WITH (…)``.

    Returns:
        A DuckDB relation: the columns of the input in order, then the OUTPUT columns, to be returned by the model.

    Raises:
        DbtTritonError: as a build of an ml_predict model would say it.
    """
    here = DuckDBWarehouse(session)
    mark = f"dbt_triton_{uuid.uuid4().hex[:12]}"
    hidden = _copy_input(session, table, mark)
    chosen = [descriptor] if isinstance(descriptor, str) else list(descriptor)
    row = _model_row(session, model)
    inference_model = model_from_row(row)
    for reason in reasons_not_needed(config or {}):
        logger.warning("%s: accepted, and not needed here: %s", dbt.this.identifier, reason)
    columns = [name for name, _ in here.describe(f"select * from {mark}") if name != hidden]
    with closing(session.cursor()) as cursor:
        there = _OtherCursor(cursor, session)
        _hand_over(here, cursor, f"select {_inputs(inference_model, chosen, columns, hidden)} from {mark}", mark)
        values = ", ".join(f"{literal(_text(row[name]), kind)} as {quote(name)}" for name, kind in COLUMNS.items())
        there.execute(f"create temp table {mark}_model as select {values}")
        call = f"ML_PREDICT(TABLE {mark}, MODEL {mark}_model, DESCRIPTOR({', '.join(map(quote, _named(chosen)))}))"
        arguments = {
            "name": dbt.this.identifier,
            "sql": f"select * from {call}",
            "store": _store(dbt),
            "models": [],
            "meta": dict(config or {}),
        }
        plan = make_plan(arguments, there)
        if plan.calls[0].model.raw_options.get("auth-token") == "***":
            raise DbtTritonError(
                f"the literal auth-token of {inference_model.name} is not in the warehouse, and a Python model has no "
                "other way to it: write ${NAME}, which is read from the environment"
            )
        result = run_plan(plan, there, name=str(dbt.this.identifier))
        _bring_back(there, session, result["build_sql"], mark, len(chosen))
        for statement in result["clean_up"]:
            there.execute(statement)
    logger.info("%s: %s", dbt.this.identifier, json.dumps(result["figures"]))
    added = [column.name for column in inference_model.outputs]
    added += [ERROR] if plan.calls[0].error_name is not None else []
    renamed = zip(range(len(added)), output_names(columns, added), strict=True)
    shown = ", ".join(f"predicted.output_{position} as {quote(name)}" for position, name in renamed)
    return session.query(
        f"select given.* exclude ({quote(hidden)}), {shown} from {mark} as given "
        f"join {mark}_predicted as predicted on predicted.{_ROW} = given.{quote(hidden)} order by given.{quote(hidden)}"
    )


class _OtherCursor(DuckDBWarehouse):
    """A cursor of the call's own; dbt interrupts the model's session, and not this one."""

    def __init__(self, cursor: Any, session: Any) -> None:  # noqa: ANN401 - DuckDB's, and dbt-duckdb's wrapper
        super().__init__(cursor)
        self._of_dbt = session

    def interrupts(self) -> Interrupts:
        """Notice an interrupt of dbt's session."""
        return Interrupts(self._of_dbt)


def _copy_input(session: Any, table: Any, mark: str) -> str:  # noqa: ANN401 - as above
    """Put the input into a temporary table with numbered rows. Returns the name of the number's column."""
    if isinstance(table, str):
        table = session.query(table)
    elif not hasattr(table, "sql_query"):
        table = session.from_df(table) if hasattr(table, "iloc") else session.from_arrow(table)
    hidden = unused_name(_ROW, table.columns)
    dbt_triton_given_input = table  # noqa: F841 - DuckDB finds it here by its name
    session.query(
        f"create temp table {mark} as select row_number() over () as {quote(hidden)}, * from dbt_triton_given_input"
    )
    return hidden


def _model_row(session: Any, model: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the one metadata row of an inference model."""
    relation = session.query(model) if isinstance(model, str) else model
    rows = relation.fetchall()
    if len(rows) != 1:
        raise DbtTritonError(f"the MODEL operand has {len(rows)} rows, not one; pass dbt.ref() of an inference model")
    return dict(zip(relation.columns, rows[0], strict=True))


def _inputs(model: InferenceModel, chosen: Sequence[str], columns: Sequence[str], hidden: str) -> str:
    """Return the SQL of what the other cursor is given: the row's number and the inputs, cast to INPUT's types."""
    by_name = {name.lower(): name for name in columns}
    problems = [
        f"the input has no column {name}; it has {', '.join(columns)}" for name in chosen if name.lower() not in by_name
    ]
    if len(chosen) != len(model.inputs):
        declared = ", ".join(column.name for column in model.inputs)
        problems.append(f"descriptor has {len(chosen)} columns, but INPUT has {len(model.inputs)} ({declared})")
    if problems:
        raise ConfigurationError(problems, f'ml_predict with inference model "{model.name}"')
    cast = [
        f"cast({quote(by_name[name.lower()])} as {column.duckdb_type}) as {quote(given)}"
        for name, column, given in zip(chosen, model.inputs, _named(chosen), strict=True)
    ]
    return ", ".join([f"{quote(hidden)} as {_ROW}", *cast])


def _named(chosen: Sequence[str]) -> list[str]:
    """Name the inputs on the other cursor, each differently."""
    return output_names([_ROW], chosen)


def _store(dbt: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Name the store of this call; the second call of one model has another than the first."""
    number = getattr(dbt, _CALLS, 0) + 1
    setattr(dbt, _CALLS, number)
    this = dbt.this
    identifier = f"{this.identifier}__ml_predictions" + (f"_{number}" if number > 1 else "")
    return {"database": this.database, "schema": this.schema, "identifier": identifier}


def _hand_over(here: DuckDBWarehouse, cursor: Any, query: str, table: str) -> None:  # noqa: ANN401 - as above
    """Copy a query's rows into a temporary table of another cursor."""
    described = here.describe(query)
    with closing(here.read(query)) as batches:
        _load(cursor, batches, table, described)


def _bring_back(there: DuckDBWarehouse, session: Any, query: str, mark: str, inputs: int) -> None:  # noqa: ANN401
    """Copy the predictions into a temporary table of the session, with the row's number and ``output_N``."""
    described = there.describe(query)
    outputs = described[1 + inputs :]
    columns = [f"{quote(described[0][0])} as {_ROW}"]
    columns += [f"{quote(name)} as output_{position}" for position, (name, _) in enumerate(outputs)]
    named = [(_ROW, "BIGINT"), *((f"output_{position}", kind) for position, (_, kind) in enumerate(outputs))]
    with closing(there.read(f"select {', '.join(columns)} from ({query})")) as batches:
        _load(session, batches, f"{mark}_predicted", named)


def _load(cursor: Any, batches: Iterable[Any], table: str, columns: Sequence[tuple[str, str]]) -> None:  # noqa: ANN401
    """Make a temporary table and fill it with record batches, as they come."""
    cursor.execute(f"create temp table {table} ({', '.join(f'{quote(name)} {kind}' for name, kind in columns)})")
    view = f"{table}_batches"
    for batch in batches:
        cursor.register(view, batch)
        try:
            cursor.execute(f"insert into {table} select * from {view}")
        finally:
            cursor.unregister(view)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
