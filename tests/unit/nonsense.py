"""What a server that lies may put in place of any field of JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

SECRET = "n0nsense-s3cret-token"  # noqa: S105 - a made-up one that must show up nowhere
#: Stands for leaving a field out, or for having it twice.
MISSING, TWICE = object(), object()


def deep(depth: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 0.5, 1e300, -0.0),
    *("", "x", "²", "१", "-1", "1e5", "NaN", "9" * 5000, "x" * 50_000, "\x1b[2J\x00\u202e", "\ud800", SECRET),
    *(
        [],
        [[]],
        [None],
        [1],
        [-1],
        [2**62, 0],
        [2**62, 2**62],
        [0, 2**62],
        ["x"],
        [True],
        [{}],
        deep(400),
        deep(1000),
        deep(5000),
    ),
    *({}, {"x": 1}, {"name": None}, {"binary_data_size": "4"}, {"binary_data_size": 10**30}, {"kind": []}),
    *(MISSING, TWICE),
]


def changed(valid: Any) -> Iterator[tuple[str, bytes]]:
    """Yield JSON texts: a valid one, of which one field, object or list after the other is each of the values."""
    for path in _paths(valid):
        for value in VALUES:
            answer = copy.deepcopy(valid)
            place = answer
            for step in path[:-1]:
                place = place[step]
            if not path:
                answer = None if value in (MISSING, TWICE) else value
            elif value is MISSING:
                del place[path[-1]]
            elif value is TWICE and isinstance(place, list):
                place.append(copy.deepcopy(place[path[-1]]))
            elif value is TWICE:
                place[f"{path[-1]}2"] = place[path[-1]]
            else:
                place[path[-1]] = value
            text = _written(answer)
            yield f"{path}: {text[:300].decode()}", text


def _written(answer: Any) -> bytes:
    try:
        return json.dumps(answer).encode()
    except RecursionError:
        return b"[" * 5000 + b"]" * 5000


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))
