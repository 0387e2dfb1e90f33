"""Door 3: ML_PREDICT within a dbt Python model, so that dbt's own table and incremental apply unchanged.

The call is planned and carried out on the model's own session, as a predicting model's is. The warehouse puts what is
passed where SQL can name it, and has the result in its own kind of relation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dbt_triton.ddl.calls import select_of_call
from dbt_triton.errors import ConfigurationError, DbtTritonError
from dbt_triton.flink_options import reasons_not_needed
from dbt_triton.inference_model import InferenceModel, model_from_row
from dbt_triton.inference_model.row import COLUMNS
from dbt_triton.instrumentation import step_of
from dbt_triton.instrumentation.setup import turn_on
from dbt_triton.step.plan import make_plan
from dbt_triton.step.predict import run_plan
from dbt_triton.step.python_config import check_config
from dbt_triton.step.run_log import RunLog
from dbt_triton.warehouses import Warehouse, open_warehouse

logger = logging.getLogger("dbt_triton.step")

_CALLS = "dbt_triton_calls"


def ml_predict(  # noqa: PLR0913 - dbt's two, and the four arguments of ML_PREDICT
    dbt: Any,  # noqa: ANN401 - made by dbt for each model
    session: Any,  # noqa: ANN401 - of dbt's adapter
    table: Any,  # noqa: ANN401 - what dbt.ref() gives, or what the warehouse can read
    model: Any,  # noqa: ANN401 - as above
    descriptor: str | Sequence[str],
    *,
    config: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - the warehouse's own relation
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
        A relation of the session's kind: the columns of the input in order, then the OUTPUT columns, to be returned
        by the model.

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
    name = str(dbt.this.identifier)
    with step_of("", name=name):
        turn_on()
        return _predicted(dbt, session, table, model, descriptor, dict(config or {}), name)


def _predicted(  # noqa: PLR0913, PLR0917 - as above
    dbt: Any,  # noqa: ANN401 - as above
    session: Any,  # noqa: ANN401 - as above
    table: Any,  # noqa: ANN401 - as above
    model: Any,  # noqa: ANN401 - as above
    descriptor: str | Sequence[str],
    config: Mapping[str, Any],
    name: str,
) -> Any:  # noqa: ANN401 - as above
    """Predict, once what was passed is known to be of the right kinds."""
    warehouse = open_warehouse(session, {"name": name})
    log = RunLog.of_python_model(warehouse, str(dbt.this))
    unbegun = log.expect()
    try:
        return _carried_out(dbt, warehouse, log, (table, model, descriptor), config, name)
    except DbtTritonError as error:
        unbegun.failed(error)
        raise


def _carried_out(  # noqa: PLR0913, PLR0917 - as above
    dbt: Any,  # noqa: ANN401 - as above
    warehouse: Warehouse,
    log: RunLog,
    operands: tuple[Any, Any, str | Sequence[str]],
    config: Mapping[str, Any],
    name: str,
) -> Any:  # noqa: ANN401 - as above
    """Predict, and write the run log."""
    table, model, descriptor = operands
    with warehouse.given(table, model) as given:
        row = _only_row(given.model_rows())
        for reason in reasons_not_needed(config):
            logger.warning("%s: accepted, and not needed here: %s", name, reason)
        chosen = _descriptor(descriptor, given.columns, model_from_row(row))
        given.put_model(warehouse.dialect.metadata_query(row, COLUMNS))
        sql = select_of_call(given.table, given.model, map(warehouse.dialect.quote, chosen))
        try:
            plan = make_plan(_arguments(dbt, sql, config), warehouse)
            result = run_plan(plan, warehouse, name=name, log=log, first_call=getattr(dbt, _CALLS))
            given.keep(result["build_sql"], result["clean_up"])
        finally:
            log.end_unless_dbt_does()
    for note in log.notes:
        logger.warning("%s: %s", name, note)
    log.notes.clear()
    for warning in result["warnings"]:
        logger.warning("%s: %s", name, warning)
    logger.info("%s: %s", name, json.dumps(result["figures"]))
    return given.result()


def _arguments(dbt: Any, sql: str, config: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the arguments of the plan."""
    return {"name": dbt.this.identifier, "sql": sql, "store": _store(dbt), "models": [], "meta": dict(config)}


def _only_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the one metadata row of an inference model."""
    if len(rows) != 1:
        raise DbtTritonError(f"the MODEL operand has {len(rows)} rows, not one; pass dbt.ref() of an inference model")
    return rows[0]


def _descriptor(descriptor: str | Sequence[str], columns: Sequence[str], model: InferenceModel) -> list[str]:
    """Return the columns of the descriptor.

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
    return chosen


def _listed(descriptor: Any) -> Sequence[Any]:  # noqa: ANN401 - whatever somebody passes
    return descriptor if isinstance(descriptor, list | tuple) else [None]


def _store(dbt: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Name the store of this call; the second call of one model has another than the first."""
    number = getattr(dbt, _CALLS, 0) + 1
    setattr(dbt, _CALLS, number)
    this = dbt.this
    identifier = f"{this.identifier}__ml_predictions" + (f"_{number}" if number > 1 else "")
    # dbt writes it as a text into the code of a Python model, that of an adapter without databases, too.
    database = None if str(this.database) == "None" else this.database
    return {"database": database, "schema": this.schema, "identifier": identifier}
