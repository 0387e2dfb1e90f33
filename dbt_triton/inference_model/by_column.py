"""Options that are said of one column: whether it is there, and of a kind that they concern."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dbt_triton.options import (
    MASK_PREFIX,
    PAD_PREFIX,
    SHAPE_PREFIX,
    STUB_PREFIX,
    TENSOR_PREFIX,
    TRIM_PREFIX,
    ZEROS_PREFIX,
)

if TYPE_CHECKING:
    from dbt_triton.inference_model.model import TypedColumn

#: What keeps an output as it comes, and what cuts it to whatever length it is seen to have.
KEPT, SEEN = "false", "true"
# By the prefix of a key: the sides whose columns it may name.
_SIDES = {
    TENSOR_PREFIX: ("INPUT", "OUTPUT"),
    STUB_PREFIX: ("OUTPUT",),
    PAD_PREFIX: ("INPUT",),
    SHAPE_PREFIX: ("INPUT",),
    TRIM_PREFIX: ("OUTPUT",),
}
# The kinds of columns that have a length, besides arrays.
_WITH_LENGTHS: dict[str, set[str]] = {PAD_PREFIX: set(), TRIM_PREFIX: {"BLOB"}}
#: Options whose value is the name of an INPUT column.
_NAMING = {TRIM_PREFIX, MASK_PREFIX, ZEROS_PREFIX}


def column_problems(
    raw: Mapping[str, Any], inputs: Sequence[TypedColumn], outputs: Sequence[TypedColumn]
) -> Iterator[str]:
    """Yield a sentence on every option that names a column which is not there, or is no array where it must be one.

    Args:
        raw: the options as they are written.
        inputs: the columns of INPUT.
        outputs: those of OUTPUT.
    """
    columns = {
        "INPUT": {column.name.lower(): column for column in inputs},
        "OUTPUT": {column.name.lower(): column for column in outputs},
    }
    for key, value in raw.items():
        prefix = key[: key.find(".") + 1]
        if prefix in _SIDES:
            name = key.removeprefix(prefix).lower()
            found = [columns[side][name] for side in _SIDES[prefix] if name in columns[side]]
            if not found:
                yield f"{key} names no column of {' or '.join(_SIDES[prefix])}{_near(name, columns, _SIDES[prefix])}"
            elif prefix in _WITH_LENGTHS and not found[0].type.dims and found[0].type.kind not in _WITH_LENGTHS[prefix]:
                yield f"{key} is for an array, but {found[0].name} is declared {found[0].sql_type}"
        written = str(value).lower()
        if prefix in _NAMING and not (prefix == TRIM_PREFIX and written in {KEPT, SEEN}):
            named = columns["INPUT"].get(written)
            if named is None:
                yield f"what {key} names is no column of INPUT{_near(written, columns, ('INPUT',))}"
            elif not named.type.dims:
                yield f"{key} needs an array, which has a length, but {named.name} is declared {named.sql_type}"


def _near(name: str, columns: Mapping[str, Mapping[str, TypedColumn]], sides: Sequence[str]) -> str:
    known = {key: column.name for side in sides for key, column in columns[side].items()}
    near = difflib.get_close_matches(name.lower()[:100], known, n=1, cutoff=0.6)
    return f"; did you mean {known[near[0]]}?" if near else ""
