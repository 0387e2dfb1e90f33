"""Batches, concurrency and outcomes: from a stream of Arrow record batches to predictions and failed rows."""

from dbt_triton.engine.engine import Engine, Progress, RunStats
from dbt_triton.engine.outcomes import FailedRows, RunError, Sink

__all__ = ["Engine", "FailedRows", "Progress", "RunError", "RunStats", "Sink"]
