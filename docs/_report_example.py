"""Make docs/report-example.html, the example of docs/report.md: `python docs/_report_example.py`.

The history is made up: a month of three models, always the same, so that the page is always the same, too. Nothing
of it was measured.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dbt_triton.report.page import page
from dbt_triton.report.read import RunLog, in_order
from dbt_triton.report.run_row import read_row

FILE = Path(__file__).parent / "report-example.html"
NIGHTS = 30
FIRST_NIGHT = datetime(2026, 10, 28, 2, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 26, 7, 30, tzinfo=UTC)


def history() -> list[dict[str, Any]]:
    """Return the rows of the table, made up."""
    rows = []
    chance = random.Random(14)  # noqa: S311 - no secret
    for night in range(NIGHTS):
        start = FIRST_NIGHT + timedelta(days=night, seconds=chance.randrange(90))
        invocation = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        for make in (_reviews, _tickets, _prices):
            row = make(night, start, chance)
            start += timedelta(seconds=sum(row[part] or 0 for part in _PARTS) + 2)
            rows.append(row | {"invocation_id": invocation, "run_id": str(uuid.UUID(int=chance.getrandbits(128)))})
    return rows


_PARTS = ("plan_seconds", "read_seconds", "wait_seconds", "write_seconds", "join_seconds")


def _row(  # noqa: PLR0913 - figures by name
    node: str, start: datetime, chance: random.Random, *, rows: int, sent: int, rate: float, p50: float
) -> dict[str, Any]:
    """Return a run that went well, with figures that fit one another."""
    distinct = int(rows * 0.94)
    requests = max(sent // 64, 1)
    wait = sent / rate * chance.uniform(0.88, 1.15)
    parts = dict(zip(_PARTS, (0.4, rows / 60_000, wait, 0.3 + sent / 20_000, 0.5 + rows / 90_000), strict=True))
    latency = p50 * chance.uniform(0.93, 1.07)
    end = start + timedelta(seconds=sum(parts.values()))
    return {
        "node": f"model.shop.{node}",
        "call": 1,
        "endpoint": "http://triton.example:8000/v2/models",
        "served_version": "1",
        "rows": rows,
        "distinct_rows": distinct,
        "reused_rows": distinct - sent,
        "sent_rows": sent,
        "failed_rows": 0,
        "failed_by_reason": "{}",
        "requests": requests,
        "retries": 1 if chance.random() < 0.1 else 0,
        "bytes_sent": sent * 410,
        "bytes_received": sent * 38,
        **{key: round(value, 3) for key, value in parts.items()},
        "latency_p50_ms": round(latency, 2),
        "latency_p95_ms": round(latency * chance.uniform(1.7, 2.1), 2),
        "latency_p99_ms": round(latency * chance.uniform(2.6, 3.6), 2),
        "server_queue_seconds": round(wait * 0.3, 2),
        "server_compute_seconds": round(wait * 3.1, 2),
        "requests_in_flight": 8,
        "started_at": f"{start:%Y-%m-%d %H:%M:%S}",
        "ended_at": f"{end:%Y-%m-%d %H:%M:%S}",
        "outcome": "succeeded",
    }


def _reviews(night: int, start: datetime, chance: random.Random) -> dict[str, Any]:
    """Sentiments, with a store that is kept: only new reviews are sent. The last night a server is away."""
    rows = 182_000 + night * 2_400
    sent = 150_000 if night == 0 else int(2_300 * chance.uniform(0.8, 1.25))
    row = _row("classified_reviews", start, chance, rows=rows, sent=sent, rate=2_600, p50=24)
    row |= {"inference_model": "review_classifier", "model_name": "movie-review-sentiment"}
    shares = {"positive": 0.55, "negative": 0.33, "neutral": 0.12}
    row["predicted"] = json.dumps({"predicted_sentiment": _classes(shares, rows, chance)})
    if night in {11, 12}:
        row |= {"latency_p95_ms": 310.4, "latency_p99_ms": 912.0, "retries": 41 + night}
    if night == NIGHTS - 1:
        row |= {
            "outcome": "failed",
            "failed_rows": 214,
            "failed_by_reason": json.dumps({"timeout": 192, "connection": 22}),
            "failed_query": 'select "user_review", "error_reason"\n'
            'from "shop"."main"."classified_reviews__ml_predictions"\n'
            'where "error_reason" is not null',
            "error": "214 of 2,150 rows failed: 192 timeout, no answer of http://triton.example:8000 within 30 s; "
            "22 connection",
            "retries": 642,
            "wait_seconds": 131.0,
            "join_seconds": None,
            "ended_at": f"{start + timedelta(seconds=136):%Y-%m-%d %H:%M:%S}",
            "predicted": None,
            "latency_p95_ms": 30_000.0,
            "latency_p99_ms": 30_000.0,
        }
    return row


def _tickets(night: int, start: datetime, chance: random.Random) -> dict[str, Any]:
    """Topics of tickets: from one night on, a new version of the model sees others. Some rows are refused."""
    rows = int(8_200 * chance.uniform(0.75, 1.3))
    row = _row("routed_tickets", start, chance, rows=rows, sent=int(rows * 0.94), rate=310, p50=61)
    is_new = night >= NIGHTS - 1
    shares = (
        {"billing": 0.22, "delivery": 0.18, "login": 0.12, "refund": 0.27, "cancellation": 0.11, "other": 0.1}
        if is_new
        else {"billing": 0.31, "delivery": 0.27, "login": 0.17, "refund": 0.13, "other": 0.12}
    )
    refused = 3 + night % 4 if night > 19 and not is_new else 0
    return row | {
        "inference_model": "ticket_router",
        "model_name": "ticket-topics",
        "served_version": "4" if is_new else "3",
        "failed_rows": refused,
        "failed_by_reason": json.dumps({"refused": refused} if refused else {}),
        "predicted": json.dumps(
            {
                "topic": _classes(shares, rows, chance, nulls=refused),
                "urgent": _classes({"false": 0.9, "true": 0.1}, rows, chance),
            }
        ),
    }


def _prices(night: int, start: datetime, chance: random.Random) -> dict[str, Any]:
    """Prices, which rise slowly. One night the process is killed."""
    rows = int(41_000 * chance.uniform(0.95, 1.05))
    row = _row("estimated_prices", start, chance, rows=rows, sent=int(rows * 0.6), rate=9_000, p50=6)
    row |= {"inference_model": "price_estimator", "model_name": "price-forest"}
    row["predicted"] = json.dumps({"price": _numbers(48 + night * 0.12, 0.62, rows, chance)})
    if night == 16:
        row |= {"outcome": "killed", "ended_at": None, "join_seconds": None, "predicted": None}
    return row


def _classes(shares: dict[str, float], rows: int, chance: random.Random, nulls: int = 0) -> dict[str, Any]:
    counts = {name: round((rows - nulls) * share * chance.uniform(0.94, 1.06)) for name, share in shares.items()}
    return {"kind": "classes", "rows": sum(counts.values()) + nulls, "nulls": nulls, "counts": counts, "other": 0}


def _numbers(middle: float, spread: float, rows: int, chance: random.Random) -> dict[str, Any]:
    """Return the quantiles of a lognormal distribution."""
    points: Sequence[float] = (-3.6, -1.64, -1.28, -1.04, -0.84, -0.67, -0.52, -0.39, -0.25, -0.13, 0)
    normal = [*points, *(-point for point in reversed(points[:-1]))]
    edges = [round(middle * math.exp(spread * point) * chance.uniform(0.99, 1.01), 2) for point in normal]
    return {"kind": "numbers", "rows": rows, "nulls": 0, "edges": sorted(edges), "shares": [0.05] * 20}


def example() -> str:
    """Return the page."""
    rows = in_order([read_row(row) for row in history()])
    return page(RunLog(rows, "shop", "prod", "shop.main.ml_predict_runs", FIRST_NIGHT), NOW).html


if __name__ == "__main__":
    FILE.write_text(example(), encoding="utf-8")
