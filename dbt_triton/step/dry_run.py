"""What a build would send, without sending it: rows, distinct inputs, requests and bytes, and what the store saves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dbt_triton.ddl.calls import Span
from dbt_triton.engine.stats import Figures
from dbt_triton.step.plan import Plan
from dbt_triton.step.preflight import preflight
from dbt_triton.warehouses import Warehouse
from dbt_triton.warehouses.planned_call import PlannedCall


@dataclass
class DryRun(Figures):
    """What the calls of a plan would do.

    ``rows`` are the input's, ``nulls`` those that are not sent, ``distinct`` the inputs that differ, ``cached`` those
    of them that the store has, ``to_send`` the rest, in ``requests`` with ``bytes`` before any compression, of which
    ``prompt_bytes`` are the prompts of a language model.
    ``unknown_calls`` read the predictions of another call, so what they would send is not known before.
    """

    rows: int = 0
    nulls: int = 0
    distinct: int = 0
    cached: int = 0
    to_send: int = 0
    requests: int = 0
    bytes: int = 0
    prompt_bytes: int = 0
    stubs: int = 0
    unknown_calls: int = 0

    @property
    def message(self) -> str:
        """One line for the console."""
        text = (
            f"ML_PREDICT dry run: {self.rows:,} rows, {self.nulls:,} of them NULL, {self.distinct:,} distinct inputs, "
            f"{self.cached:,} in the store, {self.to_send:,} to send in {self.requests:,} "
            f"request{'' if self.requests == 1 else 's'}, "
            f"{self.bytes:,} bytes"
        )
        text += f", {self.prompt_bytes:,} of them in prompts" if self.prompt_bytes else ""
        text += f", {self.stubs} call(s) stubbed" if self.stubs else ""
        return text + (f", {self.unknown_calls} call(s) depend on others" if self.unknown_calls else "")


def dry_run(plan: Plan, warehouse: Warehouse, *, full_refresh: bool = False) -> dict[str, Any]:
    """Count what a build would send. The server is asked about its models, and nothing is written.

    Raises:
        ConfigurationError: a model does not fit what is served.
    """
    total = DryRun()
    bindings = preflight(plan, warehouse)
    for planned in plan.calls:
        if planned.model.is_stub:
            total += DryRun(stubs=1)
        elif reads_predictions(plan, planned):
            total += DryRun(unknown_calls=1)
        else:
            binding = bindings[planned.number]
            operand = plan.operand(planned, {})
            counted = warehouse.count(planned.bound_to(binding), operand, binding, full_refresh=full_refresh)
            total += DryRun(**counted)
    warnings = list(dict.fromkeys(text for binding in bindings.values() for text in binding.warnings))
    return {"figures": asdict(total), "message": total.message, "warnings": warnings}


def reads_predictions(plan: Plan, planned: PlannedCall) -> bool:
    """Tell whether the input of a call holds another call."""
    marked: dict[Span, str] = {other.call.span: "null" for other in plan.calls if other is not planned}
    query = plan.statement.input_query(planned.call, {})
    return plan.statement.input_query(planned.call, marked) != query
