"""What `make release` builds: the same bytes everywhere, fit to be uploaded, and all that a newcomer needs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from release import Distributions, ReleaseError, build, check, list_components
from release_contents import problems, versions
from support.dbt import REPOSITORY, DbtProject
from support.environments import versions as installed_versions
from support.inherited import copy_of_repository
from support.small_project import duckdb_of
from support.triton import Triton

from .installed import HIGHEST_DBT, PROJECT, environment_of_wheel, works


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """What is built here."""
    return build(REPOSITORY, tmp_path_factory.mktemp("dist"))


def test_release_is_reproducible(made: Distributions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever builds a commit, whenever and wherever, gets the same bytes."""
    sources = copy_of_repository(tmp_path / "somewhere else é")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    before = os.umask(0o077)
    try:
        again = build(sources, tmp_path / "dist")
    finally:
        os.umask(before)
    for one, other in ((made.source, again.source), (made.wheel, again.wheel)):
        assert one.name == other.name
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), one.name


def test_release_is_checked(made: Distributions) -> None:
    """The package index takes both, and they hold what they should: macros, licence, types, metadata, one version."""
    check(REPOSITORY, made)
    assert len(set(versions(REPOSITORY).values())) == 1


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("dbt_triton/__pycache__/cli.cpython-311.pyc", "nobody wants dbt_triton/__pycache__/cli.cpython-311.pyc"),
        ("tests/test_cli.py", "the wheel puts tests beside the package"),
    ],
)
def test_what_nobody_wants_is_found(made: Distributions, tmp_path: Path, added: str, said: str) -> None:
    """A wheel with caches or tests in it is not released."""
    wheel = Path(shutil.copy(made.wheel, tmp_path))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(added, "")
    assert any(said in problem for problem in problems(REPOSITORY, made.source, wheel))


@pytest.mark.parametrize("lost", ["macros/ml_predict.sql", "py.typed", "licenses/LICENSE"])
def test_what_is_missing_is_found(made: Distributions, tmp_path: Path, lost: str) -> None:
    """A wheel without its macros, types or licence is not released."""
    wheel = tmp_path / made.wheel.name
    with zipfile.ZipFile(made.wheel) as archive, zipfile.ZipFile(wheel, "w") as lacking:
        left_out = [name for name in archive.namelist() if name.endswith(lost)]
        assert len(left_out) == 1
        for member in archive.infolist():
            if member.filename not in left_out:
                lacking.writestr(member, archive.read(member))
    found = problems(REPOSITORY, made.source, wheel)
    assert [problem for problem in found if "lacks" in problem]


def test_versions_that_differ_are_found(made: Distributions, tmp_path: Path) -> None:
    """A version that was not raised everywhere, the CHANGELOG included, is not released."""
    sources = copy_of_repository(tmp_path / "sources")
    file = sources / "CHANGELOG.md"
    file.write_text(file.read_text("utf-8").replace("## [0.", "## [9.", 1), "utf-8")
    assert any("the version is not the same everywhere" in found for found in problems(sources, *_paths(made)))


def _paths(made: Distributions) -> tuple[Path, Path]:
    return made.source, made.wheel


def test_wheel_of_the_source_distribution(made: Distributions) -> None:
    """The wheel is built of the source distribution alone, as those do who package it for others."""
    with tarfile.open(made.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "macros/ml_predict.sql", "dbt_triton/py.typed", "LICENSE"} <= names


def test_clean_install(
    wheel: Path, triton: Triton, serve: Callable[[str], str], project: DbtProject, tmp_path: Path
) -> None:
    """What pip installs for a newcomer, without constraints, builds every kind of model, and is listed for auditors."""
    programs = environment_of_wheel("highest", wheel, HIGHEST_DBT)
    works(programs, project, triton.url, serve("upper"))
    installed = installed_versions(programs)
    assert duckdb_of(project) == installed["duckdb"]

    file = tmp_path / "components.json"
    list_components(programs / "python", file)
    listed = json.loads(file.read_text("utf-8"))
    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "dbt-triton")
    components = {one["name"].lower().replace("_", "-"): one["version"] for one in listed["components"]}
    assert {Requirement(text).name for text in PROJECT["dependencies"]} <= set(components)
    assert all(installed[name] == version for name, version in components.items())
    assert str(programs.parent) not in file.read_text("utf-8")


def test_failed_command_is_told(tmp_path: Path) -> None:
    """A release that cannot be built says which command failed."""
    (tmp_path / "pyproject.toml").write_text("[build-system]\nrequires = []\n", "utf-8")
    with pytest.raises(ReleaseError, match="-m build"):
        build(tmp_path, tmp_path / "dist")
