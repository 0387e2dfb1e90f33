"""The lowest and the highest versions that pyproject.toml allows, each in a fresh environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dbt import DbtProject
from support.environments import versions
from support.small_project import duckdb_of
from support.triton import Triton

from .installed import HIGHEST_DBT, PROJECT, environment_of_wheel, works


def lower_bounds() -> dict[str, str]:
    """Return the lower bound of each dependency, by name, as a whole version."""
    found = {}
    for requirement in PROJECT["dependencies"]:
        bound = re.fullmatch(r"([\w-]+)>=([\d.]+)(,<\d+)?", requirement)
        assert bound, f"{requirement}: a range with a lower bound"
        found[bound[1]] = bound[2] + ".0" * (2 - bound[2].count("."))
    return found


def interpreter(version: str) -> str | None:
    """Return another interpreter if this machine has one that runs."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [shutil.which(f"python{version}"), *root.glob(f"versions/{version}.*/bin/python")]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


def test_lowest(wheel: Path, triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """All lower bounds can be met together by pip, and every kind of model builds with them."""
    bounds = lower_bounds()
    pins = [f"{name}=={version}" for name, version in bounds.items()]
    programs = environment_of_wheel("lowest", wheel, *pins)
    installed = versions(programs)
    assert {name: installed[name].split(".post")[0] for name in bounds} == bounds
    built = works(programs, project, triton.url, serve("upper"))
    assert f"Running with dbt={bounds['dbt-core']}" in built.first.output
    assert duckdb_of(project) == bounds["duckdb"]


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_highest_on_newer_python(
    version: str, wheel: Path, triton: Triton, serve: Callable[[str], str], project: DbtProject
) -> None:
    """The highest on each Python that the package is said to run on; on this one, test_release.py installs them."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    programs = environment_of_wheel(f"highest-{version}", wheel, HIGHEST_DBT, python=python)
    works(programs, project, triton.url, serve("upper"))
