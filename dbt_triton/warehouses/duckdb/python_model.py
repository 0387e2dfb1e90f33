"""What a dbt Python model passes on DuckDB, as temporary tables; and the relation that it gets back.

A Python model runs within dbt's transaction once a hook has begun one, and such a transaction does not see what the
store's cursor commits: it is committed first, and another is begun when the call is done, so that dbt has one to end.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from dbt_triton.warehouses.duckdb.dialect import quote
from dbt_triton.warehouses.duckdb.session import DuckDBSession


@contextmanager
def given_to(session: DuckDBSession, table: Any, model: Any) -> Generator[DuckDBGiven]:  # noqa: ANN401 - DuckDB's own
    """Put what a Python model passes where SQL reads it, outside any transaction; it is gone when the block is left."""
    if hasattr(table, "read_all"):
        # A stream of record batches, such as relation.arrow(), is the open result of this very session.
        table = table.read_all()
    given = DuckDBGiven(session, model)
    with session.outside_transaction():
        try:
            given.put_table(table)
            yield given
        finally:
            for name in (given.table, given.model):
                session.execute(f"drop table if exists {name}")


class DuckDBGiven:
    """The table and the inference model of one call in a Python model.

    Args:
        session: of the model.
        model: the relation of the inference model, or a SELECT.
    """

    def __init__(self, session: DuckDBSession, model: Any) -> None:  # noqa: ANN401 - what dbt.ref() gives
        self._mark = f"dbt_triton_{uuid.uuid4().hex[:12]}"
        self.table, self.model = f"temp.main.{self._mark}", f"temp.main.{self._mark}_model"
        self.columns: list[str] = []
        self._session = session
        self._passed_model = model
        # No column of a user's is called so.
        self._number = quote(f"{self._mark}_row")

    def put_table(self, table: Any) -> None:  # noqa: ANN401 - whatever DuckDB reads
        """Put the input into a temporary table with numbered rows."""
        numbered = f"*, row_number() over () as {self._number}"
        self.columns = self._session.copy(table, f"create temp table {self._mark} as select {numbered} from")

    def model_rows(self) -> list[dict[str, Any]]:
        """Read what was passed as the inference model."""
        model = self._passed_model
        relation = self._session.relation(model) if isinstance(model, str) else model
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def put_model(self, query: str) -> None:
        """Put the row that a query makes where SQL reads the inference model."""
        self._session.execute(f"create temp table {self.model} as {query}")

    def keep(self, build_sql: str, clean_up: Sequence[str]) -> None:
        """Put the result into a temporary table, and carry out the statements."""
        for statement in (f"create temp table {self._mark}_predicted as {build_sql}", *clean_up):
            self._session.execute(statement)

    def result(self) -> Any:  # noqa: ANN401 - a DuckDBPyRelation
        """Return the relation of the result, in the order of the input."""
        number = self._number
        return self._session.relation(f"select * exclude ({number}) from {self._mark}_predicted order by {number} asc")
