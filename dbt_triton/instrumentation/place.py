"""Where the process is by now: the node, the invocation of dbt, the inference model. Logs and hooks name them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from dbt_triton.instrumentation.invocation import Invocation


@dataclass(frozen=True)
class Place:
    """What a thread is at.

    Args:
        node: dbt's unique id of the model that is built; its name where dbt does not say; empty for none.
        invocation_id: of dbt.
        model: the inference model that is asked.
    """

    node: str = ""
    invocation_id: str = ""
    model: str = ""


_NOWHERE = Place()
_PLACE: ContextVar[Place] = ContextVar("dbt_triton_place", default=_NOWHERE)


def place() -> Place:
    """Return where this thread, or this task of the event loop, is."""
    return _PLACE.get()


def node() -> str:
    """Return the node that is built."""
    return _PLACE.get().node


@contextmanager
def step_of(node: str, invocation_id: str = "", name: str = "") -> Generator[None]:
    """Say of which node the block is.

    Args:
        node: dbt's unique id; empty where it is not known, and dbt may say.
        invocation_id: of dbt; empty as above.
        name: of the model, where nothing else is known.
    """
    invocation = Invocation.current()
    found = Place(node or invocation.node() or name, invocation_id or invocation.id)
    token = _PLACE.set(found)
    try:
        yield
    finally:
        _PLACE.reset(token)


@contextmanager
def set_model(name: str) -> Generator[None]:
    """Say which inference model is asked in the block."""
    token = _PLACE.set(replace(_PLACE.get(), model=name))
    try:
        yield
    finally:
        _PLACE.reset(token)
