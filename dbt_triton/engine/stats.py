"""What a run did, and how far one is."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

from dbt_triton.client.latencies import Latencies


class Figures:
    """Figures that can be added; a dataclass of numbers is made of it."""

    def __iadd__(self, other: Self) -> Self:
        """Add what another one counted."""
        for item in fields(self):  # type: ignore[arg-type]
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))
        return self


@dataclass
class RunStats(Figures):
    """What one run did.

    Reading, waiting and writing happen at the same time, so that their seconds may be more than those of the run.

    Args:
        rows: that have a prediction.
        rows_failed: that have none, and why is known.
        requests: attempts.
        retries: those of them that were not the first.
        bytes_sent: of their bodies.
        bytes_received: of the answers' bodies.
        seconds: of the whole run.
        read_seconds: reading the input, and making requests of it.
        wait_seconds: with one request in flight at least.
        write_seconds: decoding answers, and handing them over.
        limit: how many requests might be in flight in the end.
        latencies: of the attempts.
        notes: what a user is to know of the servers, a sentence each.
    """

    rows: int = 0
    rows_failed: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    read_seconds: float = 0.0
    wait_seconds: float = 0.0
    write_seconds: float = 0.0
    limit: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        rows: that are done.
        rows_failed: those of them that failed.
        in_flight: requests.
        limit: on these.
        retries: so far.
        tokens: that a language model has written so far; 0 where it is not known.
    """

    rows: int
    rows_failed: int
    in_flight: int
    limit: int
    retries: int
    tokens: int = 0
