"""The columns of the run log, ``ml_predict_runs``: their names, types and units, and the words of `outcome`.

This module is plain Python and imports nothing: whatever reads the table may import it.
"""

from __future__ import annotations

#: What the table is called, unless the variable ``dbt_triton_runs_name`` says otherwise.
DEFAULT_NAME = "ml_predict_runs"

#: Every column, in order, with its type in DuckDB's words. Texts that are JSON are so; see docs/runs.md.
COLUMNS: dict[str, str] = {
    "run_id": "VARCHAR",
    "invocation_id": "VARCHAR",
    "node": "VARCHAR",
    "call": "INTEGER",
    "inference_model": "VARCHAR",
    "endpoint": "VARCHAR",
    "model_name": "VARCHAR",
    "served_version": "VARCHAR",
    "fingerprint": "VARCHAR",
    "rows": "BIGINT",
    "distinct_rows": "BIGINT",
    "reused_rows": "BIGINT",
    "sent_rows": "BIGINT",
    "failed_rows": "BIGINT",
    "failed_by_reason": "VARCHAR",
    "failed_query": "VARCHAR",
    "requests": "BIGINT",
    "retries": "BIGINT",
    "bytes_sent": "BIGINT",
    "bytes_received": "BIGINT",
    "plan_seconds": "DOUBLE",
    "read_seconds": "DOUBLE",
    "wait_seconds": "DOUBLE",
    "write_seconds": "DOUBLE",
    "join_seconds": "DOUBLE",
    "latency_p50_ms": "DOUBLE",
    "latency_p95_ms": "DOUBLE",
    "latency_p99_ms": "DOUBLE",
    "server_queue_seconds": "DOUBLE",
    "server_compute_seconds": "DOUBLE",
    "requests_in_flight": "INTEGER",
    "predicted": "VARCHAR",
    "started_at": "TIMESTAMP",
    "ended_at": "TIMESTAMP",
    "outcome": "VARCHAR",
    "error": "VARCHAR",
    "process": "VARCHAR",
    "dbt_triton_version": "VARCHAR",
}

#: A row that has begun; it stays so where the process was killed, until a later run can tell.
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
INTERRUPTED = "interrupted"
KILLED = "killed"
OUTCOMES = (RUNNING, SUCCEEDED, FAILED, INTERRUPTED, KILLED)

#: The types in Spark's words. Times are UTC, and so have no time zone of their own.
_OF_SPARK = {
    "VARCHAR": "STRING",
    "INTEGER": "INT",
    "BIGINT": "BIGINT",
    "DOUBLE": "DOUBLE",
    "TIMESTAMP": "TIMESTAMP_NTZ",
}

#: The kinds of a profile in `predicted`.
CLASSES, NUMBERS, OTHER = "classes", "numbers", "other"
#: So many classes are counted by their values; the rest is ``other``.
TOP_CLASSES = 30
#: A profile of numbers has so many shares of rows, between one edge more.
SHARES = 20


def duckdb_columns() -> str:
    """Return the columns as ``CREATE TABLE`` of DuckDB has them."""
    return ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())


def spark_type(kind: str) -> str:
    """Return a type of `COLUMNS` in Spark's words."""
    return _OF_SPARK[kind]


def spark_columns() -> str:
    """Return the columns as ``CREATE TABLE`` of Spark has them."""
    return ", ".join(f"`{name}` {spark_type(kind)}" for name, kind in COLUMNS.items())
