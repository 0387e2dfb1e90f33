"""What a run did, and how far one is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


class Figures:
    """Figures that can be added; a dataclass of numbers is made of it."""

    def __iadd__(self, other: Self) -> Self:
        """Add what another one counted."""
        for item in fields(self):  # type: ignore[arg-type]
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))
        return self


@dataclass
class RunStats(Figures):
    """What one run did."""

    rows: int = 0
    rows_failed: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0


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
