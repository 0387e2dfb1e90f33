"""Requests run on uvloop's event loop where it is installed, and otherwise on asyncio's own."""

import asyncio
import gc
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from dbt_triton.engine import event_loop


async def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that this runs on."""
    return asyncio.get_running_loop()


def test_without_uvloop_asyncio_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs uvloop."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = event_loop.run(running_loop())
    assert isinstance(loop, asyncio.BaseEventLoop)
    assert loop.is_closed()


def test_uvloop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing it is all that is needed."""
    made: list[asyncio.AbstractEventLoop] = []

    def new_event_loop() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=new_event_loop))
    assert event_loop.run(running_loop()) is made[0]
    assert made[0].is_closed()


def test_uvloop_that_does_not_fit_python_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is older than Python asks asyncio for what is no longer there."""
    (tmp_path / "uvloop.py").write_text("import asyncio\n\nasyncio.NoSuchWatcher\n")
    monkeypatch.delitem(sys.modules, "uvloop", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(event_loop.run(running_loop()), asyncio.BaseEventLoop)


async def frozen() -> int:
    """Return how many objects the garbage collector leaves alone."""
    return gc.get_freeze_count()


def test_the_garbage_collector_does_not_look_at_a_large_project_over_and_over() -> None:
    """The objects of dbt's project are left alone while rows are sent, and only then."""
    before = gc.get_freeze_count()
    assert event_loop.run(frozen()) > 10_000
    assert gc.get_freeze_count() == before == 0


def test_objects_are_left_alone_until_the_last_of_several_runs_ends() -> None:
    """Several models of dbt are built at once, in one process."""
    is_running, may_end = threading.Event(), threading.Event()

    async def hold() -> None:
        is_running.set()
        await asyncio.to_thread(may_end.wait, 30)

    other = threading.Thread(target=lambda: event_loop.run(hold()))
    other.start()
    try:
        assert is_running.wait(30)
        event_loop.run(frozen())
        assert gc.get_freeze_count()
    finally:
        may_end.set()
        other.join()
    assert not gc.get_freeze_count()


def test_a_run_that_fails_leaves_the_garbage_collector_as_it_was() -> None:
    """An error of one model changes nothing for the next."""

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        event_loop.run(fail())
    assert not gc.get_freeze_count()


def test_what_an_application_has_frozen_stays_frozen() -> None:
    """Servers freeze what their workers share; a run within one does not undo that."""
    gc.freeze()
    try:
        event_loop.run(frozen())
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
