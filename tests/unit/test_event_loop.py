"""Requests run on uvloop's event loop where it is installed, and otherwise on asyncio's own."""

import asyncio
import sys
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
