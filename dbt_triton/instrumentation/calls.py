"""The hooks that are installed, and the observers of the call that runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TypeVar

from dbt_triton.errors import DbtTritonError, InferenceError
from dbt_triton.instrumentation.hooks import Call, CallEnd, CallObserver, Hook

logger = logging.getLogger("dbt_triton.instrumentation")

_T = TypeVar("_T")
_HOOKS: list[Hook] = []
#: Tasks of an event loop have those of the thread that started it.
_OBSERVERS: ContextVar[tuple[CallObserver, ...]] = ContextVar("dbt_triton_observers", default=())

#: The call itself.
_CALL: ContextVar[Call | None] = ContextVar("dbt_triton_call", default=None)


def install(hook: Hook) -> None:
    """Let a hook be told of every call that begins from now on."""
    if hook not in _HOOKS:
        _HOOKS.append(hook)


def uninstall(hook: Hook) -> None:
    """Forget a hook; it is told of the end of the calls that it knows."""
    if hook in _HOOKS:
        _HOOKS.remove(hook)


def installed() -> tuple[Hook, ...]:
    """Return the hooks that are installed."""
    return tuple(_HOOKS)


def observers() -> tuple[CallObserver, ...]:
    """Return the observers of the call that this thread, or this task of the event loop, is about."""
    return _OBSERVERS.get()


@contextmanager
def observing(*watching: CallObserver) -> Generator[None]:
    """Let observers watch what is sent in the block."""
    token = _OBSERVERS.set(watching)
    try:
        yield
    finally:
        _OBSERVERS.reset(token)


def event(name: str, **attributes: str | float) -> None:
    """Tell the observers of the call that something happened."""
    for observer in _OBSERVERS.get():
        told(observer.event, name, attributes)


class Calling:
    """A call that is watched, and what is known of its end so far."""

    def __init__(self, watching: tuple[CallObserver, ...]) -> None:
        self._watching = watching
        self.end = CallEnd()

    def carrier(self) -> dict[str, str]:
        """Return what lets another process go on from here."""
        return carried(self._watching)


def call_for_tasks() -> Call | None:
    """Return the call that runs, for tasks in other processes, which go on from it; None where nobody watches."""
    call = _CALL.get()
    return None if call is None else replace(call, parent=carried(_OBSERVERS.get()))


def carried(watching: tuple[CallObserver, ...]) -> dict[str, str]:
    """Return what lets another process go on from a call."""
    found: dict[str, str] = {}
    for observer in watching:
        found |= told(observer.carrier) or {}
    return found


@contextmanager
def call_observed(call: Callable[[], Call]) -> Generator[Calling]:
    """Let every hook watch a call, which the block carries out.

    Args:
        call: describes it, where there is a hook.
    """
    if not _HOOKS:
        yield Calling(())
        return
    described = call()
    begun = [told(hook.call, described) for hook in installed()]
    watching = tuple(observer for observer in begun if observer is not None)
    calling, started = Calling(watching), time.perf_counter()
    token = _CALL.set(described)
    try:
        with observing(*watching):
            yield calling
    except BaseException as error:
        calling.end.outcome = "failed" if isinstance(error, Exception) else "interrupted"
        calling.end.error = calling.end.error or error_type(error)
        raise
    finally:
        _CALL.reset(token)
        calling.end.seconds = time.perf_counter() - started
        for observer in reversed(watching):
            told(observer.ended, calling.end)


def flush(seconds: float) -> None:
    """Let every hook hand on what it holds back, within so many seconds."""
    until = time.monotonic() + seconds
    for hook in installed():
        told(hook.flush, max(until - time.monotonic(), 0.0))


def error_type(error: BaseException) -> str:
    """Name an error by what is low in number and no text of anybody's: a reason, or a class."""
    if isinstance(error, InferenceError):
        return reason_word(error.reason)
    cause = error.__cause__
    if isinstance(error, DbtTritonError) and isinstance(cause, InferenceError):
        return reason_word(cause.reason)
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__


def reason_word(reason: str) -> str:
    """Write a reason as one word, such as ``model_error``."""
    return str(reason).replace(" ", "_")


def told(act: Callable[..., _T], *arguments: object, **named: object) -> _T | None:
    """Let a hook act. What it raises fails no run, and is None here, but for what is raised on purpose."""
    try:
        return act(*arguments, **named)
    except DbtTritonError:
        raise
    except Exception as error:  # noqa: BLE001 - somebody else's, and no run's business
        logger.debug("an instrumentation failed: %s", type(error).__name__)
        return None
