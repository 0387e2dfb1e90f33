"""Virtual environments of the tests' own, from the package registry. Each is made once, and used as it is then."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from support.dbt import REPOSITORY

_INSTALL_SECONDS = 900


def environments_folder() -> Path:
    """Return the folder of the environments; DBT_TRITON_ORCHESTRATORS names another than that of the repository."""
    return Path(os.environ.get("DBT_TRITON_ORCHESTRATORS") or REPOSITORY / ".venv-orchestrators").absolute()


def environment(name: str, made_of: str, *installed: Sequence[str], python: str = sys.executable) -> Path:
    """Make a virtual environment, or use it as it is. Returns the folder of its programs.

    Args:
        name: of the environment, and of its folder.
        made_of: what it depends on: it is made anew when this changes.
        installed: the arguments of one ``pip install`` after the other.
        python: the interpreter.
    """
    wanted = hashlib.sha256(repr((made_of, python)).encode()).hexdigest()
    folder = environments_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder / ".made_of"
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != wanted:
            started = time.monotonic()
            shutil.rmtree(folder, ignore_errors=True)
            _run(python, "-m", "venv", str(folder))
            for arguments in installed:
                pip_install(folder / "bin", *arguments)
            made.write_text(wanted)
            print(f"installed {name} in {time.monotonic() - started:.0f} s")  # noqa: T201 - `pytest -s` shows it
    return folder / "bin"


def pip_install(programs: Path, *arguments: str, folder: Path = REPOSITORY) -> None:
    """Run ``pip install`` of an environment.

    Args:
        programs: the folder of its programs.
        arguments: of ``pip install``.
        folder: where it runs.
    """
    # What is imported is compiled then.
    options = ("--quiet", "--disable-pip-version-check", "--no-compile")
    _run(str(programs / "python"), "-m", "pip", "install", *options, *arguments, folder=folder)


def versions(programs: Path) -> dict[str, str]:
    """Return the version of each distribution in an environment, by its name in lower case."""
    listed = json.loads(_run(str(programs / "python"), "-m", "pip", "list", "--format=json"))
    return {item["name"].lower().replace("_", "-"): item["version"] for item in listed}


def _run(*command: str, folder: Path = REPOSITORY) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
