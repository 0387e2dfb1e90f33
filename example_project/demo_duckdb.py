"""The demo on DuckDB: where the tables are, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from demo_tables import Read

PROJECT = Path(__file__).resolve().parent
TARGET = "dev"


def what_is_missing() -> str | None:
    """Return None: the extra `example` has all that is needed."""
    return None


def environment() -> dict[str, str]:
    """Return the environment variables that the target of profiles.yml reads, as absolute paths."""
    database = Path(os.environ.get("DBT_TRITON_DEMO_DB") or PROJECT / "example.duckdb").absolute()
    return {"DBT_TRITON_DEMO_DB": str(database)}


@contextmanager
def reader() -> Generator[Read, None, None]:
    """Yield what reads a query."""
    with duckdb.connect(environment()["DBT_TRITON_DEMO_DB"], read_only=True) as connection:

        def read(query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            relation = connection.sql(query)
            return relation.columns, relation.fetchall()

        yield read
