"""Steps on Spark from end to end, against a real server."""

from __future__ import annotations

from typing import Any

import pytest
from support.spark_steps_session import SparkSteps
from support.triton import Triton


@pytest.fixture
def steps(spark: Any, schema: str) -> SparkSteps:
    """The steps of models in a schema of the test's own."""
    return SparkSteps(spark, schema)


def test_two_statements(steps: SparkSteps, triton: Triton) -> None:
    """CREATE MODEL and ML_PREDICT give a table with the predictions, equal inputs sent once, NULL not at all."""
    steps.table("reviews", "select * from values (1, 'fine'), (2, 'dull'), (3, null), (4, 'fine') as t(id, review)")
    with triton.serving("upper") as upper:
        _two(steps, triton, upper)


def _two(steps: SparkSteps, triton: Triton, upper: str) -> None:
    steps.create_model(
        "upper_", "INPUT (`input` STRING) OUTPUT (`output` STRING)", {"endpoint": triton.url, "model-name": upper}
    )
    rows = steps.build(
        "out", "select id, output from ML_PREDICT(TABLE reviews, MODEL upper_, DESCRIPTOR(review))", ["upper_"]
    )
    assert sorted(rows) == [(1, "FINE"), (2, "DULL"), (3, None), (4, "FINE")]
    assert steps.figures["rows"] == 4
    assert steps.figures["rows_predicted"] == 2
    counted = steps.dry_run(
        "select id, output from ML_PREDICT(TABLE reviews, MODEL upper_, DESCRIPTOR(review))", ["upper_"]
    )
    assert counted["to_send"] == 2
    assert counted["requests"] >= 1


_MOMENT = "unix_micros(timestamp_ltz '2026-06-01 16:00:00Z')"  # noon in New York


@pytest.mark.parametrize("word", ["TIMESTAMP_LTZ", "TIMESTAMP_NTZ"])
def test_the_meaning_of_timestamp(steps: SparkSteps, triton: Triton, word: str) -> None:
    """What a session means by the word TIMESTAMP changes no moment, on the way there and on the way back."""
    columns = {
        "moment": "timestamp_ltz '2026-06-01 16:00:00Z'",
        "local": "timestamp_ntz '2026-06-01 12:00:00'",
        "text": "'2026-06-01 12:00:00'",
        "shifted": "'2026-06-01T18:00:00+02'",
        "named": "'2026-06-01 12:00:00 America/New_York'",
    }
    settings = {"spark.sql.timestampType": word, "spark.sql.session.timeZone": "America/New_York"}
    before = {name: steps.spark.conf.get(name) for name in settings}
    with triton.serving("identity_scalar") as served:
        try:
            for name, value in settings.items():
                steps.spark.conf.set(name, value)
            steps.table("moments", "select 1 as id, " + ", ".join(f"{sql} as {name}" for name, sql in columns.items()))
            steps.create_model(
                "same",
                "INPUT (in_int64 TIMESTAMP_LTZ, in_string TIMESTAMP_LTZ) "
                "OUTPUT (out_int64 TIMESTAMP_LTZ, out_string TIMESTAMP_LTZ)",
                {"endpoint": triton.url, "model-name": served},
            )
            for one, other in (("local", "named"), ("text", "shifted"), ("moment", "moment")):
                steps.build(
                    f"from_{one}",
                    f"select * from ML_PREDICT(TABLE moments, MODEL same, DESCRIPTOR({one}, {other}))",
                    ["same"],
                )
                found = steps.run(
                    f"select typeof(out_int64), unix_micros(out_int64) - {_MOMENT}, "
                    f"unix_micros(out_string) - {_MOMENT} from from_{one}"
                )
                assert found == [("timestamp", 0, 0)], (one, other)
        finally:
            for name, value in before.items():
                steps.spark.conf.set(name, value)


def test_partitions_without_a_metastore(steps: SparkSteps, triton: Triton) -> None:
    """A session in which Spark keeps no partitions is told so before a row is sent."""
    steps.table("reviews", "select 1 as id, 'fine' as review")
    call = "select id, output from ML_PREDICT(TABLE reviews, MODEL upper_, DESCRIPTOR(review))"
    setting = "spark.sql.hive.manageFilesourcePartitions"
    with triton.serving("upper") as upper:
        steps.create_model(
            "upper_", "INPUT (`input` STRING) OUTPUT (`output` STRING)", {"endpoint": triton.url, "model-name": upper}
        )
        steps.spark.conf.set(setting, "false")
        try:
            with pytest.raises(Exception, match=f"{setting}=false"):
                steps.build("out", call, ["upper_"])
        finally:
            steps.spark.conf.unset(setting)
        assert triton.counters(upper).requests == 0
        assert steps.build("out", call, ["upper_"]) == [(1, "FINE")]
