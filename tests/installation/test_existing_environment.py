"""The README's own command, in an environment that already has dbt."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from support.dbt import REPOSITORY, DbtProject
from support.environments import environment, pip_install, versions
from support.small_project import duckdb_of
from support.triton import Triton

from .installed import works

#: A year old, each within its range.
THEIRS = {
    "dbt-core": "1.10.23",
    "dbt-duckdb": "1.10.1",
    "duckdb": "1.4.4",
    "numpy": "2.2.6",
    "pyarrow": "21.0.0",
    "pydantic": "2.11.10",
}


def install_line() -> list[str]:
    """Return the arguments of the README's ``pip install``."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^\$ pip install (.*\./dbt-triton.*)$", readme, re.MULTILINE)
    assert line
    return shlex.split(line[1], comments=True)


def test_nothing_is_replaced(triton: Triton, serve: Callable[[str], str], project: DbtProject, tmp_path: Path) -> None:
    """Whatever is there already keeps its version, DuckDB, numpy and pyarrow too, and every kind of model builds."""
    (tmp_path / "dbt-triton").symlink_to(REPOSITORY, target_is_directory=True)
    pins = [f"{name}=={version}" for name, version in THEIRS.items()]
    # Another environment each time, since it is changed below.
    programs = environment("existing", str(tmp_path), pins)
    before = versions(programs)
    pip_install(programs, *install_line(), folder=tmp_path)
    after = versions(programs)
    assert {name: after[name] for name in before} == before
    works(programs, project, triton.url, serve("upper"))
    assert duckdb_of(project) == THEIRS["duckdb"]
