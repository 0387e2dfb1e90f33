"""The tests of tests/integration run on both warehouses, or say why one does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

INTEGRATION = Path(__file__).parents[1] / "integration"
MODULES = sorted(INTEGRATION.glob("test_*.py"))
MARK = "duckdb_only"


def _calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Yield the calls of functions by their name, whatever stands before it."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute | ast.Name) and ast.unparse(called).rsplit(".", 1)[-1] in names:
            assert isinstance(node, ast.Call)
            yield node


def _is_left_out(tree: ast.Module) -> bool:
    """Tell whether the mark holds for the whole module."""
    assigned = [
        node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return any(next(_calls(node, MARK), None) is not None for node in assigned)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_every_module_runs_on_both_or_says_why_not(module: Path) -> None:
    """A module takes its warehouse from the fixtures of tests/conftest.py, or is marked as a whole."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    own = [*_calls(tree, "Session", "DbtProject", "SparkProject", "SparkSteps", "connect")]
    assert _is_left_out(tree) or not own, [f"line {call.lineno}: {ast.unparse(call)}" for call in own]


def test_every_reason_is_a_sentence() -> None:
    """What is left out on Spark has a reason that a reader can judge."""
    short = []
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        constants = {
            ast.unparse(node.targets[0]): node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and len(node.targets) == 1
        }
        for call in _calls(tree, MARK):
            reason = call.args[0]
            reason = constants.get(ast.unparse(reason), reason)
            if not isinstance(reason, ast.Constant) or len(str(reason.value).split()) < 4:
                short.append(f"{module.name}, line {call.lineno}")
    assert short == []
