"""Batches, concurrency and outcomes: from a stream of Arrow record batches to predictions and failed rows."""

from dbt_triton.engine.concurrency import ConcurrencyLimit
from dbt_triton.engine.engine import Engine
from dbt_triton.engine.outcomes import FailedRows, RunError, Sink
from dbt_triton.engine.sequences import SequenceEngine
from dbt_triton.engine.server import Server
from dbt_triton.engine.servers import Servers
from dbt_triton.engine.stats import Progress, RunStats

__all__ = [
    "ConcurrencyLimit",
    "Engine",
    "FailedRows",
    "Progress",
    "RunError",
    "RunStats",
    "SequenceEngine",
    "Server",
    "Servers",
    "Sink",
]
