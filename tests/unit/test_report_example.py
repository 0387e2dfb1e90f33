"""The example page of the docs is what its recipe makes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

RECIPE = Path(__file__).parents[2] / "docs" / "_report_example.py"


def test_example_is_up_to_date() -> None:
    """Who runs the recipe gets the page of the docs, but for what a version of Vega-Lite draws otherwise."""
    spec = importlib.util.spec_from_file_location("report_example", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    drawing = re.compile(r"<svg .*?</svg>", re.DOTALL)
    made, kept = recipe.example(), recipe.FILE.read_text(encoding="utf-8")
    assert drawing.sub("", made) == drawing.sub("", kept)
    assert len(drawing.findall(made)) == len(drawing.findall(kept))
