"""A small project of every kind of model on older versions of DuckDB; the other tests run on the installed one.

Other versions of dbt, and of everything else, are in tests/installation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dbt import DbtProject
from support.duckdb_version import duckdb_folder, python_path
from support.small_project import build_small_project, duckdb_of, write_small_project
from support.triton import Triton

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("it is about the versions of DuckDB")]


@pytest.mark.parametrize("version", ["1.4.4", "1.5.5"], ids=["DuckDB 1.4", "DuckDB 1.5"])
def test_every_kind_of_model_builds(
    version: str, triton: Triton, serve: Callable[[str], str], project: DbtProject
) -> None:
    """On these versions all doors, the stub, incremental models, stores and unit tests work as elsewhere."""
    write_small_project(project, triton.url, serve("upper"))
    build_small_project(project, PYTHONPATH=python_path(duckdb_folder(version)))
    assert duckdb_of(project) == version


@pytest.mark.parametrize("version", ["1.4.4", "1.5.5"])
def test_values_are_exact(version: str) -> None:
    """Casts and Arrow differ between versions; what is sent of a value does not."""
    root = Path(__file__).parents[2]
    files = [f"tests/unit/{name}.py" for name in ("test_values", "test_arrow_settings")]
    path = os.pathsep.join([python_path(duckdb_folder(version)), str(root)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *files],
        cwd=root,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")} | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
