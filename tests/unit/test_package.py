import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

from dbt_triton import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, with the build backend of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_versions_agree() -> None:
    """The Python package, the dbt package and the macros are of one version: each compares itself with the others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dbt_project = re.search(r"^version: (\S+)$", (ROOT / "dbt_project.yml").read_text(), re.MULTILINE)
    macro = re.search(
        r"macro package_version.*?return\('([^']+)'\)", (ROOT / "macros/internal/step.sql").read_text(), re.DOTALL
    )
    assert dbt_project is not None
    assert macro is not None
    assert {project["version"], dbt_project[1], macro[1]} == {__version__}


def test_wheel_holds_the_dbt_package(wheel: Path) -> None:
    """The wheel carries every macro and dbt_project.yml as they are here, the types marker and the licence."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        macros = [path for path in (ROOT / "macros").rglob("*") if path.is_file()]
        assert len(macros) > 5
        for path in [*macros, ROOT / "dbt_project.yml"]:
            assert archive.read(f"dbt_triton/dbt_package/{path.relative_to(ROOT).as_posix()}") == path.read_bytes()
    assert "dbt_triton/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    """The wheel puts one importable package into an environment, and no tests, examples or caches."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"dbt_triton", f"dbt_triton-{__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".duckdb"))]
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dbt_triton").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


def test_source_distribution(tmp_path: Path) -> None:
    """The source distribution holds what a wheel is built of, and no tests, examples or benchmarks."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=240)
    (built,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(built, tmp_path / "unpacked", filter="data")
    inside = {path.name for path in tmp_path.glob("unpacked/*/*")}
    made = {"PKG-INFO", ".gitignore", "pyproject.toml"}
    assert inside - made == {"dbt_triton", "macros", "dbt_project.yml", "README.md", "CHANGELOG.md", "LICENSE"}


def test_wheel_metadata(wheel: Path) -> None:
    """The wheel says its licence, Python, command and dependencies, with dbt's bounds that the macros rely on."""
    with zipfile.ZipFile(wheel) as archive:
        info = f"dbt_triton-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert (metadata["Name"], metadata["Version"], metadata["Requires-Python"]) == ("dbt-triton", __version__, ">=3.11")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "dbt-triton = dbt_triton.cli:main" in entry_points
    required = {requirement.split(";")[0].strip() for requirement in metadata.get_all("Requires-Dist") or []}
    assert "dbt-core<2,>=1.10.2" in required


def test_installed_package_path(wheel: Path, tmp_path: Path) -> None:
    """Of an installed wheel, `package-path` prints the dbt package that came with it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from dbt_triton.cli import main; main(['package-path'])"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=environment,
        cwd=tmp_path,
    )  # fmt: skip
    assert Path(done.stdout.strip()).resolve() == (tmp_path / "dbt_triton" / "dbt_package").resolve()


def test_navigation_of_the_documentation_lists_each_page_once() -> None:
    """Every page of docs/ is in a section of the site's navigation, and none is there twice."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    entries = [
        inner for entry in nav for page in entry.values() for inner in (page if isinstance(page, list) else [entry])
    ]
    pages = [page for entry in entries for page in entry.values()]
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert len({title for entry in entries for title in entry}) == len(entries)


def test_navigation_has_the_pages_that_exist(tmp_path: Path) -> None:
    """A page that is not written yet is left out with its section if that is empty; a page in no section is added."""
    for page in ("index.md", "there.md", "new.md"):
        (tmp_path / page).touch()
    nav = [{"Home": "index.md"}, {"Use": [{"There": "there.md"}, {"Not": "not.md"}]}, {"Later": [{"None": "none.md"}]}]
    on_config = runpy.run_path(str(ROOT / "docs" / "_hooks.py"))["on_config"]
    config = on_config({"docs_dir": str(tmp_path), "nav": nav})
    assert config["nav"] == [{"Home": "index.md"}, {"Use": [{"There": "there.md"}]}, "new.md"]


def test_readme_lists_each_page_of_the_documentation_once() -> None:
    """Who reads the README finds every page in its last list."""
    more = (ROOT / "README.md").read_text("utf-8").split("\n## More\n")[1]
    pages = re.findall(r"\]\(docs/([\w-]+\.md)\)", more)
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
