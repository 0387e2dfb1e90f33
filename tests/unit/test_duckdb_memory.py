"""DuckDB's memory while rows are predicted: half of its default where the user has set none, and then as before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_triton.warehouses.duckdb import memory
from dbt_triton.warehouses.duckdb.memory import size_in_bytes
from dbt_triton.warehouses.duckdb.session import DuckDBSession


@pytest.fixture(params=["file", "memory"])
def connection(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open a database in a file, and one in memory."""
    monkeypatch.chdir(tmp_path)  # a database in memory spills beside the working directory
    with duckdb.connect("a.duckdb" if request.param == "file" else ":memory:") as opened:
        yield opened


def limit(connection: Any) -> int:
    """Return the limit of a database in bytes."""
    return size_in_bytes(connection.execute("select current_setting('memory_limit')").fetchone()[0])


def test_the_limit_is_half_of_the_default_and_restored(connection: Any) -> None:
    """A build leaves more than half of the machine to others, and DuckDB is as it was after it."""
    before, session = limit(connection), DuckDBSession(connection.cursor())
    assert session.spare_memory()
    assert limit(connection) == pytest.approx(before / 2, rel=0.02)
    session.use_memory()
    assert limit(connection) == before


@pytest.mark.parametrize("written", ["1GB", "200GB"])
def test_a_limit_of_the_users_stays(connection: Any, written: str) -> None:
    """Whoever has set memory_limit gets just that."""
    connection.execute(f"set global memory_limit = '{written}'")
    before, session = limit(connection), DuckDBSession(connection.cursor())
    assert not session.spare_memory()
    assert limit(connection) == before
    session.use_memory()
    assert limit(connection) == before


def test_a_limit_that_is_set_meanwhile_stays(connection: Any) -> None:
    """A hook that sets memory_limit during a build is not undone."""
    session = DuckDBSession(connection.cursor())
    assert session.spare_memory()
    connection.execute("set global memory_limit = '1GB'")
    set_by_user = limit(connection)
    session.use_memory()
    assert limit(connection) == set_by_user


@pytest.mark.parametrize(
    "setting",
    [
        "temp_directory = ''",
        "temp_directory = 'not/there/yet'",  # DuckDB makes the last folder only
        "temp_directory = 'a file'",
        "max_temp_directory_size = '1MB'",
    ],
)
def test_without_room_to_spill_the_default_stays(connection: Any, setting: str) -> None:
    """Where DuckDB cannot put anything on disk, less memory would only make it fail."""
    Path("a file").touch()
    connection.execute(f"set global {setting}")
    before, session = limit(connection), DuckDBSession(connection.cursor())
    assert not session.spare_memory()
    assert limit(connection) == before


def test_the_last_of_eight_threads_restores_the_limit(connection: Any) -> None:
    """Models that dbt builds at once share the setting: it stays low until none of them needs it."""
    before = limit(connection)
    all_are_lower, seen = threading.Barrier(8), []

    def build(number: int) -> None:
        session = DuckDBSession(connection.cursor())
        assert session.spare_memory()
        all_are_lower.wait()
        for turn in range(8):
            if turn == number:
                seen.append(limit(connection))
                session.use_memory()
            all_are_lower.wait()

    threads = [threading.Thread(target=build, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 8
    assert max(seen) == pytest.approx(before / 2, rel=0.02)
    assert limit(connection) == before


def test_a_model_whose_table_failed_does_not_keep_the_limit_low(connection: Any) -> None:
    """The next predicting model of the same thread restores what the one before could not."""
    before, session = limit(connection), DuckDBSession(connection.cursor())
    assert session.spare_memory()  # and then the table of it could not be made
    assert session.spare_memory()
    session.use_memory()
    assert limit(connection) == before


def test_a_locked_configuration_is_left_alone(connection: Any) -> None:
    """Who locks DuckDB's settings predicts all the same, and what the transaction has done is not lost."""
    cursor = connection.cursor()
    before, session = limit(connection), DuckDBSession(cursor)
    connection.execute("set global lock_configuration = true")
    cursor.execute("begin")
    cursor.execute("create table made as select 1 as one")
    assert not session.spare_memory()
    with session.fewer_checkpoints():
        assert limit(connection) == before
    session.use_memory()
    cursor.execute("commit")
    assert connection.execute("from made").fetchall() == [(1,)]


def test_a_configuration_that_is_locked_meanwhile_does_not_fail_the_build(connection: Any) -> None:
    """A hook may lock the settings while the limit is low: it stays low then."""
    cursor = connection.cursor()
    session = DuckDBSession(cursor)
    assert session.spare_memory()
    connection.execute("set global lock_configuration = true")
    cursor.execute("begin")
    cursor.execute("create table made as select 1 as one")
    session.use_memory()
    cursor.execute("commit")
    assert connection.execute("from made").fetchall() == [(1,)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open a database in memory whose default is 100 MB, and which cannot spill, although it says that it can."""
    with duckdb.connect(config={"threads": 1, "memory_limit": "100MB"}) as connection:
        default = connection.execute("select current_setting('memory_limit')").fetchall()[0][0]
        monkeypatch.setattr(memory, "_default", lambda: default)
        monkeypatch.setattr(memory, "_can_spill", lambda *_: True)
        connection.execute("set temp_directory = ''")
        yield connection


#: Takes more than the half of 100 MB, and less than all of it.
_LARGE = "create table large as select range as i, hash(range)::varchar as s from range(1_800_000)"


def test_memory_that_cannot_be_freed_is_kept(small: Any) -> None:
    """Where more than the half is in use and cannot be written to disk, DuckDB refuses, and the build goes on."""
    before = limit(small)
    small.execute(_LARGE)
    assert not DuckDBSession(small.cursor()).spare_memory()
    assert limit(small) >= before


def test_the_restored_limit_is_more_than_words(small: Any) -> None:
    """DuckDB 1.4 and 1.5 say another limit after RESET than the one that they keep to."""
    session = DuckDBSession(small.cursor())
    assert session.spare_memory()
    with pytest.raises(duckdb.OutOfMemoryException):
        small.execute(_LARGE)
    session.use_memory()
    small.execute(_LARGE)
