"""DuckDB's session: every call to DuckDB is in this module, since its Python interface differs between versions.

The session is dbt's own cursor. Input is read on it, because only it has the session's settings and temporary
tables. The store is written on a second cursor, whose commits do not touch the session.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa

from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.duckdb.arrow_types import has_boolean_arrays, plain
from dbt_triton.warehouses.duckdb.dbt_connection import note_no_transaction
from dbt_triton.warehouses.duckdb.dialect import literal, quote, text_literal
from dbt_triton.warehouses.duckdb.memory import lower, restore, size_in_bytes

logger = logging.getLogger("dbt_triton.warehouses")

#: The variable by which figures, SQL and errors reach Jinja.
RESULT_VARIABLE = "dbt_triton_result"
_READ_ROWS = 16_384
#: DuckDB's log may have so many bytes while large chunks are committed.
_LARGE_LOG = "4GB"
#: DuckDB's words where there is nothing to commit.
_NO_TRANSACTION = "no transaction is active"
#: Of the query that is read to notice an interrupt. It is small, since DuckDB may run ahead of who reads it, and it is
#: begun anew before the rest of it fits into DuckDB's buffer.
_WATCH_ROWS, _WATCH_ROWS_READ, _WATCH_READS = 262_144, 2_048, 50
_WATCH_SECONDS = 0.5

T = TypeVar("T")


@dataclass
class _Checkpoints:
    """The setting is one for all models that dbt builds at once: the first block changes it, the last restores it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    blocks: int = 0
    threshold: str = ""


_CHECKPOINTS = _Checkpoints()


class DuckDBSession:
    """The session of one dbt model."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - dbt-duckdb wraps the cursor
        self._session = session

    def set_result(self, result: Mapping[str, Any]) -> None:
        """Leave a result for Jinja, in a variable of the session."""
        self._session.execute(f"set variable {RESULT_VARIABLE} = {text_literal(json.dumps(result))}")

    def end_transaction(self) -> None:
        """Commit whatever transaction is open: it would not see what the store's cursor commits.

        Jinja may have begun one while the model was compiled, a pre-hook in it. dbt is told that none is open any more.

        Raises:
            WarehouseError: the commit failed, so what was done in it is lost.
        """
        self._commit()
        note_no_transaction()

    def set_variable(self, name: str, value: str) -> None:
        """Set a variable of the session; its value is never logged."""
        self._fetch(f"set variable {name} = {text_literal(value)}")

    def describe(self, query: str) -> list[tuple[str, str]]:
        """Return the columns of a query and their types, without running it."""
        return [(str(row[0]), str(row[1])) for row in self._fetch(f"describe {query}")]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a small query."""
        try:
            cursor = self._session.execute(query)
            names = [str(column[0]) for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error

    def execute(self, sql: str) -> None:
        """Run a statement on the session."""
        self._fetch(sql)

    def relation(self, query: str) -> Any:  # noqa: ANN401 - a DuckDBPyRelation
        """Return a query as a relation of DuckDB's."""
        return self._session.query(query)

    def copy(self, table: Any, statement: str) -> list[str]:  # noqa: ANN401 - whatever DuckDB reads
        """Run a statement, which ends in FROM, on a relation, a data frame, an Arrow table or a SELECT.

        Returns:
            The names of the columns.
        """
        if isinstance(table, str):
            table = self._session.query(table)
        elif not hasattr(table, "sql_query"):
            table = self._session.from_df(table) if hasattr(table, "iloc") else self._session.from_arrow(table)
        dbt_triton_given_input = table  # noqa: F841 - DuckDB finds it here by its name
        self._session.query(f"{statement} dbt_triton_given_input")
        return list(map(str, table.columns))

    @contextmanager
    def outside_transaction(self) -> Generator[None]:
        """Commit the transaction that is open, if one is, and begin another when the block is left.

        A transaction does not see what another cursor commits after it began, which the store's does.

        Raises:
            WarehouseError: the transaction cannot be committed.
        """
        was_open = self._commit()
        try:
            yield
        finally:
            if was_open:
                self.execute("begin")

    def _commit(self) -> bool:
        """Commit, and tell whether a transaction was open.

        BEGIN would tell as well, but where one is open it aborts it (DuckDB 1.4 to 2.0).
        """
        self.execute("select 1")  # DuckDB would commit nothing of a transaction that is aborted, and not say so
        try:
            self._session.execute("commit")
        except duckdb.Error as error:
            if _NO_TRANSACTION in str(error):
                return False
            raise WarehouseError(f"what was done before the predictions cannot be committed: {error}") from error
        return True

    def is_table(self, relation: Sequence[str]) -> bool:
        """Tell whether a relation is a table of DuckDB's own, which is the same however often it is read.

        A table of an attached PostgreSQL is not: others write there.
        """
        conditions, name = ["database_name", "schema_name", "table_name"][-len(relation) :], text_literal(relation[-1])
        clauses = [
            f"lower({column}) = lower({literal(part, 'VARCHAR')})"
            for column, part in zip(conditions, relation, strict=True)
        ]
        if len(relation) < len(("database", "schema", "table")):
            clauses.append("database_name = current_database()")
        if len(relation) == 1:
            # DuckDB may mean another one by that name: a table of its search path, or a view of the session.
            clauses.append("schema_name = current_schema()")
            clauses.append(f"not exists (from duckdb_views() where temporary and lower(view_name) = lower({name}))")
            clauses.append(
                "not exists (from duckdb_tables() as other where other.temporary and "
                f"lower(other.table_name) = lower({name}))"
            )
        clauses.append("database_name in (select database_name from duckdb_databases() where type = 'duckdb')")
        return bool(self._fetch(f"select 1 from duckdb_tables() where {' and '.join(clauses)} limit 1"))

    def is_base_table(self, relation: str) -> bool:
        """Tell whether a quoted relation that is there is a table, and no view: only tables number their rows."""
        try:
            self.describe(f"select rowid from {relation}")
        except WarehouseError:
            return False
        return True

    def is_view(self, relation: str) -> bool:
        """Tell whether a quoted relation is a view, also one that cannot be read."""
        parts = ("database_name", "schema_name", "view_name")
        name = " || ".join(f"""'."' || replace({part}, '"', '""') || '"'""" for part in parts)
        is_it = f"ends_with(lower({name}), lower({text_literal('.' + relation)}))"
        return bool(self._fetch(f"select 1 from duckdb_views() where {is_it} limit 1"))

    def load(self, sql: str, view: str, table: pa.Table) -> None:
        """Run a statement that reads an Arrow table under the name ``view``."""
        try:
            self._session.register(view, table)
            try:
                self._session.execute(sql)
            finally:
                self._session.unregister(view)
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error

    def read(self, *queries: str, rows: int = _READ_ROWS) -> Generator[pa.RecordBatch, None, None]:
        """Stream queries, one after the other, as record batches; close it before the session is used again.

        Args:
            queries: in order.
            rows: of a record batch, at most.
        """
        try:
            for query in queries:
                reader = _arrow_reader(self._session.query(query), rows)
                if any(map(has_boolean_arrays, reader.schema.types)):
                    reader.close()
                    reader = _arrow_reader(self._session.query(self._with_numbers_for_booleans(query)), rows)
                with reader:
                    yield from map(plain, reader)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise WarehouseError(str(error)) from error

    def _with_numbers_for_booleans(self, query: str) -> str:
        """Return the query with 0 and 1 in arrays of BOOLEAN.

        With ``arrow_lossless_conversion`` a BOOLEAN is a byte, and DuckDB 1.4 and 1.5 send arrays of them as garbage.
        """
        columns = [
            f"cast({quote(name)} as {kind.replace('BOOLEAN', 'UTINYINT')}) as {quote(name)}"
            if kind.startswith("BOOLEAN[")
            else quote(name)
            for name, kind in self.describe(query)
        ]
        return f"select {', '.join(columns)} from ({query})"

    def memory_limit(self) -> int:
        """Return how many bytes DuckDB may use, about."""
        return size_in_bytes(str(self._fetch("select current_setting('memory_limit')")[0][0]))

    def spare_memory(self) -> bool:
        """Lower the memory limit, if the user has set none; tell whether that was done."""
        return lower(self)

    def use_memory(self) -> None:
        """Restore the memory limit, unless another model needs the lower one."""
        restore(self)

    def change_setting(self, statement: str) -> bool:
        """SET or RESET a setting of the whole database, and tell whether DuckDB lets us: all may be locked.

        On a cursor of its own, since a refusal aborts the transaction that it is made in.
        """
        try:
            with self._session.cursor() as cursor:
                cursor.execute(statement)
        except duckdb.Error as error:
            logger.debug("%s: %s", statement, error)
            return False
        return True

    @contextmanager
    def fewer_checkpoints(self) -> Generator[None]:
        """Let DuckDB's log grow while large chunks are committed.

        A checkpoint writes a row group that is not full anew, with every row that is in it already: with megabytes a
        row, each chunk would cost more than the one before.
        """
        with _CHECKPOINTS.lock:
            if not _CHECKPOINTS.blocks:
                _CHECKPOINTS.threshold = str(self._fetch("select current_setting('checkpoint_threshold')")[0][0])
                self.change_setting(f"set global checkpoint_threshold = '{_LARGE_LOG}'")
            _CHECKPOINTS.blocks += 1
        try:
            yield
        finally:
            with _CHECKPOINTS.lock:
                _CHECKPOINTS.blocks -= 1
                if not _CHECKPOINTS.blocks:
                    self.change_setting(f"set global checkpoint_threshold = {text_literal(_CHECKPOINTS.threshold)}")

    def unless_interrupted(self, asking: Coroutine[None, None, T]) -> T:
        """Await something, which may take a while, on an event loop of its own, and notice Ctrl-C meanwhile.

        Raises:
            WarehouseError: the session was interrupted.
        """
        with self.interrupts() as interrupts:

            async def ask() -> T:
                asked = asyncio.ensure_future(asking)
                interrupts.check()  # from now on, nothing else would see that dbt interrupts the session
                while not (await asyncio.wait([asked], timeout=_WATCH_SECONDS))[0]:
                    interrupts.check()  # what it raises ends the loop, which cancels what is awaited
                return asked.result()

            return asyncio.run(ask())

    def interrupts(self) -> Interrupts:
        """Notice an interrupt while nothing else runs on the session."""
        return Interrupts(self._session)

    @contextmanager
    def interrupted_after(self, seconds: float) -> Generator[Callable[[], bool]]:
        """Interrupt what runs within the block, once it takes too long. Gives a function that tells whether it did."""
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            self._session.interrupt()

        clock = threading.Timer(seconds, interrupt)
        clock.daemon = True
        clock.start()
        try:
            yield late.is_set
        finally:
            clock.cancel()

    def writer(self) -> TableWriter:
        """Open a second cursor, for the store.

        Raises:
            WarehouseError: the session is closed.
        """
        try:
            return TableWriter(self._session.cursor())
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            fetched: list[tuple[Any, ...]] = self._session.execute(sql).fetchall()
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error
        return fetched


class Interrupts:
    """Notices Ctrl-C: dbt then interrupts its sessions, which only a query that is being read can see.

    Use it as a context manager, and call `check` only while nothing else is read from the session.
    """

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - dbt-duckdb wraps the cursor
        self._session = session
        self._reader: pa.RecordBatchReader | None = None
        self._reads = 0

    def check(self) -> None:
        """Read a little of a query that is not over: DuckDB waits until its buffer, of about 1 MB, is read.

        Raises:
            WarehouseError: the session was interrupted.
        """
        try:
            if self._reader is not None:
                self._reader.read_next_batch()
                self._reads += 1
            if self._reader is None or self._reads == _WATCH_READS:
                self._close()
                relation = self._session.query(f"select range from range({_WATCH_ROWS})")
                self._reader = _arrow_reader(relation, _WATCH_ROWS_READ)
                self._reader.read_next_batch()  # DuckDB 1.4 loses an interrupt that comes before the first read
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise WarehouseError("the run was interrupted") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._reads = None, 0


def _arrow_reader(relation: Any, rows: int) -> pa.RecordBatchReader:  # noqa: ANN401 - differs between versions
    # DuckDB 2.0 knows only the first, versions before 1.5 only the second.
    return (getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader)(rows)


class TableWriter:
    """A cursor of its own that creates tables and appends to them; each call commits."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cursor.close()

    def execute(self, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement, with the values of its parameters, and commit it."""
        try:
            return self._cursor.execute(sql, values).fetchall()
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error

    def append(self, sql: str, view: str, table: pa.Table) -> None:
        """Run an INSERT that selects from an Arrow table under the name ``view``, and commit it."""
        try:
            self._cursor.register(view, table)
            try:
                self._cursor.execute(sql)
            finally:
                self._cursor.unregister(view)
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error
