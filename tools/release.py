"""Make what is released, and check it: ``make release``.

The source distribution and the wheel are built into ``dist/`` and compared with what they should hold. The wheel is
installed in a fresh environment outside the repository, a small project is built there with a real Triton, and what
was installed is listed in CycloneDX's form (``dist/dbt-triton-<version>.cdx.json``). Nothing is uploaded.
"""

# ruff: noqa: T201, S603 - a command that prints what it did, and runs others

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from release_contents import problems, versions

ROOT = Path(__file__).resolve().parents[1]
#: Of hatchling, where there is no commit to take the time of.
_NO_COMMIT = "1580601600"
_ENVIRONMENT = "installed-highest"


class ReleaseError(Exception):
    """What is built is not fit to be released; says what is wrong."""


@dataclass(frozen=True)
class Distributions:
    """What is uploaded."""

    source: Path
    wheel: Path


def build(repository: Path, folder: Path) -> Distributions:
    """Build the source distribution, and the wheel of it; the same bytes wherever and whenever a commit is built.

    Args:
        repository: the sources.
        folder: where they go; it is made.
    """
    environment = os.environ | {"SOURCE_DATE_EPOCH": _time_of_commit(repository)}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(repository)]
    _run(command, environment)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(source, wheel)


def check(repository: Path, made: Distributions) -> None:
    """Check what was built.

    Raises:
        ReleaseError: what is wrong, all of it.
    """
    _run([sys.executable, "-m", "twine", "check", "--strict", str(made.source), str(made.wheel)])
    # W004: Jinja's macros are no modules of Python.
    _run([sys.executable, "-m", "check_wheel_contents", "--ignore", "W004", str(made.wheel)])
    if found := problems(repository, made.source, made.wheel):
        raise ReleaseError("\n".join(found))


def list_components(python: Path, file: Path) -> None:
    """Write what is installed in an environment, in CycloneDX's form and without a trace of where it came from.

    Args:
        python: of the environment.
        file: to write.

    Raises:
        ReleaseError: an address of a registry, or a path of this machine, stands in it.
    """
    options = ["--output-format", "JSON", "--output-reproducible", "--pyproject", str(ROOT / "pyproject.toml")]
    _run([sys.executable, "-m", "cyclonedx_py", "environment", *options, "--output-file", str(file), str(python)])
    listed = json.loads(file.read_text("utf-8"))
    tools = listed["metadata"]["tools"]["components"]
    for component in [*listed["components"], listed["metadata"]["component"], *tools]:
        component.pop("externalReferences", None)  # home pages, and where it was downloaded
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    if "://" in text.replace(listed["$schema"], "") or str(Path.home()) in text:
        raise ReleaseError(f"{file} says where something was downloaded or installed from")
    file.write_text(text, "utf-8")


def main() -> int:
    """Make and check everything, and return the exit code."""
    folder = ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        made = build(ROOT, folder)
        check(ROOT, made)
        with tempfile.TemporaryDirectory(prefix="dbt-triton-release-") as elsewhere:
            environment = os.environ | {"DBT_TRITON_ORCHESTRATORS": elsewhere, "DBT_TRITON_WHEEL": str(made.wheel)}
            tests = str(ROOT / "tests" / "installation" / "test_release.py")
            _run([sys.executable, "-m", "pytest", "-n", "0", "-q", "-k", "clean_install", tests], environment)
            python = Path(elsewhere) / _ENVIRONMENT / "bin" / "python"
            list_components(python, folder / f"dbt-triton-{versions(ROOT)['pyproject.toml']}.cdx.json")
    except ReleaseError as error:
        print(f"this is not fit to be released:\n{error}", file=sys.stderr)
        return 1
    for file in sorted(folder.iterdir()):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ROOT)}")
    return 0


def _time_of_commit(repository: Path) -> str:
    git = ["git", "-C", str(repository), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or _NO_COMMIT


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command, whose words are told only where it fails.

    Raises:
        ReleaseError: it failed.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(command)}\n{done.stdout}{done.stderr}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
