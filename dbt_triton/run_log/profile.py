"""Profiles of predicted columns: the classes of texts, or the distribution of numbers, from a sample of rows.

A profile is small, whatever the column holds: it is kept with each run, so that runs can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.arrow_numbers import as_numpy
from dbt_triton.run_log.columns import CLASSES, NUMBERS, OTHER, SHARES, TOP_CLASSES

#: A text that is a class is shown so far.
TEXT_LENGTH = 100
#: Integers of so few different values are classes.
_FEW_VALUES = TOP_CLASSES
#: Texts of more different values than this share of rows are no classes, unless they are few.
_NEARLY_ALL = 0.5

Profile = dict[str, Any]


def profiles(outputs: Mapping[str, pa.Array | pa.ChunkedArray]) -> dict[str, Profile]:
    """Return the profile of each column, by its name.

    Args:
        outputs: predictions, row by row; NULL where a row has none.
    """
    return {name: profile(values) for name, values in outputs.items()}


def profile(values: pa.Array | pa.ChunkedArray) -> Profile:
    """Return the profile of one column."""
    rows, nulls = len(values), values.null_count
    kind = values.type
    found: Profile | None = None
    if nulls < rows:
        if _is_class(kind):
            found = _classes(values, at_most=None)
        elif pa.types.is_integer(kind):
            found = _classes(values, at_most=_FEW_VALUES) or _numbers(values)
        elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found = _numbers(values)
    elif _is_class(kind):
        found = {"kind": CLASSES, "counts": {}, "other": 0}
    if found is None:
        return {"kind": OTHER, "rows": rows, "nulls": nulls}
    return {"kind": found.pop("kind"), "rows": rows, "nulls": nulls, **found}


def _is_class(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind))


def _classes(values: pa.Array | pa.ChunkedArray, *, at_most: int | None) -> Profile | None:
    """Count values; None where there are too many different ones."""
    counted = pc.value_counts(values.drop_null())
    if isinstance(counted, pa.ChunkedArray):
        counted = counted.combine_chunks()
    different = len(counted)
    if different > (at_most if at_most is not None else max(TOP_CLASSES, _NEARLY_ALL * len(values))):
        return None
    counts = as_numpy(counted.field("counts"))
    texts = counted.field("values")
    # The most frequent first; of equally frequent ones, those that come first.
    order = np.argsort(-counts, kind="stable")[:TOP_CLASSES]
    shown: dict[str, int] = {}
    for place in order.tolist():
        text = _class_name(texts[place].as_py())
        shown[text] = shown.get(text, 0) + int(counts[place])
    return {"kind": CLASSES, "counts": shown, "other": int(counts.sum()) - sum(shown.values())}


def _class_name(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + "…"


def _numbers(values: pa.Array | pa.ChunkedArray) -> Profile:
    """Return the quantiles of numbers, and the shares of rows between them; NaN and infinity count in neither."""
    floats = values.drop_null().cast(pa.float64())
    numbers = as_numpy(floats.combine_chunks() if isinstance(floats, pa.ChunkedArray) else floats)
    finite = np.sort(numbers[np.isfinite(numbers)])
    odd = len(numbers) - len(finite)
    more = {"not_finite": odd} if odd else {}
    if not len(finite):
        return {"kind": NUMBERS, "edges": [], "shares": [], **more}
    edges = np.quantile(finite, np.linspace(0, 1, SHARES + 1), method="nearest")
    # A value that is an edge belongs to the share above it, and the largest one to the last share.
    below = np.searchsorted(finite, edges[1:-1], side="left")
    shares = np.diff(np.concatenate([[0], below, [len(finite)]])) / len(finite)
    return {
        "kind": NUMBERS,
        "edges": [_rounded(edge) for edge in edges.tolist()],
        "shares": [round(share, 6) for share in shares.tolist()],
        **more,
    }


def _rounded(number: float) -> float:
    """Leave so many digits as a FLOAT has, and more for large numbers."""
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, 9 - math.floor(math.log10(abs(number))))
