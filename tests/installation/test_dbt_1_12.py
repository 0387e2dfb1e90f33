"""dbt Core 1.12, in a fresh environment."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from support.dbt import DbtProject
from support.triton import Triton

from .installed import environment_of_wheel, works


def placeholder(folder: Path) -> Path:
    """Make an empty wheel in place of dbt's parser in Rust, which pip downloads from GitHub.

    dbt Core 1.12 needs it when it is installed, and uses it with ``--use-v2-parser`` only.
    """
    name = "dbt_core_experimental_parser-2.99.0"
    wheel = folder / f"{name}-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: dbt-core-experimental-parser\nVersion: 2.99.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.dist-info/METADATA", metadata)
        archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return wheel


def test_dbt_1_12(
    wheel: Path, triton: Triton, serve: Callable[[str], str], project: DbtProject, tmp_path: Path
) -> None:
    """On dbt Core 1.12 every kind of model builds, twice, and dbt calls nothing deprecated."""
    programs = environment_of_wheel("dbt-1.12", wheel, str(placeholder(tmp_path)), "dbt-core>=1.12,<2")
    built = works(programs, project, triton.url, serve("upper"))
    assert "Running with dbt=1.12." in built.first.output
    assert "Deprecat" not in built.printed
