"""The event loop that requests run on: uvloop's where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


def new_event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop; None for asyncio's own. uvloop has no wheels for Windows.

    One that is older than Python fails in various ways when it is imported.
    """
    try:
        uvloop = importlib.import_module("uvloop")  # it need not be installed
    except Exception:  # noqa: BLE001 - nobody needs it
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of its own, as ``asyncio.run`` does."""
    with asyncio.Runner(loop_factory=new_event_loop()) as runner:
        return runner.run(work)
