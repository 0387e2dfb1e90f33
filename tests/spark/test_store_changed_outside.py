"""A prediction store that others have changed: what is not there any more is sent again, and what is foreign stays."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from support.waves import UPPER, Call, FakeTriton, define, texts

from dbt_triton.errors import DbtTritonError

_ROWS = 40


@pytest.fixture
def built(spark: Any, schema: str) -> Generator[tuple[Call, FakeTriton]]:  # noqa: ARG001 - where tables are
    """A call whose rows are all predicted, in this session."""
    fake = FakeTriton()
    with fake.serving() as url:
        model = define(UPPER, {"endpoint": url, "model-name": "m", "batch-size": "16"})
        call = Call(spark, "out", model, texts(spark, _ROWS))
        call.run()
        assert len(call.rows()) == _ROWS
        yield call, fake


@pytest.mark.parametrize("removed", ["a file", "a partition", "every file"])
def test_predictions_whose_files_are_gone_are_made_again(built: tuple[Call, FakeTriton], removed: str) -> None:
    """A session that has read the store before does not look for files that were removed, or replaced, since."""
    call, fake = built
    file = Path(unquote(urlparse(call.spark.table(call.store.relation).where("ml_kind = 'ok'").inputFiles()[0]).path))
    if removed == "a file":
        file.unlink()
    else:
        shutil.rmtree(file.parent if removed == "a partition" else file.parents[2])
    call.run()
    rows = call.rows()
    assert [row.upper for row in rows] == [row.text.upper() for row in rows]
    assert len(rows) == _ROWS
    assert set(fake.answered) == {row.text for row in rows}


def test_a_table_of_our_columns_without_partitions_is_no_store(built: tuple[Call, FakeTriton]) -> None:
    """It is refused before a row is sent, in words that say how to go on, and is not touched."""
    call, fake = built
    paid = len(fake.answered)
    copied = call.store.beside("__copy")
    call.spark.sql(f"create table {copied} using parquet as select * from {call.store.relation}")
    call.drop()
    call.spark.sql(f"alter table {copied} rename to {call.store.relation}")
    with pytest.raises(
        DbtTritonError, match="no prediction store: it is not partitioned by ml_fingerprint and ml_kind"
    ):
        call.run()
    assert len(fake.answered) == paid
    assert call.spark.table(call.store.relation).count() == _ROWS
