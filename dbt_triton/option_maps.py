"""Options that are said of one column each, written as a map: ``tensor: {a: A}`` is ``tensor.a: A``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_triton.option_names import nearest

#: The options of which there is one for each column or tensor, without the point.
BY_COLUMN = ("tensor", "stub", "pad", "trim", "mask", "zeros", "shape")
#: How like one of these short names a key must be.
_GUESS = 0.75


def spread(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which each map of such an option is an option for each of its keys.

    What is written for one column by itself (``tensor.a``) wins over a map, wherever it stands.
    """
    spread_out: dict[str, Any] = {}
    for key, value in raw.items():
        if key in BY_COLUMN and isinstance(value, Mapping):
            for name, of_one in value.items():
                if f"{key}.{name}" not in raw:
                    spread_out[f"{key}.{name}"] = of_one
        else:
            spread_out[key] = value
    return spread_out


def nearest_by_column(key: str) -> str | None:
    """Return the option by column that a key is like: written without its column, or misspelt before the point."""
    near = nearest(key.partition(".")[0], BY_COLUMN, _GUESS)
    return None if near is None else f"{near}.<{'tensor' if near in {'mask', 'zeros'} else 'column'}>"
