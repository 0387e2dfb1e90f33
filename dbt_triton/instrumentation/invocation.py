"""The command of dbt that runs in this process, as dbt's plugin tells it. Nothing of dbt's is imported here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar


def _no_node() -> str:
    return ""


@dataclass(frozen=True)
class Invocation:
    """One command of dbt.

    Args:
        id: dbt's invocation id; empty outside of dbt.
        command: such as ``build``.
        started: nanoseconds since 1970.
        node: says which node the thread that asks works at; empty for none.
        context: OpenTelemetry's own of the thread that began the command; None where that is not loaded.
    """

    id: str = ""
    command: str = ""
    started: int = field(default_factory=time.time_ns)
    node: Callable[[], str] = _no_node
    context: Any = None

    _current: ClassVar[Invocation | None] = None

    @classmethod
    def current(cls) -> Invocation:
        """Return the one that was begun last; an empty one outside of dbt."""
        if Invocation._current is None:
            Invocation._current = Invocation()
        return Invocation._current

    def begin(self) -> None:
        """Make this one the current one."""
        Invocation._current = self

    def end(self) -> None:
        """Forget it."""
        if Invocation._current is self:
            Invocation._current = None
