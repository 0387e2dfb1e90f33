"""The population stability index (PSI): how far the values of a column have moved between two samples.

PSI = sum over bins of (actual - expected) * ln(actual / expected), where both are shares of the values.
It is 0 for equal shares, and has no upper bound. This module is plain Python and imports nothing of the package.

What is compared are profiles, as the column `predicted` of the run log has them, in the bins of the expected one:

- ``{"kind": "classes", "rows": n, "nulls": n, "counts": {value: rows, …}, "other": rows}``: a bin is a class that it
  lists; all others are one bin, in which is also what the actual profile may hide in its own ``other``.
- ``{"kind": "numbers", "rows": n, "nulls": n, "edges": […], "shares": […]}``: ten bins, between every second of its 21
  quantiles. A value that is an edge belongs to the bin above it. The lowest and the highest bin are open.

NULL is a bin of its own; so is a number that is not finite. Shares are of all rows. The generic test `max_drift` counts
in the same bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

#: A share is at least this, so that an empty bin has a logarithm; also that of a class which was not seen before.
FLOOR = 0.0001
#: Below, the column is stable; from here it is worth a look…
LOOK = 0.1
#: …and above this it has changed.
CHANGED = 0.25

#: Numbers are compared in so many bins.
BINS = 10

STABLE_WORD, LOOK_WORD, CHANGED_WORD, FEW_WORD = "stable", "look", "changed", "too few rows"


@dataclass(frozen=True)
class Stability:
    """How two profiles compare.

    Attributes:
        index: the PSI.
        chance: the PSI that two samples of this size have on average though nothing has changed:
            (bins - 1) * (1 / expected rows + 1 / actual rows).
    """

    index: float
    chance: float

    @property
    def verdict(self) -> str:
        """``stable``, ``look`` or ``changed``; ``too few rows`` where chance alone would explain a look."""
        if self.index < LOOK:
            return STABLE_WORD
        if self.chance >= LOOK:
            return FEW_WORD
        return LOOK_WORD if self.index <= CHANGED else CHANGED_WORD


def population_stability_index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Return the PSI of two lists of shares, bin by bin.

    Args:
        expected: the share of each bin before, 0 to 1.
        actual: the share of each bin now, in the same order.

    Raises:
        ValueError: the lists differ in length.
    """
    total = 0.0
    for before, now in zip(expected, actual, strict=True):
        low, high = max(before, FLOOR), max(now, FLOOR)
        total += (high - low) * math.log(high / low)
    return total


def compare(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Stability | None:
    """Compare two profiles of one column.

    Returns:
        None where they cannot be compared: of different kinds, of a kind without shares, empty, or malformed.
    """
    try:
        kinds = {expected.get("kind"), actual.get("kind")}
        if kinds == {"classes"}:
            return _of_classes(expected, actual)
        if kinds == {"numbers"}:
            return _of_numbers(expected, actual)
    except (TypeError, ValueError, OverflowError, AttributeError, KeyError):
        return None
    return None


def _of_classes(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Stability | None:
    before, now = _counts(expected), _counts(actual)
    hidden_before, hidden_now = _number(expected.get("other") or 0), _number(actual.get("other") or 0)
    listed = [name for name in before if name in now or hidden_now <= 0]
    bins = [(before[name], now.get(name, 0.0)) for name in listed]
    bins.append(
        (
            hidden_before + sum(rows for name, rows in before.items() if name not in listed),
            hidden_now + sum(rows for name, rows in now.items() if name not in listed),
        )
    )
    return _stability([*bins, (_number(expected.get("nulls") or 0), _number(actual.get("nulls") or 0))])


def _counts(profile: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): _number(rows) for name, rows in (profile.get("counts") or {}).items()}


def _of_numbers(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Stability | None:
    before, now = _cumulative(expected), _cumulative(actual)
    missing_before, missing_now = _missing(expected), _missing(actual)
    values_before, values_now = _number(expected["rows"]) - missing_before, _number(actual["rows"]) - missing_now
    if not before or not now or values_before <= 0 or values_now <= 0:
        return None
    edges = [_number(edge) for edge in expected["edges"]]
    step = max((len(edges) - 1) // BINS, 1)
    inner = sorted(set(edges[step:-1:step]))
    levels = [(0.0, 0.0), *((_below(before, edge), _below(now, edge)) for edge in inner)]
    if inner and inner[-1] == edges[-1]:
        # Many rows have the highest value, so that what lies beyond it would not be seen.
        levels.append((1.0, _up_to(now, edges[-1])))
    levels.append((1.0, 1.0))
    shares = [(high[0] - low[0], high[1] - low[1]) for low, high in pairwise(levels)]
    bins = [(share[0] * values_before, share[1] * values_now) for share in shares]
    return _stability([*bins, (missing_before, missing_now)])


def _stability(bins: Sequence[tuple[float, float]]) -> Stability | None:
    """Compare the rows of each bin before and now."""
    rows_before, rows_now = (sum(rows) for rows in zip(*bins, strict=True))
    if rows_before <= 0 or rows_now <= 0:
        return None
    index = population_stability_index(
        [before / rows_before for before, _ in bins], [now / rows_now for _, now in bins]
    )
    filled = sum(before > 0 or now > 0 for before, now in bins)
    return Stability(index, max(filled - 1, 0) * (1 / rows_before + 1 / rows_now))


def _missing(profile: Mapping[str, Any]) -> float:
    return _number(profile.get("nulls") or 0) + _number(profile.get("not_finite") or 0)


@dataclass(frozen=True)
class _Level:
    """The share of the values below an edge, and up to it: the same but where many rows have just that value."""

    edge: float
    below: float
    up_to: float


def _cumulative(profile: Mapping[str, Any]) -> list[_Level]:
    """Return the levels of a profile of numbers; none where its edges and shares do not fit."""
    edges = [_number(edge) for edge in profile.get("edges") or ()]
    shares = [max(_number(share), 0.0) for share in profile.get("shares") or ()]
    total = sum(shares)
    if len(edges) != len(shares) + 1 or total <= 0 or any(low > high for low, high in pairwise(edges)):
        return []
    below = [0.0]
    for share in shares:
        below.append(below[-1] + share / total)
    levels = []
    for edge in sorted(set(edges)):
        first, last = edges.index(edge), len(edges) - 1 - edges[::-1].index(edge)
        # Its share holds the value and what follows it: at least so much is the value, as it is also this quantile.
        least = last / len(shares) if last > first else 0.0
        up_to = 1.0 if last == len(shares) else min(max(below[last], least), below[last + 1])
        levels.append(_Level(edge, below[first] if last < len(shares) or last > first else 1.0, up_to))
    return levels


def _below(levels: Sequence[_Level], value: float) -> float:
    """Return the share of the values that are less than this one, on a line between two edges."""
    if value <= levels[0].edge:
        return 0.0
    for low, high in pairwise(levels):
        if value <= high.edge:
            return low.up_to + (high.below - low.up_to) * (value - low.edge) / (high.edge - low.edge)
    return 1.0


def _up_to(levels: Sequence[_Level], value: float) -> float:
    """Return the share of the values that are at most this one."""
    return next((level.up_to for level in levels if level.edge == value), _below(levels, value))


def _number(value: Any) -> float:  # noqa: ANN401 - whatever JSON holds
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
