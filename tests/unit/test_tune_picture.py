"""The picture of `dbt-triton tune`, whatever it is a picture of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dbt_triton.tune.picture import draw
from dbt_triton.tune.search import Found
from dbt_triton.tune.trial_figures import Settings, Trial


def _tuned(name: str) -> Any:
    """Return one call with a single trial."""
    settings, found = Settings(8, 8), Found()
    found.add(Trial(settings, 1.0, 100, 10))
    return SimpleNamespace(
        planned=SimpleNamespace(model=SimpleNamespace(name=name)),
        found=found,
        space=SimpleNamespace(moderate=8, current=settings),
        verdict=SimpleNamespace(current=settings, best=None, is_better=False),
    )


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", ["$\\frac{$", "a$b$", "影评", "%s{}"])
def test_any_name(tmp_path: Path, name: str) -> None:
    """A name that is a formula, or half of one, is a name: the trials were paid for, and there is a picture of them."""
    draw([cast("Any", _tuned(name))], name, tmp_path / "tune.png")
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")
