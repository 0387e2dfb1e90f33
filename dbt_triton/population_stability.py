"""The population stability index (PSI): how far the values of a column have moved between two samples.

PSI = sum over bins of (actual - expected) * ln(actual / expected), where both are shares of the values.
It is 0 for equal shares, and has no upper bound. This module is plain Python and imports nothing of the package.

What is compared are profiles, as the column `predicted` of the run log has them:

- ``{"kind": "classes", "counts": {value: rows, …}, "other": rows}``: a bin is a class. A class that one of the two
  profiles may hide in its ``other`` is counted as ``other`` on both sides.
- ``{"kind": "numbers", "rows": n, "nulls": n, "edges": […], "shares": […]}``: a bin is what lies between two edges of
  the expected profile, the upper edge included. The lowest and the highest bin are open to the outside,
  unless many rows have just that value.

NULL is no value: it has no bin. Shares are of the values that are not NULL.
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
    kinds = {expected.get("kind"), actual.get("kind")}
    try:
        if kinds == {"classes"}:
            return _of_classes(expected, actual)
        if kinds == {"numbers"}:
            return _of_numbers(expected, actual)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None
    return None


def _of_classes(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Stability | None:
    before, now = _counts(expected), _counts(actual)
    hidden_before, hidden_now = _number(expected.get("other") or 0), _number(actual.get("other") or 0)
    names = [name for name in before | now if _is_known(name, before, hidden_before, now, hidden_now)]
    rows_before, rows_now = sum(before.values()) + hidden_before, sum(now.values()) + hidden_now
    if rows_before <= 0 or rows_now <= 0:
        return None
    shares_before = [before.get(name, 0.0) / rows_before for name in names]
    shares_now = [now.get(name, 0.0) / rows_now for name in names]
    rest_before, rest_now = max(1 - sum(shares_before), 0.0), max(1 - sum(shares_now), 0.0)
    if max(rest_before, rest_now) > 1 / (2 * max(rows_before, rows_now)):  # more than an error of rounding
        shares_before.append(rest_before)
        shares_now.append(rest_now)
    return _stability(shares_before, shares_now, rows_before, rows_now)


def _is_known(
    name: str, before: Mapping[str, float], hidden_before: float, now: Mapping[str, float], hidden_now: float
) -> bool:
    """Tell whether both profiles say how often a class is: one that is not listed is absent, or within `other`."""
    return (name in before or hidden_before <= 0) and (name in now or hidden_now <= 0)


def _counts(profile: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): _number(rows) for name, rows in (profile.get("counts") or {}).items()}


def _of_numbers(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Stability | None:
    before, now = _cumulative(expected), _cumulative(actual)
    if not before or not now:
        return None
    rows_before, rows_now = _values_of(expected), _values_of(actual)
    if rows_before <= 0 or rows_now <= 0:
        return None
    lowest, highest = before[0][0], before[-1][0]
    levels = [(0.0, 0.0), *((_up_to(before, edge), _up_to(now, edge)) for edge, _ in before[1:-1]), (1.0, 1.0)]
    # Where many rows have the lowest or the highest value, what lies beyond it is a bin of its own.
    if before[0][1] > 0:
        levels[1:1] = [(0.0, _under(now, lowest)), (before[0][1], _up_to(now, lowest))]
    if len(before) > 1 and _is_repeated(expected, highest):
        levels.insert(-1, (1.0, _up_to(now, highest)))

        levels[1:1] = [(0.0, _under(now, lowest)), (before[0][1], _up_to(now, lowest))]
    if len(before) > 1 and _is_repeated(expected, highest):
        levels.insert(-1, (1.0, _up_to(now, highest)))
    steps = [(high[0] - low[0], high[1] - low[1]) for low, high in pairwise(levels)]
    return _stability([step[0] for step in steps], [step[1] for step in steps], rows_before, rows_now)


def _stability(before: Sequence[float], now: Sequence[float], rows_before: float, rows_now: float) -> Stability:
    chance = max(len(before) - 1, 0) * (1 / rows_before + 1 / rows_now)
    return Stability(population_stability_index(before, now), chance)


def _values_of(profile: Mapping[str, Any]) -> float:
    return _number(profile.get("rows") or 0) - _number(profile.get("nulls") or 0)


def _cumulative(profile: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the share of the values up to each edge. Where several edges are equal, many rows have that value."""
    edges = [_number(edge) for edge in profile.get("edges") or ()]
    shares = [max(_number(share), 0.0) for share in profile.get("shares") or ()]
    total = sum(shares)
    if len(edges) != len(shares) + 1 or total <= 0 or any(low > high for low, high in pairwise(edges)):
        return []
    levels = {edges[0]: 0.0}
    so_far = 0.0
    for edge, share in zip(edges[1:], shares, strict=True):
        so_far += share / total
        levels[edge] = so_far
    return list(levels.items())


def _is_repeated(profile: Mapping[str, Any], value: float) -> bool:
    return sum(_number(edge) == value for edge in profile["edges"]) > 1


def _under(levels: Sequence[tuple[float, float]], value: float) -> float:
    """Return the share of the values that are below this one; of an edge, what the edge before it says."""
    places = [place for place, (edge, _) in enumerate(levels) if edge == value]
    if not places:
        return _up_to(levels, value)
    return levels[places[0] - 1][1] if places[0] else 0.0


def _up_to(levels: Sequence[tuple[float, float]], value: float) -> float:
    """Return the share of the values that are at most this one, on a line between two edges."""
    if value < levels[0][0]:
        return 0.0
    for (low, share_low), (high, share_high) in pairwise(levels):
        if value < high:
            return share_low + (share_high - share_low) * (value - low) / (high - low)
    return 1.0


def _number(value: Any) -> float:  # noqa: ANN401 - whatever JSON holds
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
