"""What is sent to Spark's executors, and what is said of an executor that lacks something; no Spark is needed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile

import pytest
from support.dbt import REPOSITORY

import dbt_triton
from dbt_triton.warehouses.spark.shipping import NEEDED, PYTHON, package_zip, problems_of

_PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_GOOD = {**NEEDED, "dbt_triton": dbt_triton.__version__}


def seen(python: str = "3.12.1", errors: dict[str, str] | None = None, **versions: str | None) -> list[str]:
    """Return the problems of an executor that has what is needed, but for these versions."""
    found = {name: version for name, version in (_GOOD | versions).items() if version is not None}
    return problems_of({"python": python, "versions": found, "errors": errors or {}})


def test_bounds_are_those_of_the_package() -> None:
    """Executors are asked for the versions that pip would install beside dbt, and for no other."""
    for name, lowest in NEEDED.items():
        (bound,) = [line for line in _PROJECT["dependencies"] if line.startswith(f"{name}>=")]
        assert bound.partition(",")[0] == f"{name}>={lowest}"
    assert _PROJECT["requires-python"] == f">={PYTHON[0]}.{PYTHON[1]}"


@pytest.mark.parametrize("version", ["19", "19.0.0", "19.0.1", "26.0.1", "20.0.0rc1", "19.0.0.dev5+abc"])
def test_versions_that_do(version: str) -> None:
    """A version that is no older than the bound is fine, however it is written."""
    assert seen(pyarrow=version) == []


@pytest.mark.parametrize("version", ["18.1.0", "9", "1.26", "18.99.99.post1"])
def test_versions_that_are_too_old(version: str) -> None:
    """An older one is named with the bound."""
    assert seen(pyarrow=version) == [f"pyarrow {version} is older than 19"]


def test_everything_is_said_at_once() -> None:
    """All that an executor lacks is said together, so that one installation mends it."""
    assert seen("3.9.2", {"numpy": "ImportError: libx.so"}, httpx=None, numpy=None, dbt_triton="0.0.9") == [
        "Python 3.11 or newer is needed",
        "httpx is missing",
        "numpy cannot be imported: ImportError: libx.so",
        f"dbt-triton is version 0.0.9, not {dbt_triton.__version__}",
    ]


def test_the_zip_is_the_package() -> None:
    """The zip has the package's source and nothing else; the same source makes the same zip; it is small."""
    path = package_zip()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert all(name.startswith("dbt_triton/") and name.endswith(".py") for name in names)
    assert "dbt_triton/engine/__init__.py" in names
    assert not [name for name in names if "dbt_package" in name or "__pycache__" in name]
    assert path.stat().st_size < 700_000
    again = "from dbt_triton.warehouses.spark.shipping import package_zip; print(package_zip().name)"
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == path.name
    assert path.stat().st_mode & 0o022 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_the_engine_needs_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the engine imports from the zip is what executors are asked for, and what comes with that."""
    code = (
        f"import sys; sys.path.insert(0, {str(package_zip())!r}); before = set(sys.modules)\n"
        "import dbt_triton.engine, dbt_triton.client, dbt_triton.tensors, dbt_triton.inference_model\n"
        "print(dbt_triton.__file__)\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(tops - set(sys.stdlib_module_names)))"
    )
    folder = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    file, imported = done.stdout.splitlines()
    assert file.startswith(str(package_zip()))
    forbidden = {"duckdb", "dbt", "pyspark", "yaml", "jinja2", "agate", "pandas"}
    assert not forbidden & set(imported.split())
    assert set(NEEDED) <= set(imported.split())
