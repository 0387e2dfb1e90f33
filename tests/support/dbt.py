"""Temporary dbt projects, built with the real ``dbt`` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb

#: What the run log is called; on Spark it is a view of a table.
RUN_LOG = {"ml_predict_runs", "ml_predict_runs__log"}
REPOSITORY = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 150


@dataclass(frozen=True)
class DbtResult:
    """What a dbt command left: its exit code, what it printed, and the results by node name."""

    code: int
    output: str
    errors: str
    results: dict[str, dict[str, Any]]

    @property
    def printed(self) -> str:
        """Standard output and standard error."""
        return self.output + self.errors

    def message(self, node: str) -> str:
        """Return what dbt says of a node; white space is folded, since dbt indents."""
        return " ".join(str(self.results[node]["message"]).split())

    def status(self, node: str) -> str:
        """Return ``success``, ``error`` or ``skipped``."""
        return str(self.results[node]["status"])

    def figures(self, node: str) -> dict[str, Any]:
        """Return the figures of a predicting model."""
        figures: dict[str, Any] = json.loads(self.results[node]["adapter_response"]["code"])
        return figures


class DbtProject:
    """A dbt-duckdb project that lists the package, in a folder of its own.

    Args:
        root: the folder, which is made.
        threads: of the profile.
        profile: settings added to the profile's target.
    """

    #: As ``--warehouse`` has it.
    warehouse = "duckdb"

    def __init__(self, root: Path, *, threads: int = 4, profile: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.database = root / "warehouse.duckdb"
        self.environment: dict[str, str] = {}
        #: Where the command is; a virtual environment of its own has other versions.
        self.programs = Path(sys.executable).parent
        packages = root / "dbt_packages"
        packages.mkdir(parents=True)
        # What `dbt deps` makes of `local:`, in no time.
        (packages / "dbt_triton").symlink_to(REPOSITORY, target_is_directory=True)
        self.write("packages.yml", json.dumps({"packages": [{"local": str(REPOSITORY)}]}))
        self.write("dbt_project.yml", json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop"}))
        target = {"type": "duckdb", "path": str(self.database), "threads": threads, **(profile or {})}
        self.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": {"dev": target}}}))

    def write(self, path: str, text: str) -> None:
        """Write a file of the project; common indentation is removed."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")

    def model(self, name: str, sql: str) -> None:
        """Write ``models/<name>.sql``."""
        self.write(f"models/{name}.sql", sql)

    def inference_model(self, name: str, endpoint: str, model_name: str, **options: str) -> None:
        """Write an inference model from one text to one text; ``batch_size`` is the option ``batch-size``."""
        pairs = {"provider": "triton", "endpoint": endpoint, "model-name": model_name}
        pairs |= {key.replace("_", "-"): value for key, value in options.items()}
        written = ", ".join(f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in pairs.items())
        self.model(
            name,
            "{{ config(materialized='inference_model') }}\n"
            f'CREATE MODEL "{name}" INPUT (`input` STRING) OUTPUT (`output` STRING)\nWITH ({written})',
        )

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Return the command line and the environment of a dbt command."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "PYTEST_"))}
        environment |= {
            "HOME": str(self.root),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_USE_COLORS": "false",
            "DBT_PROFILES_DIR": str(self.root),
            "DBT_PROJECT_DIR": str(self.root),
            "NO_PROXY": "*",
            **self.environment,
        }
        return [str(self.programs / "dbt"), *arguments], environment

    def dbt_triton(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``dbt-triton`` in the folder of the project, with the environment of a dbt command."""
        _, environment = self.command()
        return subprocess.run(
            [Path(sys.executable).parent / "dbt-triton", *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def dbt(self, *arguments: str, **environment: str) -> DbtResult:
        """Run a dbt command to its end."""
        command, variables = self.command(*arguments)
        results = self.root / "target" / "run_results.json"
        results.unlink(missing_ok=True)
        done = subprocess.run(
            command,
            cwd=self.root,
            env=variables | environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return DbtResult(done.returncode, done.stdout, done.stderr, self.run_results())

    def build(self, *arguments: str, **environment: str) -> DbtResult:
        """Run ``dbt build``, which must succeed."""
        result = self.dbt("build", *arguments, **environment)
        assert result.code == 0, result.printed
        return result

    def fails(self, *arguments: str, **environment: str) -> DbtResult:
        """Run ``dbt build``, which must fail."""
        result = self.dbt("build", *arguments, **environment)
        assert result.code != 0, result.printed
        return result

    def run_results(self) -> dict[str, dict[str, Any]]:
        """Return what the last command left in run_results.json, by the name of the node."""
        file = self.root / "target" / "run_results.json"
        if not file.exists():
            return {}
        return {item["unique_id"].split(".")[2]: item for item in json.loads(file.read_text())["results"]}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query to the warehouse file."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def columns(self, relation: str) -> dict[str, str]:
        """Return the columns of a table with their types, in the warehouse's words."""
        return {row[0]: row[1] for row in self.query(f"describe {relation}")}

    def quote(self, name: str) -> str:
        """Quote an identifier."""
        return '"' + name.replace('"', '""') + '"'

    def stored(self) -> bytes:
        """Return all bytes of the warehouse."""
        return self.database.read_bytes()

    def relations(self) -> set[str]:
        """Return the names of all tables and views but the run log, which every build writes."""
        found = self.query("select table_name from information_schema.tables")
        return {str(row[0]) for row in found if row[0] not in RUN_LOG}
