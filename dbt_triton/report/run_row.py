"""A row of the run log, as the report reads it: whatever is missing or no value of its type is None."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from dbt_triton.run_log import columns

#: What is larger is no count.
LARGEST = 2**63


@dataclass(frozen=True)
class RunRow:
    """One ML_PREDICT call of one build. Each attribute is the column of its name; times are UTC."""

    node: str = ""
    call: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    error: str = ""
    invocation_id: str = ""
    inference_model: str = ""
    endpoint: str = ""
    model_name: str = ""
    served_version: str = ""
    failed_query: str = ""
    rows: int | None = None
    distinct_rows: int | None = None
    reused_rows: int | None = None
    sent_rows: int | None = None
    failed_rows: int | None = None
    requests: int | None = None
    retries: int | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None
    requests_in_flight: int | None = None
    plan_seconds: float | None = None
    read_seconds: float | None = None
    wait_seconds: float | None = None
    write_seconds: float | None = None
    join_seconds: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    server_queue_seconds: float | None = None
    server_compute_seconds: float | None = None
    failed_by_reason: Mapping[str, int] | None = None
    predicted: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took, from its start to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)

    @property
    def has_succeeded(self) -> bool:
        """Whether the table was built."""
        return self.outcome == columns.SUCCEEDED

    @property
    def is_running(self) -> bool:
        """Whether it has begun, and not said how it ended."""
        return self.outcome == columns.RUNNING


def read_row(values: Mapping[str, Any]) -> RunRow:
    """Read a row, whoever wrote it: what is not as it should be counts as missing."""
    read: dict[str, Any] = {}
    for field in fields(RunRow):
        value = values.get(field.name)
        kind = str(field.type)
        if value is None:
            continue
        if kind == "str":
            read[field.name] = str(value)
        elif kind.startswith("datetime"):
            read[field.name] = _moment(value)
        elif kind.startswith("int"):
            number = _number(value)
            read[field.name] = None if number is None or number < 0 else int(number)
        elif kind.startswith("float"):
            number = _number(value)
            read[field.name] = None if number is None or number < 0 else number
        elif field.name == "failed_by_reason":
            read[field.name] = _reasons(value)
        else:
            read[field.name] = _profiles(value)
    read["call"] = read.get("call") or 1
    return RunRow(**read)


def _moment(value: Any) -> datetime | None:  # noqa: ANN401 - whatever JSON holds
    try:
        moment = datetime.fromisoformat(str(value).strip().replace(" UTC", ""))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # at the ends of time, another time zone is beyond them
        return None


def _number(value: Any) -> float | int | None:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, int):  # also a boolean; exact, however large
        return value if abs(value) < LARGEST else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and abs(number) < LARGEST else None


def _object(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _reasons(value: Any) -> Mapping[str, int]:  # noqa: ANN401 - whatever JSON holds
    counted = {str(reason): _number(rows) for reason, rows in _object(value).items()}
    return {reason: int(rows) for reason, rows in counted.items() if rows is not None and rows > 0}


def _profiles(value: Any) -> Mapping[str, Mapping[str, Any]]:  # noqa: ANN401 - whatever JSON holds
    return {str(column): profile for column, profile in _object(value).items() if isinstance(profile, Mapping)}
