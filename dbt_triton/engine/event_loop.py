"""The event loop that requests run on: uvloop's where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
import gc
import importlib
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass
class _Frozen:
    """Objects are frozen for the whole process: the first run freezes them, the last one that ends frees them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    runs: int = 0
    is_ours: bool = False


_FROZEN = _Frozen()


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
    with _old_objects_left_alone(), asyncio.Runner(loop_factory=new_event_loop()) as runner:
        return runner.run(work)


@contextmanager
def _old_objects_left_alone() -> Generator[None]:
    """Keep Python's garbage collector from looking at what was there before.

    dbt holds a great many objects, more the larger the project is, and each look at all of them stops every thread for
    a seventh of a second or longer. Requests in flight are objects enough to make it look. What a run leaves
    behind is collected as ever.
    """
    with _FROZEN.lock:
        _FROZEN.runs += 1
        if _FROZEN.runs == 1:
            _FROZEN.is_ours = not gc.get_freeze_count()  # what others have frozen stays so
            if _FROZEN.is_ours:
                gc.freeze()
    try:
        yield
    finally:
        with _FROZEN.lock:
            _FROZEN.runs -= 1
            if not _FROZEN.runs and _FROZEN.is_ours:
                gc.unfreeze()
