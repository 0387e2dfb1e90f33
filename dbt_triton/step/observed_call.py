"""What those who watch are told of a call: which it is, and what came of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dbt_triton.instrumentation import Call, CallEnd, Calling, Invocation, call_observed, node, place, set_model
from dbt_triton.warehouses import Predicted, Warehouse
from dbt_triton.warehouses.planned_call import PlannedCall


@contextmanager
def observed_call(planned: PlannedCall, warehouse: Warehouse, name: str) -> Generator[Calling]:
    """Let hooks watch a call, which the block carries out.

    Args:
        planned: the call. Nobody is told of a stub's, which sends nothing.
        warehouse: where it is.
        name: of the predicting model.
    """
    model = planned.model
    options = model.options

    def described() -> Call:
        return Call(
            node=node() or name,
            number=planned.number + 1,
            inference_model=model.name,
            model_name=options.model_name,
            model_version=str(options.model_version),
            endpoints=tuple(options.endpoints),
            system=warehouse.system,
            invocation_id=place().invocation_id or Invocation.current().id,
        )

    with set_model(model.name):
        if model.is_stub:
            yield Calling(())
            return
        with call_observed(described) as calling:
            yield calling


def note_end(end: CallEnd, predicted: Predicted) -> None:
    """Note what came of a call."""
    stats = predicted.stats
    end.predicted, end.failed, end.reused = stats.rows, stats.rows_failed, predicted.reused
    end.requests, end.retries = stats.requests, stats.retries
    end.bytes_sent, end.bytes_received = stats.bytes_sent, stats.bytes_received
