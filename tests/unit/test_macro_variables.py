"""The project variables, as YAML, the command line or an environment variable may give them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.jinja_macros import MacroError, Macros


def _macros(target: str = "prod", **variables: Any) -> Macros:
    """Return the macros of a run with these variables, whose names here lack their beginning."""
    found = {f"dbt_triton_{name}": value for name, value in variables.items()}
    return Macros("internal/variables.sql", target=SimpleNamespace(name=target), var=found.get)


@pytest.mark.parametrize(
    ("written", "is_dry_run"),
    [(True, True), ("true", True), (" TRUE ", True), (False, False), ("false", False), ("False", False), ("", False)],
)
def test_dry_run(written: object, is_dry_run: bool) -> None:
    """A text counts as what it says: "false", as `env_var` gives it, does not keep a build from building."""
    assert _macros(dry_run=written).is_dry_run() == is_dry_run
    assert not _macros().is_dry_run()


@pytest.mark.parametrize("written", ["yes", 1, "nope", ["true"]])
def test_dry_run_that_is_neither(written: object) -> None:
    """What is neither true nor false is an error, and not one of the two."""
    with pytest.raises(MacroError, match="dbt_triton_dry_run must be true or false"):
        _macros(dry_run=written).is_dry_run()


@pytest.mark.parametrize(
    ("written", "target", "is_stub"),
    [
        (["ci", "dev"], "dev", True),
        (["ci", "dev"], "prod", False),
        ("preprod", "preprod", True),
        ("preprod", "prod", False),
        (None, "prod", False),
        ([], "prod", False),
    ],
)
def test_stub_targets(written: object, target: str, is_stub: bool) -> None:
    """A target is a stub where its whole name is written; a text is one name."""
    options = _macros(target, stub_targets=written).option_variables()
    assert options == ({"provider": "stub"} if is_stub else {})
