"""What dbt believes of the connection of its thread."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import duckdb

_NAME = "dbt_triton_runs"


def note_no_transaction() -> None:
    """Tell dbt that no transaction is open on the connection of this thread.

    dbt counts for itself whether it has begun one, and neither Jinja nor SQL can correct it where a transaction was
    ended, or begun, by a plain statement. Where no dbt is at work, nothing is done.
    """
    factory = sys.modules.get("dbt.adapters.factory")
    if factory is None:
        return
    try:
        connection = factory.get_adapter_by_type("duckdb").connections.get_if_exists()
    except KeyError:
        return  # dbt is imported, and has no such adapter
    if connection is not None:
        connection.transaction_open = False


@contextmanager
def own_cursor() -> Generator[duckdb.DuckDBPyConnection]:
    """Open a cursor once dbt has closed the one of a model, by a connection of dbt's for this thread.

    Raises:
        Exception: of dbt, or of DuckDB; or no dbt is at work.
    """
    adapter: Any = sys.modules["dbt.adapters.factory"].get_adapter_by_type("duckdb")
    connection = adapter.connections.get_if_exists()
    if connection is not None and connection.state == "open":
        with connection.handle.cursor().cursor() as cursor:
            yield cursor
        return
    with (
        adapter.connection_named(_NAME),
        adapter.connections.get_thread_connection().handle.cursor().cursor() as cursor,
    ):
        yield cursor
