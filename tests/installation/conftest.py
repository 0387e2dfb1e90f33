from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.dbt import REPOSITORY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.installation)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(1000))  # an environment is installed within


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that DBT_TRITON_WHEEL names, else one that is built with the build backend of this environment."""
    if given := os.environ.get("DBT_TRITON_WHEEL"):
        return Path(given)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=240)
    (built,) = folder.glob("*.whl")
    return built
