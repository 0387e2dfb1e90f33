"""The picture that README and docs begin with."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.dbt import REPOSITORY

PICTURES = REPOSITORY / "docs" / "pictures"
SCHEMES = ("light", "dark")

pytestmark = pytest.mark.duckdb_only("the picture shows a run on DuckDB")


def _texts(picture: Path) -> list[str]:
    """Return what a picture says, line by line; figures differ from run to run."""
    lines: dict[float, str] = {}
    for text in ET.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314 - ours
        height = float(text.get("y", "0"))
        lines[height] = lines.get(height, "") + html.unescape(text.text or "").replace("\xa0", " ")
    return [re.sub(r"[\d.,]+", "1", lines[height]).rstrip() for height in sorted(lines)]


@pytest.mark.slow
def test_shows_a_real_run(tmp_path: Path) -> None:
    """`make picture` makes it of a real run, and what is shown is what today's code does."""
    recipe = [sys.executable, str(PICTURES / "terminal.py"), str(tmp_path)]
    done = subprocess.run(
        recipe,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for scheme in SCHEMES:
        made, kept = (_texts(folder / f"terminal-{scheme}.svg") for folder in (tmp_path, PICTURES))
        assert sorted(made) == sorted(kept), "run `make picture`"  # what dbt runs at once ends in any order


@pytest.mark.parametrize("scheme", SCHEMES)
def test_is_shown_where_nothing_may_be_loaded(scheme: str) -> None:
    """It loads nothing from elsewhere, says in words what it shows, and is on the first screen in both schemes."""
    picture = (PICTURES / f"terminal-{scheme}.svg").read_text("utf-8")
    loaded = re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?(?!#)([^\"')\s]+)", picture)
    assert loaded == []
    assert "<script" not in picture
    assert "<title" in picture
    assert "<desc" in picture
    readme = (REPOSITORY / "README.md").read_text("utf-8").splitlines()[:15]
    assert any(f"docs/pictures/terminal-{scheme}.svg" in line for line in readme)
    home = (REPOSITORY / "docs" / "index.md").read_text("utf-8").splitlines()[:15]
    assert any(f"pictures/terminal-{scheme}.svg#only-{scheme}" in line for line in home)
