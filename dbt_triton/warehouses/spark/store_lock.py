"""The lock of a prediction store: two runs that fill one table at once would spoil each other's files.

The files of a job that appends to a table of files wait in a folder that the first job to end removes. So one run at a
time fills a store. The lock is a table, since making one is the only thing that exactly one of two sessions can do
in any catalog of Spark. A run that was killed leaves it; the next one sees that its process is gone.
"""

from __future__ import annotations

from typing import Any

from dbt_triton.errors import DbtTritonError
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.store import SparkStore, table_properties
from dbt_triton.warehouses.spark.table_formats import drop_statement

_OWNER = "dbt_triton.run"
_ATTEMPTS = 3


class StoreLock:
    """Held by the run that fills a store.

    Args:
        spark: the session.
        store: the store.
        run: the name of the run.
    """

    def __init__(self, spark: Any, store: SparkStore, run: RunName) -> None:
        self._spark = spark
        self._store = store
        self._run = run

    def take(self) -> None:
        """Take the lock, also from a run that is dead.

        Raises:
            DbtTritonError: another run holds it.
        """
        properties = table_properties({_OWNER: str(self._run)})
        create = (
            f"create table {self._store.lock_table} (held BOOLEAN) using {self._store.file_format} "
            f"tblproperties ({properties})"
        )
        for _ in range(_ATTEMPTS):
            try:
                self._sql(create)
            except Exception as error:
                if "ALREADY_EXISTS" not in str(error):
                    raise
                owner = self._owner()
                if owner is not None and not owner.is_dead:
                    raise DbtTritonError(self._held(owner)) from error
                self.release()
            else:
                self.check()
                return
        raise DbtTritonError(self._held(self._owner()))

    def check(self) -> None:
        """Check that the lock is still ours.

        Raises:
            DbtTritonError: another run has taken it.
        """
        owner = self._owner()
        if owner != self._run:
            raise DbtTritonError(self._held(owner))

    def release(self) -> None:
        """Give the lock back."""
        self._sql(self.release_statement)

    @property
    def release_statement(self) -> str:
        """The statement that gives the lock back."""
        return drop_statement(self._spark, self._store.lock_table)

    def _owner(self) -> RunName | None:
        try:
            rows = self._sql(f"show tblproperties {self._store.lock_table}")
        except Exception:  # noqa: BLE001 - it is gone by now
            return None
        return next((RunName.within(row[1]) for row in rows if row[0] == _OWNER), None)

    def _held(self, owner: RunName | None) -> str:
        who = "another run" if owner is None else f"another run (process {owner.pid}, {owner})"
        return (
            f"{who} is filling the prediction store {self._store.relation}. Wait until it is done; two runs of one "
            f"model at once would pay twice for each row. If it is dead, `drop table {self._store.lock_table}`"
        )

    def _sql(self, statement: str) -> list[Any]:
        return list(self._spark.sql(statement).collect())
