"""What the run log is made of: latencies, profiles, servers' statistics, and whose a row is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.client.latencies import Latencies
from dbt_triton.client.statistics import counts_of
from dbt_triton.run_log import columns
from dbt_triton.run_log.processes import begin, end, is_gone, this_host, this_process
from dbt_triton.run_log.profile import profile, profiles
from dbt_triton.step.run_log import RunLog
from dbt_triton.step.run_outcomes import first_line, of_dbt
from dbt_triton.warehouses.run_log import CORE, missing, refusal, server_seconds


@given(st.lists(st.floats(1e-4, 3600), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_latencies_are_right_within_three_percent(seconds: list[float], share: float) -> None:
    """A quantile of a histogram is that of the attempts, also where it was put together from several, as JSON."""
    whole, parts = Latencies(), [Latencies(), Latencies()]
    for place, one in enumerate(seconds):
        parts[place % 2].add(one)
    for part in parts:
        whole += Latencies.from_json(json.loads(json.dumps(part.to_json())))
    assert whole.count == len(seconds)
    wanted = float(np.quantile(seconds, share, method="inverted_cdf"))
    assert whole.quantile(share) == pytest.approx(wanted, rel=0.031)


def test_latencies_of_nothing_and_of_extremes() -> None:
    """Without an attempt there is no latency; what is shorter or longer than anything real is counted all the same."""
    latencies = Latencies()
    assert latencies.quantile(0.5) is None
    for seconds in (0.0, 1e-9, 1e9):
        latencies.add(seconds)
    assert latencies.count == 3
    assert latencies + Latencies() == latencies


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array(["a", "b", "a", None]), {"kind": "classes", "counts": {"a": 2, "b": 1}, "other": 0, "nulls": 1}),
        (pa.array([True, False, True]), {"kind": "classes", "counts": {"true": 2, "false": 1}, "other": 0}),
        (pa.array([3, 3, 1], pa.int8()), {"kind": "classes", "counts": {"3": 2, "1": 1}, "other": 0}),
        (pa.array([None, None], pa.string()), {"kind": "classes", "counts": {}, "other": 0, "nulls": 2}),
        (pa.array([None], pa.float32()), {"kind": "other", "nulls": 1}),
        (pa.array([[1.0], [2.0]]), {"kind": "other"}),
        (pa.array([b"x", b"y"]), {"kind": "other"}),
        (pa.array([f"text {place}" for place in range(100)]), {"kind": "other"}),
        (pa.array([0, 1], pa.timestamp("us")), {"kind": "other"}),
        (pa.array([], pa.string()), {"kind": "classes", "counts": {}, "other": 0}),
        (pa.array([], pa.int32()), {"kind": "other"}),
    ],
)
def test_kinds_of_profiles(values: pa.Array, wanted: dict[str, Any]) -> None:
    """Texts, booleans and few integers are classes; arrays, bytes, times and texts that all differ are nothing."""
    assert profile(values) == {"rows": len(values), "nulls": 0, **wanted}


def test_many_classes() -> None:
    """The most frequent classes are counted by name, and all others together; a long one is cut."""
    texts = [f"class {number}" for number in range(60) for _ in range(100 - number)] + ["x" * 500] * 200
    found = profile(pa.chunked_array([pa.array(texts)]))
    assert len(found["counts"]) == columns.TOP_CLASSES
    assert next(iter(found["counts"])) == "x" * 100 + "…"
    assert sum(found["counts"].values()) + found["other"] == found["rows"] == len(texts)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=31, max_size=300))
def test_numbers(numbers: list[float]) -> None:
    """The edges of numbers do not fall, the shares between them are all rows, and the ends are the extremes."""
    found = profile(pa.array([*numbers, float("nan"), float("inf"), None], pa.float32()))
    assert (found["kind"], found["rows"], found["nulls"], found["not_finite"]) == (
        "numbers",
        len(numbers) + 3,
        1,
        2,
    )
    assert len(found["edges"]) == columns.SHARES + 1 == len(found["shares"]) + 1
    assert found["edges"] == sorted(found["edges"])
    assert sum(found["shares"]) == pytest.approx(1, abs=1e-4)
    assert found["edges"][0] == pytest.approx(min(numbers), rel=1e-6, abs=1e-12)
    assert found["edges"][-1] == pytest.approx(max(numbers), rel=1e-6, abs=1e-12)
    json.dumps(found, allow_nan=False)


def test_numbers_of_other_types() -> None:
    """Integers of many values and decimals are numbers; columns are told apart by their names."""
    found = profiles(
        {"n": pa.array(range(1000)), "d": pa.array([Decimal("1.50"), Decimal("2.50")]), "nan": pa.array([float("nan")])}
    )
    assert found["n"]["edges"][10] == pytest.approx(500, abs=1)
    assert found["n"]["shares"] == pytest.approx([0.05] * 20, abs=0.002)
    assert found["d"]["kind"] == "numbers"
    assert found["nan"] == {"kind": "numbers", "rows": 1, "nulls": 0, "edges": [], "shares": [], "not_finite": 1}


def test_whose_a_row_is() -> None:
    """A row is given up only where nobody can end it: its process is gone, or DuckDB's file is ours alone."""
    begin("mine")
    try:
        assert not is_gone(this_process(), "mine", alone=True)
        assert is_gone(this_process(), "another of mine", alone=False)
        assert is_gone("elsewhere_1_1", "x", alone=True)
        assert not is_gone("elsewhere_1_1", "x", alone=False)
        assert not is_gone(None, "x", alone=False)
        assert not is_gone("nonsense", "x", alone=False)
        for number in ("\N{SUPERSCRIPT TWO}", "9" * 30, "99999999999", "0", "-1", "\N{ARABIC-INDIC DIGIT THREE}"):
            assert not is_gone(f"{this_host()}_{number}_1", "x", alone=False), number
    finally:
        end("mine")
    assert is_gone(this_process(), "mine", alone=False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        named = f"{this_host()}_{other.pid}_"
        assert not is_gone(named, "x", alone=False)
        assert is_gone(f"{named}1", "x", alone=False), "the number belongs to another process by now"
        other.kill()
    assert is_gone(named, "x", alone=False)
    assert this_process().split("_")[1] == str(os.getpid())


def test_what_is_a_run_log() -> None:
    """An older log lacks columns, and gets them; what lacks the ones that make a log is something else."""
    assert refusal(list(columns.COLUMNS)) is None
    assert refusal([*map(str.upper, CORE), "note"]) is None
    assert "run_id" in str(refusal(["mine", *CORE[1:]]))
    assert missing(list(columns.COLUMNS)) == {}
    assert list(missing(CORE)) == [name for name in columns.COLUMNS if name not in CORE]


def test_servers_time() -> None:
    """The seconds of two answers are told apart; a server that was started anew meanwhile says nothing usable."""
    kinds = ("queue", "compute_input", "compute_infer", "compute_output")

    def answer(seconds: int) -> dict[str, Any]:
        stats = {kind: {"count": seconds, "ns": seconds * 10**9} for kind in kinds}
        return {"model_stats": [{"version": "1", "inference_count": 1, "inference_stats": stats}]}

    before, after = counts_of(answer(2), "1"), counts_of(answer(5), "1")
    assert server_seconds(before, after) == (3.0, 9.0)
    assert server_seconds(after, before) is None
    assert server_seconds(None, after) is None
    assert counts_of(answer(1), "2") is None


@pytest.mark.parametrize("figure", [-1, 2**64, 0.5, "7", True, [1], float("nan")])
def test_statistics_that_are_none(figure: Any) -> None:
    """Where a server answers with what is no count, it says nothing, rather than a wrong time."""
    stats = {"queue": {"count": 1, "ns": figure}}
    assert counts_of({"model_stats": [{"version": "1", "inference_count": 1, "inference_stats": stats}]}, "1") is None
    assert counts_of({"model_stats": [{"version": "1", "inference_count": figure}]}, "1") is None
    assert counts_of({"model_stats": [{"version": "1", "inference_count": 1}]}, "1") is not None


@pytest.mark.parametrize(
    ("status", "message", "wanted"),
    [
        ("success", "ML_PREDICT 3 rows", ("succeeded", None)),
        ("error", "Database Error in model m (m.sql)\n  Binder Error: x\n  LINE 1", ("failed", "Binder Error: x")),
        ("error", "Runtime Error in model m (models/m.sql)\n  Runtime Error\n    [X] y", ("failed", "[X] y")),
        ("error", "Runtime Error in model m (m.sql)\n  INTERRUPT Error: x", ("interrupted", "INTERRUPT Error: x")),
        ("error", "", ("failed", "error")),
        (
            "error",
            (
                "Runtime Error in model m (m.py)\n  Python model failed:\n  Traceback (most recent call last):\n"
                "    x = y\n  KeyError: 'z'\n\n  The above exception was the direct cause of …\n"
                "  dbt_triton.errors.DbtTritonError: why"
            ),
            ("failed", "dbt_triton.errors.DbtTritonError: why"),
        ),
        ("error", "Exception on worker thread. Compilation Error in model m (m.py)\n  why", ("failed", "why")),
    ],
)
def test_wordsof_dbt(status: str, message: str, wanted: tuple[str, str | None]) -> None:
    """What dbt says of a node becomes an outcome, and the first line that says something."""
    assert of_dbt(status, message) == wanted


def test_first_line_of_an_error() -> None:
    """One line says why, also where problems follow one a line."""
    assert first_line(ValueError("ML_PREDICT:\n  - line 1: no x\n  - more")) == "ML_PREDICT: line 1: no x"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_variables_that_are_numbers() -> None:
    """A variable of the command line is a number as YAML reads it; names are texts all the same."""
    said = {"runs": {"database": 7, "schema": 2026, "identifier": 5}}
    log = RunLog.of_step(said, cast("Any", object()))
    assert log._place == ("7", "2026", "5")
