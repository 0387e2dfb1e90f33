"""The package as its users have it: a wheel that pip installed in an environment of its own, and a project there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from support.dbt import REPOSITORY, DbtProject
from support.environments import environment, pip_install
from support.small_project import Built, build_small_project, write_small_project

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: 1.12 has a test of its own: a part of it is not in the package registry.
HIGHEST_DBT = "dbt-core<1.12"
#: Modules of two extras import what need not be there; tests/unit/test_dependencies.py holds which ones they are.
_IMPORT_ALL = """
import importlib, pkgutil, dbt_triton
of_extras = {"filelock", "opentelemetry", "prometheus_client"}
for module in pkgutil.walk_packages(dbt_triton.__path__, "dbt_triton."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if not module.name.startswith("dbt_triton.instrumentation.") or error.name.partition(".")[0] not in of_extras:
            raise
"""


def environment_of_wheel(name: str, wheel: Path, *requirements: str, python: str = sys.executable) -> Path:
    """Install a wheel and what it needs, without constraints. Returns the folder of the environment's programs.

    The environment is kept, and the wheel alone is installed again.

    Args:
        name: of the environment.
        wheel: the wheel.
        requirements: more arguments of the same ``pip install``.
        python: the interpreter.
    """
    made_of = repr((PROJECT["dependencies"], [Path(requirement).name for requirement in requirements]))
    programs = environment(f"installed-{name}", made_of, (str(wheel), *requirements), python=python)
    # By its name, as from a registry: of a path, pip would keep note.
    named = ("--no-index", "--find-links", str(wheel.parent), "dbt-triton")
    pip_install(programs, "--force-reinstall", "--no-deps", *named)
    return programs


def run(programs: Path, program: str, *arguments: str, folder: Path) -> str:
    """Run a program of an environment in a folder; it must succeed. Returns what it printed."""
    done = subprocess.run(
        [str(programs / program), *arguments],
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


def works(programs: Path, project: DbtProject, endpoint: str, model_name: str) -> Built:
    """Check an environment: nothing contradicts, every module is imported in silence, and a small project builds.

    Args:
        programs: the folder of its programs.
        project: an empty one.
        endpoint: of a real server.
        model_name: what it serves, which answers in upper case.
    """
    assert "No broken requirements found" in run(programs, "python", "-m", "pip", "check", folder=project.root)
    run(programs, "python", "-W", "error", "-c", _IMPORT_ALL, folder=project.root)
    package = Path(run(programs, "dbt-triton", "package-path", folder=project.root).strip())
    assert programs.parent in package.parents, "the dbt package of the wheel, not that of the repository"
    linked = project.root / "dbt_packages" / "dbt_triton"
    linked.unlink()
    linked.symlink_to(package, target_is_directory=True)
    project.programs = programs
    write_small_project(project, endpoint, model_name)
    built = build_small_project(project, PYTHONPATH="")
    run(programs, "dbt-triton", "check", "--project-dir", str(project.root), folder=project.root)
    return built
