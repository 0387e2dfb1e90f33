import threading

import duckdb
import pytest

from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.duckdb.session import _WATCH_READS, DuckDBSession

#: A test of a machine that takes its time: an interrupt is looked for so often, twice a second in a run.
CHECKS = 2 * _WATCH_READS + 3


@pytest.fixture
def session() -> duckdb.DuckDBPyConnection:
    """A session with something of its own in it, as dbt's has."""
    connection = duckdb.connect()
    connection.execute("create temp table mine as select 42 as answer")
    connection.execute("set variable kept = 'yes'")
    return connection


def usable(session: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether the session still has what was its own, and takes statements."""
    return session.execute("select answer, getvariable('kept') from mine").fetchall() == [(42, "yes")]


def test_no_interrupt(session: duckdb.DuckDBPyConnection) -> None:
    """A run that nobody interrupts is not disturbed, however long it takes, and the session is usable afterwards."""
    with DuckDBSession(session).interrupts() as interrupts:
        for _ in range(CHECKS):
            interrupts.check()
    assert usable(session)


@pytest.mark.parametrize("before", [1, 2, _WATCH_READS - 1, _WATCH_READS, _WATCH_READS + 1, CHECKS])
def test_interrupt_is_seen_by_the_next_check(session: duckdb.DuckDBPyConnection, before: int) -> None:
    """Whenever dbt interrupts its session between two checks, the next one says so; the session stays usable."""
    with DuckDBSession(session).interrupts() as interrupts:
        for _ in range(before):
            interrupts.check()
        thread = threading.Thread(target=session.interrupt)  # as dbt does: from another thread
        thread.start()
        thread.join()
        with pytest.raises(WarehouseError, match="the run was interrupted"):
            interrupts.check()
    assert usable(session)


def test_store_can_be_written_meanwhile(session: duckdb.DuckDBPyConnection) -> None:
    """Watching holds up no commit of the store, which is written on another cursor."""
    warehouse = DuckDBSession(session)
    with warehouse.interrupts() as interrupts, warehouse.writer() as writer:
        writer.execute("create table store (number integer)")
        for number in range(10):
            interrupts.check()
            writer.execute(f"insert into store values ({number})")
        interrupts.check()
    assert session.execute("select count(*) from store").fetchall() == [(10,)]
