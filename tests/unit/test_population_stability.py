"""The population stability index: the formula, its bins, and profiles of any kind."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.population_stability import FLOOR, compare, population_stability_index
from dbt_triton.run_log.profile import profile

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def of(values: list[Any] | np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the profile of values, as it is read from the run log."""
    found: dict[str, Any] = json.loads(json.dumps(profile(pa.array(values))))
    return found


def index(before: Any, now: Any) -> float:
    """Return the index of two lists of values."""
    found = compare(of(before), of(now))
    assert found is not None
    return found.index


def test_formula() -> None:
    """It is the sum of the differences of shares times the logarithm of their ratio."""
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert population_stability_index([0.5, 0.5], [0.6, 0.4]) == pytest.approx(expected)
    # A share of nothing counts as the smallest one.
    assert population_stability_index([0.0], [0.3]) == pytest.approx((0.3 - FLOOR) * math.log(0.3 / FLOOR))
    with pytest.raises(ValueError, match="argument"):
        population_stability_index([1.0], [0.5, 0.5])


@given(SHARES, st.randoms(use_true_random=False))
def test_never_negative(shares: list[float], chance: Any) -> None:
    """It is zero for equal shares, never negative, and the same from either side."""
    other = [chance.random() for _ in shares]
    assert population_stability_index(shares, shares) == 0
    there, back = population_stability_index(shares, other), population_stability_index(other, shares)
    assert there >= 0
    assert there == pytest.approx(back)


def test_classes() -> None:
    """Classes are compared one by one; all that the run before did not list are one bin; NULL is another."""
    before = ["a"] * 50 + ["b"] * 50
    assert index(before, before) == 0
    assert index(before, ["a"] * 60 + ["b"] * 40) == pytest.approx(population_stability_index([0.5, 0.5], [0.6, 0.4]))
    new = ["a"] * 50 + ["b"] * 30 + ["c"] * 10 + ["d"] * 10
    assert index(before, new) == pytest.approx(population_stability_index([0.5, 0.5, 0], [0.5, 0.3, 0.2]))
    gone = ["a"] * 50 + ["b"] * 25 + [None] * 25
    assert index(before, gone) == pytest.approx(population_stability_index([0.5, 0.5, 0], [0.5, 0.25, 0.25]))
    assert index([True, False] * 50, [True] * 100) > 1


def test_classes_beyond_the_listed() -> None:
    """A class that a profile may hide among its others is not taken for one that has gone or come."""
    many = [f"class {number}" for number in range(40) for _ in range(40 - number)]
    shuffled = sorted(many, key=lambda name: name[::-1])
    assert of(many)["other"] > 0
    assert index(many, shuffled) == 0
    # The last of those that are listed changes places with the first of those that are not.
    swapped = [{"class 29": "class 30", "class 30": "class 29"}.get(name, name) for name in many]
    assert index(many, swapped) < 0.01


@pytest.mark.parametrize(("shift", "low", "high"), [(0, 0, 0.02), (0.1, 0.005, 0.03), (0.5, 0.2, 0.28), (1, 0.8, 1.1)])
def test_numbers(shift: float, low: float, high: float) -> None:
    """Numbers are compared in bins of the run before: a normal distribution that moves by d has about d² (1 + …)."""
    chance = np.random.default_rng(1)
    assert low <= index(chance.normal(size=20_000), chance.normal(size=20_000) + shift) <= high


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("rows", [2_000, 20_000])
def test_numbers_as_if_counted(shift: float, rows: int) -> None:
    """From two profiles comes about what counting every value of both in the bins would give."""
    chance = np.random.default_rng(rows)
    before, now = chance.gamma(2, size=rows), chance.gamma(2, size=rows) + shift
    edges = of(before)["edges"][2:-1:2]
    counted = [
        (np.bincount(np.searchsorted(edges, values, side="right"), minlength=10) / rows).tolist()
        for values in (before, now)
    ]
    assert index(before, now) == pytest.approx(population_stability_index(*counted), abs=0.02, rel=0.1)


def test_numbers_that_repeat() -> None:
    """A value that many rows have is compared as exactly as the quantiles tell, also the lowest and the highest one."""
    zeros = [0.0] * 800 + [number / 200 for number in range(1, 201)]
    assert index(zeros, zeros) == 0
    assert index(zeros, zeros[::-1]) == 0
    assert 0.01 < index(zeros, zeros[200:] + [0.5] * 200) < 1.5
    below = index(zeros, [-1.0] * 200 + zeros[200:])
    assert below > 1
    for other in (4.0, 6.0):
        assert index([5.0] * 100, [other] * 100) > 10
    assert index([5.0] * 100, [5.0] * 100) == 0


def test_not_finite() -> None:
    """NaN and infinity are counted with NULL, and never come out."""
    numbers = [1.0, 2.0, 3.0, 4.0] * 50
    found = compare(of(numbers), of([*numbers[:100], *[float("nan")] * 50, *[float("inf")] * 50]))
    assert found is not None
    assert math.isfinite(found.index)
    assert found.index > 1


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [((0.5, 0.5), "stable"), ((0.65, 0.35), "stable"), ((0.7, 0.3), "look"), ((0.9, 0.1), "changed")],
)
def test_verdict(shares: tuple[float, float], verdict: str) -> None:
    """Below 0.1 a column is stable, to 0.25 worth a look, and above it has changed."""
    before = {"kind": "classes", "counts": {"a": 5_000, "b": 5_000}}
    now = {"kind": "classes", "counts": {"a": 10_000 * shares[0], "b": 10_000 * shares[1]}}
    found = compare(before, now)
    assert found is not None
    assert found.verdict == verdict


def test_few_rows() -> None:
    """Where chance alone makes a PSI that is worth a look, the verdict says that there are too few rows."""
    few = compare(of(["a", "b", "c"] * 3), of(["a", "a", "b"] * 3))
    assert few is not None
    assert few.verdict == "too few rows"
    chance = np.random.default_rng(2)
    indices = [index(chance.normal(size=300), chance.normal(size=300)) for _ in range(60)]
    expected = compare(of(chance.normal(size=300)), of(chance.normal(size=300)))
    assert expected is not None
    assert np.mean(indices) == pytest.approx(expected.chance, rel=0.35)


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"kind": "other", "rows": 3, "nulls": 0},
        {"kind": "numbers", "rows": 3, "nulls": 3, "edges": [], "shares": []},
        {"kind": "numbers", "rows": 3, "nulls": 0, "edges": [1, 2], "shares": [0.5, 0.5]},
        {"kind": "numbers", "rows": 3, "nulls": 0, "edges": [3, 2, 1], "shares": [0.5, 0.5]},
        {"kind": "numbers", "nulls": 0, "edges": [1, None], "shares": [1]},
        {"kind": "classes", "counts": {}, "rows": 0},
        {"kind": "classes", "counts": {"a": "many"}},
        {"kind": "classes", "counts": ["a"]},
    ],
)
def test_nothing_to_compare(now: dict[str, Any]) -> None:
    """Profiles of two kinds, empty ones and malformed ones are not compared, from either side."""
    for other in (of(["a", "b"] * 10), of([1.0, 2.0] * 10)):
        assert compare(other, now) is None
        assert compare(now, other) is None


@settings(max_examples=200)
@given(
    st.lists(st.floats(-1e300, 1e300) | st.none(), min_size=1, max_size=60),
    st.lists(st.floats(-1e300, 1e300) | st.none(), min_size=1, max_size=60),
)
def test_any_numbers(before: list[float | None], now: list[float | None]) -> None:
    """Whatever the numbers are, an index is finite and not negative, and zero for the same ones."""
    profiles = [of(pa.array(values, pa.float64())) for values in (before, now)]
    found, same = compare(*profiles), compare(profiles[0], profiles[0])
    assert found is None or (math.isfinite(found.index) and found.index >= 0)
    assert same is None or same.index == 0
