"""What the demo makes of dbt's lines."""

from __future__ import annotations

import io
import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.dbt import REPOSITORY


@pytest.fixture(name="demo_build")
def _demo_build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "example_project"))
    return import_module("demo_build")


def _event(name: str, message: str, level: str = "info", **data: Any) -> str:
    return json.dumps({"info": {"name": name, "msg": message, "level": level}, "data": data}) + "\n"


LINES = [
    _event("LogStartLine", "1 of 3 START model a", index=1, total=3),
    _event("LogModelResult", "1 of 3 OK model a", index=1, total=3, node_info={"node_status": "success"}),
    _event("LogTestResult", "2 of 3 PASS a", index=2, num_models=3, node_info={"node_status": "pass"}),
    "Traceback of Python itself\n",
    _event(
        "LogUnitTestResult",
        "3 of 4 PASS unit test",
        index=3,
        num_models=4,
        status="",
        node_info={"node_status": "None"},
    ),
    _event("LogModelResult", "4 of 4 ERROR b", "error", index=4, total=4, node_info={"node_status": "error"}),
]


def test_counts_what_ended(demo_build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says how many models and tests there were and what failed, and every line is in the log."""
    log = tmp_path / "new" / "demo.log"
    run = demo_build._follow(io.StringIO("".join(LINES)), "build", {"DBT_TRITON_DEMO_LOG": str(log)})
    assert capsys.readouterr().out.startswith("dbt build: 4 of 4 models and tests, 1 error, 0 s (")
    assert log.read_text("utf-8").splitlines() == [
        "1 of 3 START model a",
        "1 of 3 OK model a",
        "2 of 3 PASS a",
        "Traceback of Python itself",
        "3 of 4 PASS unit test",
        "4 of 4 ERROR b",
    ]
    run.fail(1)
    shown = capsys.readouterr().err
    assert shown.startswith("4 of 4 ERROR b\n")
    assert "all of its lines: " in shown


def test_shows_what_python_said(demo_build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where dbt names no error, the last lines are shown: it may not have come so far as to log."""
    environment = {"DBT_TRITON_DEMO_LOG": str(tmp_path / "demo.log")}
    demo_build._follow(io.StringIO("ModuleNotFoundError: dbt\n"), "deps", environment).fail(1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ModuleNotFoundError: dbt\n")


@pytest.mark.parametrize(
    ("value", "verbose"), [("", False), ("0", False), ("false", False), ("1", True), ("yes", True)]
)
def test_verbose(demo_build: ModuleType, value: str, *, verbose: bool) -> None:
    """VERBOSE is a switch, as people write one."""
    assert demo_build.is_verbose({"VERBOSE": value}) is verbose
    assert not demo_build.is_verbose({})
