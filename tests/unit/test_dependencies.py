"""What is imported is declared, and nobody is told to install our own pins."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: dbt loads the adapter, which we do not import.
NOT_IMPORTED = {"dbt-duckdb"}
#: Folders that several distributions share, in which each module is one of theirs.
SHARED = {"opentelemetry"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def normalized(name: str) -> str:
    """Return the name of a distribution as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, at its top or within a function; not those of the package itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            shared = node.module in SHARED
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if shared else [node.module]


@cache
def owners() -> dict[Path, str]:
    """Return the distribution of every installed module; ``dbt`` is shared by several."""
    found = {}
    for distribution in distributions():
        for file in distribution.files or ():
            if file.suffix in {".py", ".so", ".pyd"}:
                found[Path(str(file.locate())).resolve()] = normalized(distribution.metadata["Name"])
    return found


def distribution_of(module: str) -> str:
    """Return the distribution that a module is of, without importing anything."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    assert spec is not None, module
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [folder.joinpath(*rest, "__init__.py") for folder in folders]
    files += [folder.joinpath(*rest).with_suffix(".py") for folder in folders if rest]
    found = [owners()[file.resolve()] for file in [*files, Path(spec.origin or "")] if file.resolve() in owners()]
    assert found, f"{module}: no distribution has it"
    return found[0]


@cache
def imported_distributions() -> dict[str, str]:
    """Return a file that imports it for each distribution that the package imports."""
    found = {}
    for path in sorted((ROOT / "dbt_triton").rglob("*.py")):
        for module in imported(path):
            if module.split(".")[0] not in sys.stdlib_module_names | {"dbt_triton"}:
                found[distribution_of(module)] = path.relative_to(ROOT).as_posix()
    return found


def declared(requirements: list[str]) -> set[str]:
    """Return the distributions of a list of requirements."""
    return {normalized(Requirement(requirement).name) for requirement in requirements}


def test_imports_are_declared() -> None:
    """Every distribution that the package imports is one of its dependencies, not of a dependency's by luck."""
    names = declared(PROJECT["dependencies"]) | {
        "pyspark",
        "matplotlib",
        "vl-convert-python",
    }  # the next tests say where
    for extra in ("opentelemetry", "prometheus"):
        names |= declared(PROJECT["optional-dependencies"][extra])
    names |= {"opentelemetry-api"}  # of the SDK's own version
    assert {name: file for name, file in imported_distributions().items() if name not in names} == {}


def test_spark_is_an_extra() -> None:
    """Only Spark's own folder imports pyspark, within functions, so that the package works without the extra."""
    folder = ROOT / "dbt_triton" / "warehouses" / "spark"
    assert declared(PROJECT["optional-dependencies"]["spark"]) == {"dbt-spark", "pyspark"}
    for path in sorted((ROOT / "dbt_triton").rglob("*.py")):
        mentions = any(module.partition(".")[0] == "pyspark" for module in imported(path))
        assert not mentions or folder in path.parents, path
        top = ast.parse(path.read_text(encoding="utf-8")).body
        at_top = [name for node in top if isinstance(node, ast.Import | ast.ImportFrom) for name in _modules(node)]
        assert not [name for name in at_top if name.partition(".")[0] == "pyspark"], path


def test_pictures_are_an_extra() -> None:
    """Only the picture of `dbt-triton tune` imports matplotlib, when it is drawn."""
    assert declared(PROJECT["optional-dependencies"]["tune"]) == {"matplotlib"}
    assert imported_distributions()["matplotlib"] == "dbt_triton/tune/picture.py"
    assert "matplotlib" not in subprocess.check_output(
        [sys.executable, "-c", "import dbt_triton.tune.command, sys; print(*sys.modules)"], text=True
    )


def test_charts_are_an_extra() -> None:
    """Only what draws the charts of `dbt-triton report` imports vl-convert, when they are drawn."""
    assert declared(PROJECT["optional-dependencies"]["report"]) == {"vl-convert-python"}
    assert imported_distributions()["vl-convert-python"] == "dbt_triton/report/svg.py"
    assert "vl_convert" not in subprocess.check_output(
        [sys.executable, "-c", "import dbt_triton.report.command, sys; print(*sys.modules)"], text=True
    )


def test_instrumentations_are_extras() -> None:
    """Only their own modules import OpenTelemetry and Prometheus, and nothing imports these but what turns them on."""
    folder = ROOT / "dbt_triton" / "instrumentation"
    extras = {"opentelemetry": ["opentelemetry"], "prometheus": ["prometheus_client", "filelock"]}
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    foreign = {name for names in extras.values() for name in names}
    theirs = {folder / f"{name}.py" for name in ("opentelemetry", "providers", "sampler", "prometheus")}
    for path in sorted((ROOT / "dbt_triton").rglob("*.py")):
        found = {module.partition(".")[0] for module in imported(path)} & foreign
        assert not found or path in theirs, path
        top = ast.parse(path.read_text(encoding="utf-8")).body
        at_top = [name for node in top if isinstance(node, ast.Import | ast.ImportFrom) for name in _modules(node)]
        lazily = {f"dbt_triton.instrumentation.{one.stem}" for one in theirs}
        assert path in theirs or not lazily & set(at_top), path


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]


def test_dependencies_are_imported() -> None:
    """Nothing is declared that nothing imports: each range is a bound for whoever installs the package."""
    assert declared(PROJECT["dependencies"]) - imported_distributions().keys() == NOT_IMPORTED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_users_install_without_constraints(page: Path) -> None:
    """No command of the README or the docs installs the package with our pins."""
    commands = re.findall(r"pip install[^\n`]*", page.read_text(encoding="utf-8"))
    assert [command for command in commands if re.search(r"\s(-c|--constraint|-r)\b", command)] == []


def test_pins_are_within_the_ranges() -> None:
    """What the demo and the tests run on is what the ranges allow; constraints.txt names versions, and no registry."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [str(pin) for pin in pins if not re.fullmatch(r"==[\w.]+", str(pin.specifier)) or pin.url] == []
    pinned = {normalized(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for requirement in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["spark"]]):
        assert requirement.specifier.contains(pinned[normalized(requirement.name)]), requirement


def lower_bound(name: str) -> str:
    """Return the lower bound of a dependency, as it is written."""
    (requirement,) = (text for text in PROJECT["dependencies"] if normalized(Requirement(text).name) == name)
    bound = re.search(r">=([\d.]+)", requirement)
    assert bound, requirement
    return bound[1]


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_ranges_are_as_the_docs_say(page: str) -> None:
    """The versions that the docs name are the lower bounds, of the dbt package, too."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    duckdb, numpy, pyarrow = (lower_bound(name) for name in ("duckdb", "numpy", "pyarrow"))
    assert f"DuckDB {duckdb}, numpy {numpy}, pyarrow {pyarrow} or newer" in text
    assert f"dbt Core {lower_bound('dbt-core')} to 1.12" in text
    assert f'require-dbt-version: [">={lower_bound("dbt-core")}", "<2.0.0"]' in (ROOT / "dbt_project.yml").read_text()
