"""A virtual environment for each orchestrator: each brings a hundred packages, of other versions than the tests'."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from support.dbt import REPOSITORY

REQUIREMENTS = {
    "airflow": ["apache-airflow", "astronomer-cosmos"],
    "dagster": ["dagster", "dagster-dbt"],
    "prefect": ["prefect-dbt"],
}
_HERE = Path(__file__).parent
_INSTALL_SECONDS = 900


def environments_folder() -> Path:
    """Return the folder of the environments; DBT_TRITON_ORCHESTRATORS names another than that of the repository."""
    return Path(os.environ.get("DBT_TRITON_ORCHESTRATORS") or REPOSITORY / ".venv-orchestrators").absolute()


def programs_of(name: str) -> Path:
    """Make the environment of an orchestrator, or use it as it is. Returns the folder of its programs."""
    constraints = _HERE / f"constraints-{name}.txt"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made_of = constraints.read_bytes() + repr((str(REPOSITORY), project["dependencies"])).encode()
    wanted = hashlib.sha256(made_of).hexdigest()
    folder = environments_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder / ".made_of"
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != wanted:
            started = time.monotonic()
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pip.append("--no-compile")  # what is imported is compiled then
            _run(*pip, "-c", str(constraints), *REQUIREMENTS[name], "-e", str(REPOSITORY))
            made.write_text(wanted)
            print(f"installed {name} in {time.monotonic() - started:.0f} s")  # noqa: T201 - `pytest -s` shows it
    return folder / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
