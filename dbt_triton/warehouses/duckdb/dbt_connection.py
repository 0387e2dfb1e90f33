"""What dbt believes of the connection of its thread."""

from __future__ import annotations

import sys


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
