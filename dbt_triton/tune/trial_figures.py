"""What is tried, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt_triton.options import Options

#: Fewer answers than this are too few to tell noise from gain.
FEW_ANSWERS = 10


@dataclass(frozen=True, order=True)
class Settings:
    """The options of a trial.

    Args:
        batch_size: rows a request.
        in_flight: requests; 0 for ``auto``.
        batch_by: ``length`` or ``none``.
        batch_tokens: the padded size of a request at most; 0 for no bound.
    """

    batch_size: int
    in_flight: int
    batch_by: str = "length"
    batch_tokens: int = 0

    @property
    def overrides(self) -> dict[str, Any]:
        """The fields of `Options` that they set."""
        return {
            "batch_size": self.batch_size,
            "max_concurrent_operations": self.in_flight or None,
            "batch_by": self.batch_by,
            "batch_tokens": self.batch_tokens or None,
        }

    def applied(self, options: Options) -> Options:
        """Return options with these in them."""
        return options.model_copy(update=self.overrides)

    @property
    def shown_in_flight(self) -> str:
        """The requests in flight as they are written."""
        return str(self.in_flight) if self.in_flight else "auto"


@dataclass(frozen=True)
class ServerSide:
    """What the server itself counted during a trial; times are means of a request, in milliseconds.

    Args:
        requests: that it answered, or failed.
        rows: that it computed.
        executions: how often it ran its model.
        queue: before the model took a request.
        compute_input: copying its inputs.
        compute_infer: running the model.
        compute_output: copying its outputs.
        total: from the arrival of a request to the end of its answer.
        cache_hits: requests that its response cache answered.
    """

    requests: int = 0
    rows: int = 0
    executions: int = 0
    queue: float = 0.0
    compute_input: float = 0.0
    compute_infer: float = 0.0
    compute_output: float = 0.0
    total: float = 0.0
    cache_hits: int = 0

    @property
    def compute(self) -> float:
        """Everything but the queue."""
        return self.compute_input + self.compute_infer + self.compute_output

    @property
    def rows_an_execution(self) -> float:
        """How many rows it ran at once, on average."""
        return self.rows / self.executions if self.executions else 0.0


@dataclass(frozen=True)
class Trial:
    """What one trial came to.

    Args:
        settings: what was tried.
        seconds: that were measured, the warm-up left out.
        rows: that were answered in these seconds.
        requests: that were answered in these seconds.
        attempts: requests that were sent in all, the warm-up and every retry among them.
        latency_mean: of an attempt that was answered, in milliseconds, the warm-up among them: as the server counts.
        p50: what half of them took no longer than, without the warm-up; ``p95`` and ``p99`` likewise.
        failures: how often each kind of failure came, such as ``503``.
        rows_failed: rows that failed for good.
        limit: requests in flight at the end, by the engine.
        server: what the server counted; None where it does not say.
        note: why it ended before its time.
    """

    settings: Settings
    seconds: float
    rows: int
    requests: int
    attempts: int = 0
    latency_mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    failures: Mapping[str, int] = field(default_factory=dict)
    rows_failed: int = 0
    limit: int = 0
    server: ServerSide | None = None
    note: str = ""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def request_rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Attempts that failed."""
        return sum(self.failures.values())

    @property
    def is_sound(self) -> bool:
        """Whether a run with these options would do: it has answers, and nothing failed."""
        return bool(self.rows) and not self.failed and not self.rows_failed and not self.note

    @property
    def is_rough(self) -> bool:
        """Whether too few answers came to say much."""
        return self.requests < FEW_ANSWERS

    @property
    def others(self) -> int:
        """Requests that the server counted and this trial did not send; a few may be those of the trial before."""
        extra = 0 if self.server is None else self.server.requests - self.attempts
        return extra if extra > max(_CARRIED, self.attempts * _CARRIED_SHARE) else 0


_CARRIED, _CARRIED_SHARE = 3, 0.02
