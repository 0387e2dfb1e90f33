"""Other versions of DuckDB than the installed one, in folders of their own that go first into PYTHONPATH."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_TESTS = Path(__file__).parents[1]


def duckdb_folder(version: str, *extensions: str) -> Path:
    """Return a folder with a version of DuckDB, and extensions of the same version, from the package registry.

    It is kept for the next run, and made by one worker only.

    Args:
        version: of DuckDB.
        extensions: of DuckDB.
    """
    name = "-".join(["dbt-triton-tests-duckdb", version, *extensions, str(os.geteuid())])
    folder = Path(tempfile.gettempdir()) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            wanted = ["duckdb", *(f"duckdb-extension-{extension}" for extension in extensions)]
            made = Path(tempfile.mkdtemp(prefix=f"{name}-"))
            try:
                subprocess.run(
                    [
                        *(
                            sys.executable,
                            "-m",
                            "pip",
                            "install",
                            "--quiet",
                            "--disable-pip-version-check",
                            "--no-deps",
                        ),
                        *("--target", str(made), *(f"{package}=={version}" for package in wanted)),
                    ],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                for extension in extensions:
                    _install(made, extension, version)
                made.rename(folder)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    return folder


def extension_directory(folder: Path) -> str:
    """Return DuckDB's setting ``extension_directory`` for a folder, where its extensions are installed."""
    return str(folder / "installed_extensions")


def python_path(folder: Path) -> str:
    """Return the PYTHONPATH with the folder first."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def _install(folder: Path, extension: str, version: str) -> None:
    """Install an extension as `INSTALL` does, without a network."""
    package = folder / f"duckdb_extension_{extension}" / "extensions" / f"v{version}"
    code = (
        "import duckdb, sys\n"
        "with duckdb.connect(config={'extension_directory': sys.argv[1]}) as connection:\n"
        "    connection.execute(f\"install '{sys.argv[2]}'\")\n"
    )
    file = package / f"{extension}.duckdb_extension"
    subprocess.run(
        [sys.executable, "-c", code, extension_directory(folder), str(file)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
