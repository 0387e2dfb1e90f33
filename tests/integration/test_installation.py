"""Macros and Python package that do not belong together, and `dbt deps` as the README has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.dbt import REPOSITORY, DbtProject
from support.triton import Triton

from dbt_triton import __version__

pytestmark = pytest.mark.duckdb_only("versions that do not belong together are found before a warehouse is asked")


@pytest.mark.slow
def test_versions_that_differ(project: DbtProject, triton: Triton) -> None:
    """Macros of another version than the wheel are refused, with the commands that mend it."""
    package = project.root / "dbt_packages" / "dbt_triton"
    package.unlink()
    shutil.copytree(REPOSITORY / "macros", package / "macros")
    shutil.copy(REPOSITORY / "dbt_project.yml", package)
    version = package / "macros" / "internal" / "step.sql"
    version.write_text(version.read_text().replace(f"'{__version__}'", "'99.0.0'"))
    project.inference_model("classifier", triton.url, "any")
    result = project.fails()
    said = result.message("classifier")
    assert f"the dbt package dbt_triton is 99.0.0, but the Python package dbt-triton is {__version__}" in said
    assert "pip install dbt-triton==99.0.0" in said
    assert f"put revision v{__version__} into packages.yml and run `dbt deps`" in said
    assert "Traceback" not in result.printed


@pytest.mark.slow
def test_missing_python_package(project: DbtProject, triton: Triton, tmp_path: Path) -> None:
    """A project without the Python package gets one sentence that says what to install, and no traceback."""
    hiding = tmp_path / "hiding" / "dbt_triton"
    hiding.mkdir(parents=True)
    (hiding / "__init__.py").touch()
    project.inference_model("classifier", triton.url, "any")
    result = project.fails(PYTHONPATH=str(hiding.parent))
    said = result.message("classifier")
    assert "the dbt package dbt_triton needs its Python package in the environment of dbt" in said
    assert f"pip install dbt-triton=={__version__}" in said
    assert "Traceback" not in result.printed


@pytest.mark.slow
def test_deps_installs_the_package(project: DbtProject) -> None:
    """`dbt deps` with `packages: - local:` installs the package, and a project that lists it compiles."""
    (project.root / "dbt_packages" / "dbt_triton").unlink()
    assert project.dbt("deps").code == 0
    assert (project.root / "dbt_packages" / "dbt_triton" / "macros" / "ml_predict.sql").exists()
    project.model("reviews", "select 1 as id, 'good' as review")
    project.inference_model("classifier", "http://localhost:1", "any")
    project.model(
        "classified",
        "{{ config(materialized='ml_predict') }}\n"
        "select * from {{ dbt_triton.ml_predict(ref('reviews'), ref('classifier'), 'review') }}",
    )
    assert project.dbt("compile").code == 0
    compiled = (project.root / "target/compiled/shop/models/classified.sql").read_text()
    assert 'DESCRIPTOR("review")' in compiled
