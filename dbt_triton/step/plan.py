"""The plan of a predicting model: everything that can be known, and go wrong, before a row is sent.

For each call in turn: its inference model, the columns of its input, the INPUT of this call, the values that are sent,
the names of OUTPUT, the store. What is wrong with all calls is said at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dbt_triton.ddl import Call, Statement, parse_ml_predict
from dbt_triton.ddl.calls import Span
from dbt_triton.errors import ConfigurationError, DbtTritonError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.options import STUB_PREFIX
from dbt_triton.step.call_inputs import CallInputs
from dbt_triton.step.called_models import CalledModels
from dbt_triton.step.evaluations import measured_by
from dbt_triton.step.options_of_step import options_of_meta
from dbt_triton.warehouses import Operand, Warehouse, WarehouseError
from dbt_triton.warehouses.columns import ERROR
from dbt_triton.warehouses.planned_call import PlannedCall, output_names


@dataclass(frozen=True)
class Plan:
    """A statement with its planned calls, those that others depend on first."""

    statement: Statement
    calls: tuple[PlannedCall, ...]
    check_sql: str
    needs_secrets: list[str]

    def operand(self, planned: PlannedCall, replacements: Mapping[Span, str]) -> Operand:
        """Return the input of a call, with the calls that it depends on replaced."""
        relation = self.statement.operand_sql(planned.call, {})
        return Operand(
            planned.sampled(self.statement.input_query(planned.call, replacements)),
            relation,
            planned.call.relation is None and (relation.startswith("(") or relation.isidentifier()),
        )


def make_plan(args: Mapping[str, Any], warehouse: Warehouse) -> Plan:
    """Resolve every call of a predicting model.

    Raises:
        SqlSyntaxError: a call does not follow the grammar.
        ConfigurationError: with every problem of every call.
    """
    statement = parse_ml_predict(str(args["sql"]), warehouse.dialect.lexis)
    options_of_meta(args)
    if not statement.calls:
        raise DbtTritonError(
            "it is materialized as ml_predict, but its SQL has no ML_PREDICT(TABLE …, MODEL …, DESCRIPTOR(…)), "
            "and no ML_EVALUATE"
        )
    models = CalledModels(args, warehouse)
    planner = _Planner(args, warehouse, statement, models)
    planned = tuple(planner.planned(call, number) for number, call in enumerate(statement.calls))
    if planner.problems:
        raise ConfigurationError(planner.problems, "ML_PREDICT")
    return Plan(statement, planned, statement.render(planner.check_forms), sorted(models.needs_secrets))


class _Planner:
    """Plans calls one after the other, and collects the problems of all of them."""

    def __init__(
        self, args: Mapping[str, Any], warehouse: Warehouse, statement: Statement, models: CalledModels
    ) -> None:
        self.problems: list[str] = []
        #: What stands for the calls so far: their columns, without a row being sent.
        self.check_forms: dict[Span, str] = {}
        self._args = args
        self._warehouse = warehouse
        self._statement = statement
        self._models = models

    def planned(self, call: Call, number: int) -> PlannedCall:
        """Plan one call; what is wrong with it goes to the problems.

        Raises:
            ConfigurationError: so much is wrong that no later call can be read, with the problems so far.
        """
        where = f"line {call.line}"
        model = self._model(call, where)
        inputs = self._inputs(call, where)
        if model is None:
            raise ConfigurationError(self.problems, "ML_PREDICT")
        chosen = [inputs.column(column) for column in call.descriptor]
        model = inputs.bound(model, chosen)
        values = inputs.values(model, chosen)
        self.problems += [f"{where}: {problem}" for problem in self._wrong_values(model)]
        store = self._store(number)
        refused = None if model.is_stub else self._warehouse.refused_store(store)
        self.problems += [] if refused is None else [f"{where}: {refused}"]
        added = [column.name for column in model.outputs]
        routed = model.options.on_error == "null"
        outputs = output_names(inputs.names, [*added, ERROR] if routed else added)
        planned = PlannedCall(
            call=call,
            number=number,
            model=model,
            columns=inputs.names,
            inputs=values,
            given=tuple(self._warehouse.dialect.is_given(name) for name in chosen),
            output_names=outputs[: len(added)],
            error_name=outputs[-1] if routed else None,
            # The first rows of a table are not the same however often it is read.
            is_table=call.relation is not None
            and model.options.sample is None
            and self._warehouse.is_table(call.relation),
            store=store,
            sequence_by=inputs.sequence_by(model),
            order_by=inputs.order_by(model),
            nan_values=inputs.nan_values(model, chosen),
        )
        if call.evaluation is not None:
            planned = replace(planned, measured=measured_by(planned, inputs, self._warehouse.dialect))
        if model.is_stub:
            planned = planned.with_nan(planned.nan_values)
        # In its place it sees the CTEs; with them in it, one call behind another would double its text each time.
        operand = self._statement.operand_query(call, self.check_forms)
        dialect = self._warehouse.dialect
        self.check_forms[call.span] = dialect.evaluated(planned, dialect.check_form(planned, operand))
        return planned

    def _model(self, call: Call, where: str) -> InferenceModel | None:
        """Return the inference model of a call, or None where its problems say why there is none."""
        try:
            return self._models.of(call)
        except ConfigurationError as error:
            self.problems += [f"{where}, {error.subject}: {problem}" for problem in error.problems]
            return None

    def _inputs(self, call: Call, where: str) -> CallInputs:
        """Describe the input of a call.

        Raises:
            ConfigurationError: it cannot be read; with the problems so far.
        """
        try:
            columns = self._warehouse.describe(self._statement.input_query(call, self.check_forms))
        except WarehouseError as error:
            # Later calls may read this one; what they would say is only a consequence.
            self.problems.append(f"{where}: the input cannot be read: {error}")
            raise ConfigurationError(self.problems, "ML_PREDICT") from error
        return CallInputs(columns, self._warehouse.dialect, where, self.problems)

    def _wrong_values(self, model: InferenceModel) -> Iterator[str]:
        """Say which default-value, or value of a stub, an OUTPUT column cannot hold, before a row needs it."""
        default = model.options.default_value
        for column in model.outputs:
            said = [("default-value", default)] if default is not None else []
            said += [(f"{STUB_PREFIX}{column.name}", value) for value in model.stub_values(column)]
            for option, value in said:
                if not self._warehouse.holds(value, column.type):
                    yield f"{option} {value!r} is no {column.sql_type} ({column.name})"

    def _store(self, number: int) -> str:
        store = self._args["store"]
        identifier = store["identifier"] + (f"_{number + 1}" if number else "")
        parts = (store["database"], store["schema"], identifier)
        return ".".join(self._warehouse.dialect.quote(part) for part in parts if part)
