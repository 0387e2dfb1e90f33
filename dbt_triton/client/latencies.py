"""How long attempts took: a histogram of fixed size, to which those of other servers or tasks can be added."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

#: A bucket's end is this many times its beginning, so that what is read from it is at most 3 % off.
_GROWTH = 2 ** (1 / 12)
_SHORTEST = 1e-5
_BUCKETS = 12 * 32  # up to 12 hours
_SCALE = 1 / math.log(_GROWTH)


class Latencies:
    """Counts attempts by how long they took."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS

    def add(self, seconds: float) -> None:
        """Count an attempt that took so many seconds."""
        bucket = int(math.log(seconds / _SHORTEST) * _SCALE) if seconds > _SHORTEST else 0
        self._counts[min(bucket, _BUCKETS - 1)] += 1

    def __iadd__(self, other: Latencies) -> Self:
        """Add what another one counted."""
        self._counts = [own + more for own, more in zip(self._counts, other._counts, strict=True)]
        return self

    def __add__(self, other: Latencies) -> Latencies:
        """Return what both counted."""
        both = Latencies()
        both += self
        both += other
        return both

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Latencies) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Latencies({self.count})"

    @property
    def count(self) -> int:
        """How many attempts there were."""
        return sum(self._counts)

    def quantile(self, share: float) -> float | None:
        """Return within how many seconds a share of the attempts was over, from 0 to 1; None where there was none."""
        wanted, seen = share * self.count, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return float(_SHORTEST * _GROWTH ** (bucket + 0.5))
        return None

    def to_json(self) -> dict[str, int]:
        """Return the buckets that are not empty, for JSON."""
        return {str(bucket): count for bucket, count in enumerate(self._counts) if count}

    @classmethod
    def from_json(cls, said: Mapping[str, int]) -> Self:
        """Read what `to_json` returned."""
        latencies = cls()
        for bucket, count in said.items():
            latencies._counts[min(int(bucket), _BUCKETS - 1)] += count
        return latencies
