"""The same table and models as in `harness`, built by the real dbt in processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import duckdb
from support.dbt import DbtProject

from faults.harness import MODEL_SQL, REVIEWS, STORE, Query, check_store, check_table
from faults.server import MortalServer

_PREDICTING = """
{{ config(materialized='ml_predict') }}
SELECT * FROM ML_PREDICT(TABLE {{ source('warehouse', 'reviews') }}, MODEL {{ ref('faulty') }}, DESCRIPTOR(review))
"""
_SOURCES = "sources: [{name: warehouse, schema: main, tables: [{name: reviews}]}]\n"


class DbtPipeline:
    """A dbt project with a table of reviews, an inference model and a predicting model, neither of them built yet.

    Args:
        root: its folder, which is made.
        endpoint: of the server.
        rows: how many reviews there are, all distinct.
        options: of the inference model.
    """

    def __init__(self, root: Path, endpoint: str, rows: int, options: Mapping[str, str]) -> None:
        self.project = DbtProject(root)
        self.rows = rows
        pairs = {"provider": "triton", "endpoint": endpoint, "model-name": "faulty", "on-error": "null", **options}
        self.batch_size = int(pairs["batch-size"])
        self.in_flight = int(pairs["max-concurrent-operations"]) * self.batch_size
        written = ", ".join(f"'{key}' = '{value}'" for key, value in pairs.items())
        self.project.model(
            "faulty", "{{ config(materialized='inference_model') }}\n" + MODEL_SQL.format(options=written)
        )
        self.project.model("classified", _PREDICTING)
        self.project.write("models/sources.yml", _SOURCES)
        self.write(REVIEWS.format(rows=rows))

    def write(self, sql: str) -> None:
        """Change the warehouse, while no dbt runs."""
        with duckdb.connect(str(self.project.database)) as connection:
            connection.execute(sql)

    def start(self) -> subprocess.Popen[str]:
        """Start ``dbt build``, for somebody who ends it before its time."""
        command, environment = self.project.command("build")
        return subprocess.Popen(
            command,
            cwd=self.project.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kept(self) -> int:
        """Return how many predictions the store holds, after a check of the store."""
        with duckdb.connect(str(self.project.database), read_only=True) as connection:
            query = _query(connection)
            check_store(query)
            if not query(f"select 1 from duckdb_tables() where table_name = '{STORE}'"):
                return 0
            return int(query(f"select count(*) from {STORE} where ml_error is null")[0][0])

    def check(self) -> set[str]:
        """Check the final table, and return the reviews of marked rows."""
        with duckdb.connect(str(self.project.database), read_only=True) as connection:
            query = _query(connection)
            check_store(query)
            check_table(query, self.rows)
            return {str(row[0]) for row in query("select review from classified where ml_error is not null")}


def has_run(server: MortalServer, rows: float, dbt: subprocess.Popen[str]) -> bool:
    """Tell whether the model has run so many rows; dbt must still be at it."""
    assert dbt.poll() is None, dbt.communicate()[0]
    return server.rows() >= rows


def _query(connection: duckdb.DuckDBPyConnection) -> Query:
    return lambda sql: connection.execute(sql).fetchall()
