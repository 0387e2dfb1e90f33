"""The step that tries options out in place of predicting; who asked for it has said how before dbt began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbt_triton.errors import DbtTritonError
from dbt_triton.step.plan import Plan
from dbt_triton.warehouses import Warehouse

#: Is given the plan and the session; what it returns is left for Jinja, as ``message`` and ``figures``.
Tuner = Callable[[Plan, Warehouse], dict[str, Any]]
_TUNERS: list[Tuner] = []


@contextmanager
def tuning(tuner: Tuner) -> Iterator[None]:
    """Let the step of this process call a tuner."""
    _TUNERS.append(tuner)
    try:
        yield
    finally:
        _TUNERS.remove(tuner)


def tuned(plan: Plan, warehouse: Warehouse) -> dict[str, Any]:
    """Call the tuner.

    Raises:
        DbtTritonError: dbt was started by somebody else than `dbt-triton tune`.
    """
    if not _TUNERS:
        raise DbtTritonError(
            "the variable dbt_triton_tune is for the command `dbt-triton tune MODEL`, which sets it; leave it out"
        )
    return _TUNERS[-1](plan, warehouse)
