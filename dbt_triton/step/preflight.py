"""What is asked of servers before a row is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from dbt_triton.client import TritonClient
from dbt_triton.credentials import request_headers
from dbt_triton.errors import ConfigurationError, InferenceError
from dbt_triton.inference_model import Binding, bind
from dbt_triton.step.advice import with_advice
from dbt_triton.step.plan import Plan
from dbt_triton.warehouses.duckdb.session import DuckDBWarehouse
from dbt_triton.warehouses.planned_call import PlannedCall

_WATCH_SECONDS = 0.5

T = TypeVar("T")


def preflight(plan: Plan, warehouse: DuckDBWarehouse) -> dict[int, Binding]:
    """Compare every model that is no stub with what is served. By the call's number.

    Raises:
        ConfigurationError: a model does not fit, or a server says nothing usable; with the problems of all models.
        WarehouseError: the session was interrupted.
    """
    bindings: dict[int, Binding] = {}
    problems: list[str] = []
    for number, planned in enumerate(plan.calls):
        if planned.model.is_stub:
            continue
        try:
            bindings[number] = unless_interrupted(_bind(planned), warehouse)
        except ConfigurationError as error:
            problems += [f"{error.subject}: {problem}" for problem in error.problems]
        except InferenceError as error:
            problems.append(f'inference model "{planned.model.name}": {with_advice(error, planned.model.options)}')
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)), "ML_PREDICT, before any row was sent")
    return bindings


def headers_of(planned: PlannedCall) -> dict[str, str]:
    """Return the headers of a call's requests."""
    return request_headers(planned.model.options, f'inference model "{planned.model.name}"')


def unless_interrupted(asking: Coroutine[None, None, T], warehouse: DuckDBWarehouse) -> T:
    """Ask a server, which may be away for a while, and notice Ctrl-C meanwhile.

    Raises:
        WarehouseError: the session was interrupted.
    """
    with warehouse.interrupts() as interrupts:

        async def ask() -> T:
            asked = asyncio.ensure_future(asking)
            interrupts.check()  # from now on, nothing else would see that dbt interrupts the session
            while not (await asyncio.wait([asked], timeout=_WATCH_SECONDS))[0]:
                interrupts.check()  # what it raises ends the loop, which cancels what is asked
            return asked.result()

        return asyncio.run(ask())


async def _bind(planned: PlannedCall) -> Binding:
    model = planned.model
    async with TritonClient(model.options, headers_of(planned)) as client:
        served = await client.served_model()
    try:
        return bind(model, served)
    except ConfigurationError as error:
        if not model.from_server:
            raise
        advice = (
            f"the server said {' and '.join(model.from_server)} when {model.name} was built; "
            "if it serves something else now, build the inference model again"
        )
        raise ConfigurationError([*error.problems, advice], error.subject) from error
