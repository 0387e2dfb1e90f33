from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.dbt import REPOSITORY
from support.triton import MODELS

from dbt_triton.server import TritonServer

_TIMEOUT_SECONDS = 500
_MADE = ("dbt_packages", "target", "logs", "*.duckdb*", "__pycache__")
#: An orchestrator is the same to every kind of model: text is enough, and sooner loaded.
_OTHER_KINDS = (
    *("kinds", "*kinds*", "assert_state*", "assert_ensemble*", "wines.csv", "digit-*", "dial-*", "*-preprocessing"),
    *("review-embedding", "running-*", "wine-*", "language", "sentence-embedding", "review-writer"),
)
_MODELS = {
    "shouting": """
        {{ config(materialized='inference_model') }}
        CREATE MODEL shouting INPUT (review STRING) OUTPUT (shouted STRING)
        WITH ('provider' = 'triton', 'endpoint' = 'http://localhost:8000', 'model-name' = 'upper')
    """,
    "refused": "select 1 as id, 'fine' as review union all select 2, 'REFUSE this'",
    "guarded": """
        {{ config(materialized='ml_predict', meta={'ml_predict': {'on-error': 'null'}}) }}
        select * from ML_PREDICT(TABLE {{ ref('refused') }}, MODEL {{ ref('shouting') }}, DESCRIPTOR(review))
    """,
    "strict": """
        {{ config(materialized='ml_predict', enabled=env_var('STRICT', '') != '') }}
        select * from ML_PREDICT(TABLE {{ ref('refused') }}, MODEL {{ ref('shouting') }}, DESCRIPTOR(review))
    """,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.orchestrator)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(1500))  # an environment is installed within


@dataclass(frozen=True)
class Example:
    """A copy of the example project, with a model that has a bad row, before a real server that serves its models.

    Args:
        root: the project's folder.
        home: a home without anybody's settings.
        server: its endpoint.
    """

    root: Path
    home: Path
    server: TritonServer

    def run(self, programs: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program of an environment in the project's folder, to its end."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "PYTEST_"))}
        variables |= {
            "HOME": str(self.home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_USE_COLORS": "false",
            "DBT_TRITON_DEMO_DB": str(self.database),
            "TRITON_URL": self.server.url,
            "NO_PROXY": "*",
            "DO_NOT_TRACK": "1",
        }
        return subprocess.run(
            [str(programs / command[0]), *command[1:]],
            cwd=self.root,
            env=variables | environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.root / "example.duckdb"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query to the warehouse file."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Generator[Example, None, None]:
    """The example project, its server running."""
    folder = tmp_path_factory.mktemp("example")
    root = folder / "example_project"
    left_out = shutil.ignore_patterns(*_MADE, *_OTHER_KINDS)
    shutil.copytree(REPOSITORY / "example_project", root, ignore=left_out)
    (root / "dbt_packages").mkdir()
    (root / "dbt_packages" / "dbt_triton").symlink_to(REPOSITORY, target_is_directory=True)
    (root / "packages.yml").write_text(json.dumps({"packages": [{"local": str(REPOSITORY)}]}))
    for name, sql in _MODELS.items():
        (root / "models" / f"{name}.sql").write_text(sql)
    subprocess.run([sys.executable, str(root / "train.py")], check=True, capture_output=True, timeout=300)
    shutil.copytree(MODELS / "upper", root / "model_repository" / "upper")
    (folder / "home").mkdir()
    with TritonServer(root / "model_repository") as server:
        yield Example(root, folder / "home", server)
