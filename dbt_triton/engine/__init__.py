"""Batches, concurrency and outcomes: from a stream of Arrow record batches to predictions and failed rows."""

from dbt_triton.engine.engine import Engine, Progress, RunStats
from dbt_triton.engine.outcomes import FailedRows, RunError, Sink
from dbt_triton.engine.sequences import SequenceEngine

__all__ = ["Engine", "FailedRows", "Progress", "RunError", "RunStats", "SequenceEngine", "Sink"]
