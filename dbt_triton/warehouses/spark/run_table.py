"""The run log on Spark: a table to which rows are only ever added, and a view with the last word about each run.

Tables of files let no row be updated. So each run adds a row when it begins and one when it ends, and the view, which
has the name that users know, shows one of them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from dbt_triton.run_log.columns import COLUMNS, KILLED, RUNNING, SUCCEEDED, spark_columns, spark_type
from dbt_triton.run_log.processes import is_gone
from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.run_log import KILLED_WORDS, Row, RunPlace, missing, refusal, refused
from dbt_triton.warehouses.spark.spark_words import quietly, words_of
from dbt_triton.warehouses.spark.table_formats import drop_statement

if TYPE_CHECKING:
    from dbt_triton.warehouses.spark.session import SparkWarehouse

_LOCK = threading.RLock()
#: Jobs of other processes that add to a table of files at once spoil each other's; the later one is told.
_ATTEMPTS, _PAUSE_SECONDS = 4, 0.5
#: The tables that this process has looked at already.
_KNOWN: set[str] = set()
_SUFFIX = "__log"


class SparkRunTable:
    """The table of the run log, for one step.

    Args:
        warehouse: the session of the step.
        place: of the view; the table is beside it.
    """

    def __init__(self, warehouse: SparkWarehouse, place: RunPlace) -> None:
        self._spark = warehouse.spark
        self._schema = ".".join(_quote(part) for part in (place.database, place.schema) if part)
        self._view = f"{self._schema}.{_quote(place.identifier)}"
        self._table = f"{self._schema}.{_quote(place.identifier + _SUFFIX)}"

    def begin(self, row: Row) -> None:
        """Make the table where it is not there, and add a row to it."""
        self._write(row)

    def note(self, row: Row) -> None:
        """Keep nothing: a job for it would cost more than it says."""

    def end(self, row: Row) -> None:
        """Add the row as it ended."""
        self._write(row)

    def last(self, row: Row) -> dict[str, Any]:
        """Return the last row that succeeded of the same call with the same inference model."""
        keys = ("node", "call", "fingerprint")
        where = " and ".join(f"{_quote(name)} = :{name}" for name in keys)
        found = self._sql(
            f"select * from {self._view} where {where} and outcome = '{SUCCEEDED}' order by started_at desc limit 1",
            {name: row.get(name) for name in keys},
        )
        return found[0].asDict() if found else {}

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, row: Row) -> None:
        with _LOCK:
            if self._table not in _KNOWN or not self._spark.catalog.tableExists(self._table):
                self._ensure()
                self._mark_killed()
                _KNOWN.add(self._table)
            self._add(row)

    def _ensure(self) -> None:
        """Make the table and the view, or the columns that older ones lack.

        Raises:
            WarehouseError: something else is there, or nothing can be made.
        """
        has_table = self._spark.catalog.tableExists(self._table)
        if self._spark.catalog.tableExists(self._view):
            why = refusal(self._columns(self._view))
            if why is None and not has_table:
                why = "it is a table, or a view of another one"
            if why is not None:
                raise refused(self._view, why)
        if not has_table:
            self._sql(f"create schema if not exists {self._schema}")
            self._sql(f"create table if not exists {self._table} ({spark_columns()}) using parquet")
        why = refusal(self._columns(self._table))
        if why is not None:
            raise refused(self._table, why)
        lacking = missing(self._columns(self._table))
        if lacking:
            added = ", ".join(f"{_quote(name)} {spark_type(kind)}" for name, kind in lacking.items())
            self._sql(f"alter table {self._table} add columns ({added})")
        names = ", ".join(map(_quote, COLUMNS))
        # What a process says of its own run counts more than that another one took it for killed.
        order = f"case outcome when '{RUNNING}' then 2 when '{KILLED}' then 1 else 0 end, ended_at desc"
        try:
            self._sql(
                f"create or replace view {self._view} as select {names} from (select *, row_number() over "
                f"(partition by run_id order by {order}) as place from {self._table}) where place = 1"
            )
        except WarehouseError:
            if not has_table:  # such as a catalog that has no views
                self._sql(drop_statement(self._spark, self._table))
            raise

    def _columns(self, relation: str) -> list[str]:
        with quietly():
            return [str(name) for name in self._spark.table(relation).columns]

    def _mark_killed(self) -> None:
        for running in self._sql(f"select * from {self._view} where outcome = '{RUNNING}'"):
            row = running.asDict()
            if is_gone(row["process"], row["run_id"], alone=False):
                self._add(row | {"outcome": KILLED, "error": KILLED_WORDS})

    def _add(self, row: Row) -> None:
        # As texts: Spark takes a time for one of its own time zone, and NULL for no type of its own.
        values = {name: None if row.get(name) is None else str(row[name]) for name in COLUMNS}
        columns = ", ".join(f"cast(:{name} as {spark_type(kind)}) as {_quote(name)}" for name, kind in COLUMNS.items())
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with quietly():
                    frame = self._spark.sql(f"select {columns}", args=values)
                    frame.selectExpr(*self._values()).write.insertInto(self._table)
            except Exception as error:  # noqa: BLE001 - of many kinds
                if attempt == _ATTEMPTS:
                    raise WarehouseError(words_of(error)) from None
                time.sleep(_PAUSE_SECONDS * attempt)
            else:
                return

    def _values(self) -> list[str]:
        """Return what is written into the columns of the table, in their order; a user may have added some."""
        return [
            _quote(name) if name.lower() in COLUMNS else f"cast(null as {kind})"
            for name, kind in self._spark.table(self._table).dtypes
        ]

    def _sql(self, text: str, arguments: dict[str, Any] | None = None) -> list[Any]:
        try:
            with quietly():
                frame = self._spark.sql(text, args=arguments) if arguments else self._spark.sql(text)
                return list(frame.collect())
        except Exception as error:  # noqa: BLE001 - as above
            raise WarehouseError(words_of(error)) from None


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
