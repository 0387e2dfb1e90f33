"""Door 3: ML_PREDICT within a dbt Python model, so that dbt's own table and incremental apply unchanged.

The call is planned and carried out on the model's own session, as a predicting model's is. A Python model runs within
dbt's transaction once a hook has begun one, and such a transaction does not see what the store's cursor commits: it
is committed first, and another is begun when the call is done, so that dbt has one to end.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from dbt_triton.errors import ConfigurationError, DbtTritonError
from dbt_triton.flink_options import reasons_not_needed
from dbt_triton.inference_model import InferenceModel, model_from_row
from dbt_triton.inference_model.row import COLUMNS
from dbt_triton.step.plan import make_plan
from dbt_triton.step.predict import run_plan
from dbt_triton.step.python_config import check_config
from dbt_triton.warehouses.duckdb.dialect import literal, quote, table_type
from dbt_triton.warehouses.duckdb.session import DuckDBWarehouse

logger = logging.getLogger("dbt_triton.step")

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
        table: the input: ``dbt.ref(…)``, a relation made from it, a data frame, an Arrow table or a stream of record
            batches (which is read into memory), or a SELECT as a text.
        model: the inference model: ``dbt.ref(…)``.
        descriptor: the input column, or several, bound to INPUT by position; by name first where INPUT is left out.
        config: options of this call, which win over those of the inference model; keys as in ``WITH (…)``.

    Returns:
        A DuckDB relation: the columns of the input in order, then the OUTPUT columns, to be returned by the model.

    Raises:
        ConfigurationError: ``config`` holds a literal token or header; dbt prints lines of a model that fails.
        DbtTritonError: as a build of an ml_predict model would say it.
    """
    check_config(config, str(dbt.this.identifier))
    if not isinstance(descriptor, str) and not all(isinstance(name, str) for name in _listed(descriptor)):
        raise ConfigurationError(["it must be the name of a column, or a list of names"], "descriptor of ml_predict")
    if table is None or isinstance(table, bool | int | float | bytes | list | tuple | Mapping):
        kind = type(table).__name__
        wanted = "pass dbt.ref(…), a data frame, an Arrow table, or a SELECT as a text"
        raise ConfigurationError([f"a table is wanted, not a value of type {kind}: {wanted}"], "table of ml_predict")
    if hasattr(table, "read_all"):
        # A stream of record batches, such as relation.arrow(), is the open result of this very session.
        table = table.read_all()
    warehouse = DuckDBWarehouse(session)
    mark = f"dbt_triton_{uuid.uuid4().hex[:12]}"
    given, made = f"temp.main.{mark}", f"temp.main.{mark}_model"
    with warehouse.outside_transaction():
        try:
            columns = _copy_input(session, table, mark)
            row = _model_row(session, model)
            for reason in reasons_not_needed(config or {}):
                logger.warning("%s: accepted, and not needed here: %s", dbt.this.identifier, reason)
            chosen = _descriptor(descriptor, columns, model_from_row(row))
            values = ", ".join(
                f"{literal(_text(row[name]), table_type(kind))} as {quote(name)}" for name, kind in COLUMNS.items()
            )
            warehouse.execute(f"create temp table {made} as select {values}")
            call = f"ML_PREDICT(TABLE {given}, MODEL {made}, DESCRIPTOR({', '.join(chosen)}))"
            plan = make_plan(_arguments(dbt, f"select * from {call}", config or {}), warehouse)
            result = run_plan(plan, warehouse, name=str(dbt.this.identifier))
            warehouse.execute(f"create temp table {mark}_predicted as {result['build_sql']}")
            for statement in result["clean_up"]:
                warehouse.execute(statement)
        finally:
            for name in (given, made):
                warehouse.execute(f"drop table if exists {name}")
    logger.info("%s: %s", dbt.this.identifier, json.dumps(result["figures"]))
    number = quote(_number_column(mark))
    return session.query(f"select * exclude ({number}) from {mark}_predicted order by {number} asc")


def _arguments(dbt: Any, sql: str, config: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the arguments of the plan."""
    return {"name": dbt.this.identifier, "sql": sql, "store": _store(dbt), "models": [], "meta": dict(config)}


def _number_column(mark: str) -> str:
    """Name the column of a row's number, which no column of a user's is called."""
    return f"{mark}_row"


def _copy_input(session: Any, table: Any, mark: str) -> list[str]:  # noqa: ANN401 - as above
    """Put the input into a temporary table with numbered rows. Returns the names of its columns."""
    if isinstance(table, str):
        table = session.query(table)
    elif not hasattr(table, "sql_query"):
        table = session.from_df(table) if hasattr(table, "iloc") else session.from_arrow(table)
    dbt_triton_given_input = table  # noqa: F841 - DuckDB finds it here by its name
    number = quote(_number_column(mark))
    session.query(f"create temp table {mark} as select *, row_number() over () as {number} from dbt_triton_given_input")
    return list(map(str, table.columns))


def _model_row(session: Any, model: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the one metadata row of an inference model."""
    relation = session.query(model) if isinstance(model, str) else model
    rows = relation.fetchall()
    if len(rows) != 1:
        raise DbtTritonError(f"the MODEL operand has {len(rows)} rows, not one; pass dbt.ref() of an inference model")
    return dict(zip(relation.columns, rows[0], strict=True))


def _descriptor(descriptor: str | Sequence[str], columns: Sequence[str], model: InferenceModel) -> list[str]:
    """Return the columns of the descriptor, quoted.

    Raises:
        ConfigurationError: the input has no such column, or INPUT has more or fewer; one that was left out has what
            the plan finds.
    """
    chosen = [descriptor] if isinstance(descriptor, str) else list(descriptor)
    known = {name.lower() for name in columns}
    problems = [
        f"the input has no column {name}; it has {', '.join(columns)}" for name in chosen if name.lower() not in known
    ]
    if not model.served_inputs and len(chosen) != len(model.inputs):
        declared = ", ".join(column.name for column in model.inputs)
        problems.append(f"descriptor has {len(chosen)} columns, but INPUT has {len(model.inputs)} ({declared})")
    if problems:
        raise ConfigurationError(problems, f'ml_predict with inference model "{model.name}"')
    return [quote(name) for name in chosen]


def _listed(descriptor: Any) -> Sequence[Any]:  # noqa: ANN401 - whatever somebody passes
    return descriptor if isinstance(descriptor, list | tuple) else [None]


def _store(dbt: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Name the store of this call; the second call of one model has another than the first."""
    number = getattr(dbt, _CALLS, 0) + 1
    setattr(dbt, _CALLS, number)
    this = dbt.this
    identifier = f"{this.identifier}__ml_predictions" + (f"_{number}" if number > 1 else "")
    return {"database": this.database, "schema": this.schema, "identifier": identifier}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
