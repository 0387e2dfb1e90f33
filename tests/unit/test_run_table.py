"""The table of the run log on DuckDB: what is written to it, and with how many statements."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import duckdb
import pytest

from dbt_triton.run_log import processes
from dbt_triton.run_log.columns import COLUMNS, RUNNING, duckdb_columns
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.duckdb.run_table import DuckDBRunTable
from dbt_triton.warehouses.duckdb.session import TableWriter
from dbt_triton.warehouses.run_log import RunPlace


class Session:
    """A session that counts what is written, and lets the first statements of a kind fail."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, fails: str = "", times: int = 0) -> None:
        self.statements: list[str] = []
        self._connection = connection
        self._fails, self._times = fails, times

    def writer(self) -> TableWriter:
        """Return a cursor of its own."""
        session = self

        class Writer(TableWriter):
            def execute(self, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
                session.statements.append(sql)
                if session._times and session._fails in sql:
                    session._times -= 1
                    raise WarehouseError("TransactionContext Error: Conflict on tuple")
                return super().execute(sql, values)

        return Writer(self._connection.cursor())

    def table(self) -> DuckDBRunTable:
        """Return the run log."""
        return DuckDBRunTable(cast("Any", self), RunPlace(None, "night shift", 'the "runs"'))


RELATION = '"night shift"."the ""runs"""'


def row(number: int, **known: Any) -> dict[str, Any]:
    """Return a row that runs."""
    begun = {"run_id": str(number), "node": "model.shop.m", "call": 1, "started_at": "2026-11-01 00:00:00"}
    return begun | {"outcome": RUNNING, "process": processes.this_process()} | known


def rows(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Return what is in the table."""
    return connection.execute(f"select run_id, outcome, rows from {RELATION} order by run_id").fetchall()


def written(table: DuckDBRunTable, number: int) -> None:
    """Write a row from its begin to its end."""
    processes.begin(str(number))
    table.begin(row(number))
    table.note({"run_id": str(number), "rows": 5})
    table.end(row(number, outcome="succeeded", rows=5))
    table.close()
    processes.end(str(number))


def test_few_statements() -> None:
    """Once the table is there, a call costs five short statements: its row, who was killed, two updates, one look."""
    with duckdb.connect() as connection:
        written(Session(connection).table(), 1)
        session = Session(connection)
        written(session.table(), 2)
        assert [statement.split()[0] for statement in session.statements] == [
            "insert",
            "select",
            "update",
            "select",
            "update",
        ]
        assert rows(connection) == [("1", "succeeded", 5), ("2", "succeeded", 5)]


@pytest.mark.parametrize("kind", ["insert", "select run_id", "update", "create"])
def test_conflicts(kind: str) -> None:
    """Where another process was faster, a statement is said again, and no row is there twice."""
    with duckdb.connect() as connection:
        written(Session(connection).table(), 1)
        connection.execute(f"update {RELATION} set outcome = 'running', process = 'somebody'")
        written(Session(connection, kind, 2).table(), 2)
        assert [run_id for run_id, *_ in rows(connection)] == ["1", "2"]


def test_a_row_that_never_began() -> None:
    """A row is written at its end where it was not begun, or was deleted meanwhile, with the table where that lacks."""
    with duckdb.connect() as connection:
        Session(connection).table().end(row(1, outcome="failed"))
        table = Session(connection).table()
        table.begin(row(2))
        connection.execute(f"drop table {RELATION}")
        table.end(row(2, outcome="failed", rows=3))
        table.close()
        assert rows(connection) == [("2", "failed", 3)]


@pytest.mark.parametrize("older", [False, True])
def test_what_is_there(older: bool) -> None:
    """An older log gets the columns that it lacks; a view, or a table that is no log, is left alone."""
    with duckdb.connect() as connection:
        connection.execute('create schema "night shift"')
        if older:
            names = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items() if name not in {"error", "rows"})
            connection.execute(f"create table {RELATION} ({names})")
            written(Session(connection).table(), 1)
            assert rows(connection) == [("1", "succeeded", 5)]
            return
        connection.execute(f"create table mine ({duckdb_columns()})")
        connection.execute(f"create view {RELATION} as select * from mine")
        with pytest.raises(WarehouseError, match="is no run log: it is a view"):
            Session(connection).table().begin(row(1))
        connection.execute(f"drop view {RELATION}; create table {RELATION} (run_id varchar)")
        with pytest.raises(WarehouseError, match="is no run log: it has no invocation_id"):
            Session(connection).table().begin(row(1))
        assert connection.execute("select count(*) from mine").fetchone() == (0,)


def test_many_threads() -> None:
    """Eight threads that make the table at once, and write to it, lose no row."""
    with duckdb.connect() as connection:

        def write(first: int) -> None:
            for number in range(first, first + 5):
                written(Session(connection).table(), number)

        threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 80, 10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = rows(connection)
        assert len(found) == len({run_id for run_id, *_ in found}) == 40
        assert {outcome for _, outcome, _ in found} == {"succeeded"}
