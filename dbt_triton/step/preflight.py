"""What is asked of servers before a row is sent."""

from __future__ import annotations

from dataclasses import replace

from dbt_triton.client.fleet import ask_all
from dbt_triton.errors import ConfigurationError, DbtTritonError, InferenceError
from dbt_triton.inference_model import Binding, bind
from dbt_triton.step.advice import with_advice
from dbt_triton.step.not_served import what_is_there
from dbt_triton.step.plan import Plan
from dbt_triton.warehouses import Warehouse
from dbt_triton.warehouses.planned_call import PlannedCall
from dbt_triton.warehouses.requests import headers_of


class _NotServedError(DbtTritonError):
    """A server says nothing usable; the text is a problem."""


def preflight(plan: Plan, warehouse: Warehouse) -> dict[int, Binding]:
    """Compare every model that is no stub with what is served. By the call's number.

    Raises:
        ConfigurationError: a model does not fit, or a server says nothing usable; with the problems of all models.
        WarehouseError: the session was interrupted.
    """
    bindings: dict[int, Binding] = {}
    problems: list[str] = []
    for planned in plan.calls:
        if planned.model.is_stub:
            continue
        try:
            bindings[planned.number] = warehouse.unless_interrupted(_bind(planned))
        except ConfigurationError as error:
            problems += [f"{error.subject}: {problem}" for problem in error.problems]
        except _NotServedError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)), "ML_PREDICT, before any row was sent")
    return bindings


async def _bind(planned: PlannedCall) -> Binding:
    model, headers = planned.model, headers_of(planned)
    try:
        fleet = await ask_all(model.options, headers)
    except InferenceError as error:
        hint = await what_is_there(error, model.options, headers)
        text = f'inference model "{model.name}": {with_advice(error, model.options, hint)}'
        raise _NotServedError(text) from error
    try:
        binding = bind(model, fleet.served)
        return replace(binding, warnings=(*binding.warnings, *fleet.notes))
    except ConfigurationError as error:
        if not model.from_server:
            raise
        advice = (
            f"the server said {' and '.join(model.from_server)} when {model.name} was built; "
            "if it serves something else now, build the inference model again"
        )
        raise ConfigurationError([*error.problems, advice], error.subject) from error
