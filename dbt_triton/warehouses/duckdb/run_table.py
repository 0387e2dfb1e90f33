"""The run log on DuckDB: rows are added and updated on a cursor of its own, which commits each statement.

All threads of dbt write to one table. What they write is so short that they do it one after the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dbt_triton.run_log.columns import COLUMNS, KILLED, RUNNING, SUCCEEDED, duckdb_columns
from dbt_triton.run_log.processes import is_gone, this_process
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.duckdb.dbt_connection import own_cursor
from dbt_triton.warehouses.duckdb.dialect import quote, text_literal
from dbt_triton.warehouses.duckdb.session import TableWriter
from dbt_triton.warehouses.run_log import KILLED_WORDS, Row, RunPlace, missing, refusal, refused

if TYPE_CHECKING:
    from dbt_triton.warehouses.duckdb.session import DuckDBSession

_LOCK = threading.RLock()
#: Other processes may write as well, where the database is elsewhere; and dbt itself makes schemas and tables.
_ATTEMPTS, _PAUSE_SECONDS = 5, 0.05
_CONFLICT = ("conflict", "TransactionContext Error")
_UPDATED = [name for name in COLUMNS if name != "run_id"]

T = TypeVar("T")


class DuckDBRunTable:
    """The table of the run log, for one step.

    Args:
        session: of the step.
        place: of the table.
    """

    def __init__(self, session: DuckDBSession, place: RunPlace) -> None:
        self._session = session
        self._place = place
        self._schema = ".".join(map(quote, filter(None, [place.database, place.schema])))
        self._relation = f"{self._schema}.{quote(place.identifier)}"
        self._writer: TableWriter | None = None

    def begin(self, row: Row) -> None:
        """Make the table where it is not there, and add a row to it."""
        self._tried(lambda: self._begin(row))
        self._tried(self._mark_killed)

    def note(self, row: Row) -> None:
        """Keep what has become known."""
        self._tried(lambda: self._update(row))

    def end(self, row: Row) -> None:
        """Keep the row as it ended; it is added once more where somebody has deleted it meanwhile."""

        def write() -> None:
            try:
                if self._update(row):
                    return
            except WarehouseError as error:
                if _is_conflict(error):
                    raise
            self._ensure()
            self._insert(row)

        self.close()
        try:
            self._run("select 1")
        except WarehouseError:  # dbt has closed the model's connection by now
            with own_cursor() as cursor:
                self._writer = TableWriter(cursor)
                self._tried(write)
                self._writer = None
        else:
            self._tried(write)

    def last(self, row: Row) -> dict[str, Any]:
        """Return the last row that succeeded of the same call with the same inference model."""
        keys = ("node", "call", "fingerprint")
        where = " and ".join(f"{quote(name)} = ?" for name in keys)
        found = self._run(
            f"select * from {self._relation} where {where} and outcome = '{SUCCEEDED}' "
            "order by started_at desc limit 1",
            [row.get(name) for name in keys],
        )
        names = self._columns()
        return dict(zip(names, found[0], strict=True)) if found else {}

    def close(self) -> None:
        """Close the cursor."""
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
            self._writer = None

    def _begin(self, row: Row) -> None:
        """Add a row, and look for what is there only if that fails: mostly it is a run log with all columns."""
        try:
            self._insert(row)
        except WarehouseError as error:
            if _is_conflict(error):
                raise
            self._ensure()
            self._insert(row)

    def _insert(self, row: Row) -> None:
        values = {name: row.get(name) for name in COLUMNS}
        names = ", ".join(map(quote, values))
        self._run(
            f"insert into {self._relation} ({names}) values ({', '.join('?' * len(values))})", list(values.values())
        )

    def _update(self, row: Row) -> bool:
        names = [name for name in _UPDATED if name in row]
        values = [row[name] for name in names]
        assigned = ", ".join(f"{quote(name)} = ?" for name in names)
        done = self._run(f"update {self._relation} set {assigned} where run_id = ?", [*values, row["run_id"]])
        return bool(done and done[0][0])

    def _ensure(self) -> None:
        """Make the table, or the columns that an older one lacks.

        Raises:
            WarehouseError: something else is there, or nothing can be made.
        """
        try:
            names = self._columns()
        except WarehouseError:
            if self._is_view():
                raise refused(self._relation, "it is a view") from None
            self._run(f"create schema if not exists {self._schema}")
            self._run(f"create table if not exists {self._relation} ({duckdb_columns()})")
            names = self._columns()
        why = "it is a view" if self._is_view() else refusal(names)
        if why is not None:
            raise refused(self._relation, why)
        for name, kind in missing(names).items():
            self._run(f"alter table {self._relation} add column if not exists {quote(name)} {kind}")

    def _columns(self) -> list[str]:
        return [str(row[0]) for row in self._run(f"describe select * from {self._relation}")]

    def _is_view(self) -> bool:
        """Tell whether the relation is a view, also one that cannot be read."""
        parts = {"database_name": self._place.database, "schema_name": self._place.schema}
        parts["view_name"] = self._place.identifier
        where = " and ".join(f"lower({name}) = lower({text_literal(part)})" for name, part in parts.items() if part)
        return bool(self._run(f"select 1 from duckdb_views() where {where} limit 1"))

    def _mark_killed(self) -> None:
        running = self._run(f"select run_id, process from {self._relation} where outcome = '{RUNNING}'")
        # Those of this process it knows itself.
        alone = any(process != this_process() for _, process in running) and self._is_alone()
        dead = [run_id for run_id, process in running if is_gone(process, str(run_id), alone=alone)]
        if dead:
            self._run(
                f"update {self._relation} set outcome = '{KILLED}', error = ? where outcome = '{RUNNING}' "
                f"and run_id in ({', '.join('?' * len(dead))})",
                [KILLED_WORDS, *dead],
            )

    def _is_alone(self) -> bool:
        """Tell whether the table is in a file, which DuckDB lets one process open to write."""
        name = text_literal(self._place.database) if self._place.database else "current_database()"
        found = self._run(
            "select 1 from duckdb_databases() where type = 'duckdb' and not readonly and path not like '%://%' "
            f"and lower(database_name) = lower({name})"
        )
        return bool(found)

    def _run(self, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        if self._writer is None:
            self._writer = self._session.writer()
        return self._writer.execute(sql, values)

    def _tried(self, write: Callable[[], T]) -> T:
        """Write while no other thread does; again where another process was faster."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with _LOCK:
                    return write()
            except WarehouseError as error:
                if attempt == _ATTEMPTS or not _is_conflict(error):
                    raise
                time.sleep(_PAUSE_SECONDS * attempt)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises


def _is_conflict(error: WarehouseError) -> bool:
    return any(word in str(error) for word in _CONFLICT)
