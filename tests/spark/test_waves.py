"""The store in waves on a real Triton."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from support.triton import Triton
from support.waves import UPPER, Call, define, texts

from dbt_triton.errors import DbtTritonError
from dbt_triton.warehouses.spark.run_names import RunName
from dbt_triton.warehouses.spark.store_lock import StoreLock

pytestmark = pytest.mark.usefixtures("schema")


@pytest.fixture(scope="module")
def upper(triton: Triton, serve: Callable[[str], str]) -> tuple[str, str]:
    """An endpoint, and a model that makes texts upper case."""
    return triton.url, serve("upper_plain")


def _call(spark: Any, upper: tuple[str, str], source: str, name: str = "out", **options: str) -> Call:
    written = {key.replace("_", "-"): value for key, value in options.items()}
    return Call(spark, name, define(UPPER, {"endpoint": upper[0], "model-name": upper[1]} | written), source)


@pytest.mark.parametrize("wave_rows", [None, 500])
def test_one_inference_for_each_distinct_input(
    wave_rows: int | None, spark: Any, triton: Triton, upper: tuple[str, str]
) -> None:
    """Every row has its prediction, and each distinct input is one inference, in one wave or in several."""
    call = _call(spark, upper, texts(spark, 3000, distinct=2500))
    before = triton.counters(upper[1])
    stats = call.run(wave_rows=wave_rows)
    counted = triton.counters(upper[1]) - before
    assert (stats.rows, stats.rows_failed, counted.rows) == (2500, 0, 2500)
    assert stats.requests == counted.requests
    rows = call.rows()
    assert len(rows) == 3000
    assert all(row.upper == row.text.upper() and row.ml_error is None for row in rows)
    assert call.stored() == {"ok": 2500}
    tables = [row.tableName for row in spark.sql("show tables").collect() if not row.isTemporary]
    assert tables == ["out__ml_predictions"]


def test_only_what_is_new_is_sent_again(spark: Any, triton: Triton, upper: tuple[str, str]) -> None:
    """A second run over more rows sends the new ones only."""
    _call(spark, upper, texts(spark, 1000)).run()
    call = _call(spark, upper, texts(spark, 1500))
    before = triton.counters(upper[1])
    stats = call.run()
    assert call.known == 1000
    assert (stats.rows, (triton.counters(upper[1]) - before).rows) == (500, 500)
    call.store.check_keys("out")
    assert not call.store.has_doubles
    assert len(call.rows()) == 1500
    assert _call(spark, upper, texts(spark, 1500)).run().requests == 0


def test_other_fingerprints_are_forgotten(spark: Any, upper: tuple[str, str]) -> None:
    """Predictions of an earlier version of the model are used no more, and dropped when the build is done."""
    source = texts(spark, 100)
    _call(spark, upper, source).run()
    call = _call(spark, upper, source, cache_version="2")
    assert call.run().rows == 100
    assert call.stored() == {"ok": 200}
    for statement in call.store.forget_others():
        spark.sql(statement)
    assert call.stored() == {"ok": 100}
    assert all(row.upper == row.text.upper() for row in call.rows())


def test_files_are_made_few(spark: Any, upper: tuple[str, str]) -> None:
    """Compaction leaves every prediction, in one file."""
    call = _call(spark, upper, texts(spark, 1000))
    call.run(wave_rows=200, tasks=2)
    assert call.files() > 8
    other = _call(spark, upper, texts(spark, 10, name="few"), cache_version="other")
    other.run()
    call.store.compact()
    call.store.has_doubles = False
    assert call.stored() == {"ok": 1010}
    assert sorted(row.upper for row in call.rows()) == sorted(f"TEXT {number}" for number in range(1000))
    assert all(row.upper for row in other.rows())
    assert call.files() <= 3


def test_another_table_is_no_store(spark: Any, upper: tuple[str, str]) -> None:
    """A table or a view of the store's name is never touched."""
    call = _call(spark, upper, texts(spark, 10))
    spark.sql("create table out__ml_predictions using parquet as select 1 as a")
    with pytest.raises(DbtTritonError, match="it has no ml_key"):
        call.run()
    assert spark.table("out__ml_predictions").collect()[0].a == 1
    spark.sql("drop table out__ml_predictions")
    spark.sql("create view out__ml_predictions as select * from values (1) as t(a)")
    with pytest.raises(DbtTritonError, match="no prediction store"):
        call.run()


def test_a_store_of_other_columns_is_made_anew(spark: Any, upper: tuple[str, str]) -> None:
    """Where OUTPUT has changed, the store is made anew."""
    source = texts(spark, 100)
    _call(spark, upper, source).run()
    model = define("INPUT (text STRING) OUTPUT (louder STRING)", {"endpoint": upper[0], "model-name": upper[1]})
    call = Call(spark, "out", model, source)
    assert call.run().rows == 100
    assert {row.louder for row in call.rows()} == {f"TEXT {number}" for number in range(100)}


def test_two_predictions_of_one_input(spark: Any, upper: tuple[str, str]) -> None:
    """Where a key is in the store twice, a table gets no row twice; where the two differ, it is an error."""
    call = _call(spark, upper, texts(spark, 100))
    call.run()
    spark.sql(f"insert into {call.store.relation} select * from {call.store.relation}")
    call.store.has_doubles = True
    call.store.check_keys("out")
    assert call.store.has_doubles
    assert len(call.rows()) == 100
    key = hashlib.sha256(b"6:text 1").digest()[:16].hex()
    spark.sql(
        f"insert into {call.store.relation} select ml_key, 'other', ml_error, ml_reason, ml_http_status, ml_attempts, "
        f"ml_fingerprint, ml_kind from {call.store.relation} where ml_key = x'{key}' limit 1"
    )
    with pytest.raises(DbtTritonError, match="more than one prediction for an input, and they differ"):
        call.store.check_keys("out")
    assert len(call.rows()) == 100


def test_one_run_at_a_time(spark: Any, upper: tuple[str, str]) -> None:
    """While a run fills a store, another one says so; a dead one's lock is taken over."""
    call = _call(spark, upper, texts(spark, 100))
    living = RunName.new()
    StoreLock(spark, call.store, living).take()
    with pytest.raises(DbtTritonError, match="is filling the prediction store"):
        call.run()
    living.end()
    assert call.run().rows == 100


def test_leftovers_of_dead_runs_are_dropped(spark: Any, upper: tuple[str, str]) -> None:
    """Tables and partitions that killed runs have left go away at the next start; those of living ones stay."""
    call = _call(spark, upper, texts(spark, 100))
    call.run()
    living, dead = RunName.new(), RunName.new()
    for run in (living, dead):
        spark.sql(f"create table {call.store.pending_table(run)} (a int) using parquet")
        spark.sql(
            f"insert into {call.store.relation} (ml_error, ml_fingerprint, ml_kind) "
            f"select '', '{call.store.fingerprint}', 'figures_{run}'"
        )
    dead.end()
    assert call.run().rows == 0
    tables = {row.tableName for row in spark.sql("show tables").collect() if not row.isTemporary}
    assert tables == {"out__ml_predictions", f"out__ml_predictions__pending_{living}"}
    assert call.stored() == {"ok": 100, f"figures_{living}": 1}
    living.end()
