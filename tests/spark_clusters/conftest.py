from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here, and leave them out where there is no Java."""
    no_java = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, and there is none on the path")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(no_java)
            item.add_marker(pytest.mark.spark_cluster)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(1800))
