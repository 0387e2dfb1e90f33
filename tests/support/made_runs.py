"""Rows of the run log, made up: whatever a warehouse may hold of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dbt_triton.report.read import RunLog, in_order
from dbt_triton.report.run_row import read_row
from dbt_triton.run_log.columns import COLUMNS

NOW = datetime(2026, 11, 26, 7, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&`{{ 7*7 }}"
RIGHT_TO_LEFT = "مراجعة إيجابية \u202eevil"
LONG = "a_very_long_name_" * 40
#: What JavaScript would set, if any of it ran.
HAS_RUN = "window.hasRun = true"
NASTY_NAMES = [
    HOSTILE,
    f"</td></style></title><script>{HAS_RUN}</script>",
    f"' onmouseover='{HAS_RUN}",
    RIGHT_TO_LEFT,
    LONG,
    "\u2028line\u2029 \x00\x1b[31m\r\n\tends",
    "",
    "日本語のラベル",
    "👩🏽‍🚀" * 30,
]


def run(**values: Any) -> dict[str, Any]:
    """Return a run that went well, but for what is said."""
    start = values.pop("start", NOW - timedelta(hours=5))
    row = {
        "run_id": "r",
        "invocation_id": f"i{start}",
        "node": "model.shop.predicted",
        "call": 1,
        "inference_model": "classifier",
        "endpoint": "http://localhost:8000",
        "model_name": "text-classification",
        "served_version": "1",
        "rows": 1000,
        "distinct_rows": 950,
        "reused_rows": 400,
        "sent_rows": 550,
        "failed_rows": 0,
        "failed_by_reason": "{}",
        "requests": 9,
        "retries": 0,
        "bytes_sent": 50_000,
        "bytes_received": 5_000,
        "plan_seconds": 0.2,
        "read_seconds": 0.1,
        "wait_seconds": 2.0,
        "write_seconds": 0.2,
        "join_seconds": 0.3,
        "latency_p50_ms": 12.0,
        "latency_p95_ms": 31.0,
        "latency_p99_ms": 55.0,
        "server_queue_seconds": 0.4,
        "server_compute_seconds": 5.0,
        "requests_in_flight": 4,
        "predicted": json.dumps({"output": classes(positive=600, negative=350)}),
        "started_at": f"{start:%Y-%m-%d %H:%M:%S.%f}",
        "ended_at": f"{start + timedelta(seconds=3):%Y-%m-%d %H:%M:%S.%f}",
        "outcome": "succeeded",
    }
    return row | values


def nightly(nights: int, **values: Any) -> list[dict[str, Any]]:
    """Return a run for each of the last nights, the oldest first."""
    return [run(start=NOW - timedelta(hours=5, days=night), **values) for night in reversed(range(nights))]


def classes(nulls: int = 0, other: int = 0, counts: Mapping[str, int] | None = None, **more: int) -> dict[str, Any]:
    """Return a profile of classes."""
    counted = {**(counts or {}), **more}
    rows = sum(counted.values()) + nulls + other
    return {"kind": "classes", "rows": rows, "nulls": nulls, "counts": counted, "other": other}


def numbers(edges: Sequence[float], rows: int = 1000) -> dict[str, Any]:
    """Return a profile of numbers whose edges are these, evenly filled."""
    return {"kind": "numbers", "rows": rows, "nulls": 0, "edges": list(edges), "shares": [0.05] * 20}


def log_of(rows: Sequence[Mapping[str, Any]], **values: Any) -> RunLog:
    """Return what is read of a table with these rows."""
    read = in_order([read_row(row) for row in rows])
    return replace(RunLog(read, "shop", "dev", "w.main.ml_predict_runs", NOW - timedelta(days=30)), **values)


def nasty() -> list[dict[str, Any]]:
    """Return runs with everything that a page could stumble over."""
    rows = []
    for number, name in enumerate(NASTY_NAMES):
        node = f"model.shop.{name}"
        for night in range(3):
            start = NOW - timedelta(days=night, hours=number + 1)
            last = night == 0
            rows.append(
                run(
                    start=start,
                    node=node,
                    call=number % 3 + 1,
                    inference_model=name,
                    endpoint=name,
                    model_name=name,
                    served_version=name,
                    outcome=("failed", "succeeded", name, "killed", "running", "interrupted")[number % 6],
                    error=name,
                    failed_rows=5 if last else 0,
                    failed_by_reason=json.dumps({name: 3, "timeout": 2}),
                    failed_query=f"select '{name}'\nfrom t",
                    predicted=json.dumps(
                        {
                            name: classes(
                                counts={other: 10 + place * (night + 1) for place, other in enumerate(NASTY_NAMES)}
                            ),
                            "many": classes(
                                nulls=7, other=900, counts={f"class {n}": 1000 // n for n in range(1, 301)}
                            ),
                            "score": numbers([n * (1 + night) for n in range(21)]),
                            "vector": {"kind": "other", "rows": 10, "nulls": 1},
                        }
                    ),
                )
            )
    rows += [dict.fromkeys(COLUMNS), {}, {"node": None, "started_at": "2026-11-20 01:00:00"}]
    empty = dict.fromkeys(COLUMNS) | {"node": "model.shop.all_null", "started_at": "2026-11-20 01:00:00"}
    rows += [empty, empty | {"started_at": "2026-11-21 01:00:00", "outcome": "succeeded"}]
    figures = [name for name, kind in COLUMNS.items() if kind in {"BIGINT", "DOUBLE", "INTEGER"} and name != "call"]
    for word, value in (
        ("huge", 2**62),
        ("zero", 0),
        ("negative", -5),
        ("texts", "many"),
        ("nan", "NaN"),
        ("tiny", 1e-9),
    ):
        for night in range(3):
            start = NOW - timedelta(days=night, hours=2)
            rows.append(run(start=start, node=f"model.shop.{word}", **dict.fromkeys(figures, value)))
    wrong: tuple[str, ...] = (
        "{",
        "[]",
        "null",
        '"a"',
        '{"a": null}',
        '{"a": {"kind": "classes"}}',
        '{"a": {"kind": "numbers", "edges": [1, "x"]}}',
    )
    wrong += (
        '{"a": {"kind": "classes", "rows": "x", "counts": {"b": "many", "c": -3}, "other": {}}}',
        '{"a": {"kind": 7}, "b": {"kind": "numbers", "rows": 5, "edges": [], "shares": [null]}}',
        json.dumps({"a": numbers([1e308] * 21), "b": numbers([-1e308, *[0.0] * 19, 1e308]), "c": numbers([5.0] * 21)}),
    )
    for number, text in enumerate(wrong):
        start = NOW - timedelta(days=1, minutes=number)
        rows.append(run(start=start, node="model.shop.malformed", predicted=text, failed_by_reason=text))
    return rows
