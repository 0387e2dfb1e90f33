"""The JSON text of a row's parameters, made of columns with no Python object a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.tensors.constants import fixed_text
from dbt_triton.tensors.datatypes import datatype_of_tensor
from dbt_triton.tensors.elements import Mask, Unfit, to_tensor
from dbt_triton.tensors.encode import escaped
from dbt_triton.tensors.generation import ParameterColumn, TextParameters
from dbt_triton.tensors.spec import TensorSpec
from dbt_triton.tensors.sql_types import SqlType

_TEXT = pa.large_string()
_AS_THEY_ARE = {"BOOLEAN", "DECIMAL"}

#: What is wrong with which column.
Found = list[tuple[str, Unfit]]


@cache
def _empty() -> pa.Scalar:
    """Return the empty text. Making it when this module is read would read pandas, too."""
    return pa.scalar("", _TEXT)


def text_spec(text: TextParameters) -> TensorSpec:
    """Return the tensor that takes the text."""
    datatype = datatype_of_tensor("BYTES")
    assert datatype is not None  # noqa: S101 - the protocol has it
    return TensorSpec(text.tensor, text.tensor, datatype, (1,))


def parameter_texts(
    columns: Sequence[pa.Array], left_out: Mapping[int, pa.Array], text: TextParameters
) -> tuple[pa.Array, Found]:
    """Make the text of each row.

    Args:
        columns: those of INPUT; NULL stands for a value that is not one of the declared type.
        left_out: by the place of a column, a BOOLEAN for each row: whether its key is left out.
        text: which column is which key.

    Returns:
        The texts, and the rows that have none: with these, the texts are not to be used.
    """
    pieces, found = [], []
    for one in text.columns:
        values = columns[one.position]
        missing = left_out.get(one.position)
        piece, unfit = _member(values, missing, one)
        pieces.append(piece)
        found += [(one.column, each) for each in unfit]
    fixed = fixed_text(text)
    joined = pc.binary_join_element_wise(*pieces, _empty())
    if fixed == "{}":  # then the first comma has nothing before it
        joined = pc.utf8_ltrim(joined, ",")
    return pc.binary_join_element_wise(pa.scalar(fixed[:-1], _TEXT), joined, pa.scalar("}", _TEXT), _empty()), found


def _member(values: pa.Array, left_out: pa.Array | None, column: ParameterColumn) -> tuple[pa.Array, list[Unfit]]:
    """Return a comma, the key and the value of each row; nothing where it is left out."""
    rows = len(values)
    present = np.ones(rows, dtype=bool)
    if left_out is not None:
        present = ~left_out.to_numpy(zero_copy_only=False).astype(bool)
    nulls = values.is_null().to_numpy(zero_copy_only=False) & present
    if nulls.any():
        return pa.repeat(_empty(), rows), [Unfit(nulls, f"its value is no {column.sql.name}")]
    texts, bad = _json(values.filter(pa.array(present)), column.sql)
    if bad:
        return pa.repeat(_empty(), rows), [Unfit(_among(one.mask, present), one.why) for one in bad]
    key = pa.scalar(f",{orjson.dumps(column.key).decode()}:", _TEXT)
    members = pc.binary_join_element_wise(key, texts, _empty())
    if present.all():
        return members, []
    places = pa.array(np.cumsum(present) - 1, mask=~present)
    return pc.fill_null(members.take(places), _empty()), []


def _among(mask: Mask, present: Mask) -> Mask:
    every = np.zeros(len(present), dtype=bool)
    every[np.flatnonzero(present)[mask]] = True
    return every


def _json(values: pa.Array, sql: SqlType) -> tuple[pa.Array, list[Unfit]]:
    """Write values without NULLs as JSON. Returns the texts, and those values that have no JSON form."""
    if not sql.dims:
        return _scalars(values, sql)
    if pa.types.is_fixed_size_list(values.type):
        values = values.cast(pa.large_list(values.type.value_type))
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
    row_of = np.repeat(np.arange(len(values)), lengths)
    inner = values.flatten()
    if inner.null_count:
        bad = np.zeros(len(values), dtype=bool)
        bad[row_of[inner.is_null().to_numpy(zero_copy_only=False)]] = True
        return inner, [Unfit(bad, f"an array holds NULL, or a value that is no {sql.element.name}")]
    texts, unfit = _json(inner, SqlType(sql.kind, sql.dims[1:], sql.precision, sql.scale))
    if unfit:
        return texts, [Unfit(np.isin(np.arange(len(values)), row_of[one.mask]), one.why) for one in unfit]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), texts)
    joined = pc.binary_join(lists, pa.scalar(",", _TEXT))
    return pc.binary_join_element_wise(pa.scalar("[", _TEXT), joined, pa.scalar("]", _TEXT), _empty()), []


def _scalars(values: pa.Array, sql: SqlType) -> tuple[pa.Array, list[Unfit]]:
    if sql.kind in _AS_THEY_ARE or pa.types.is_integer(values.type):
        return values.cast(_TEXT), []
    if pa.types.is_floating(values.type):
        mask = ~np.isfinite(values.to_numpy(zero_copy_only=False))
        return values.cast(_TEXT), [Unfit(mask, "NaN and Infinity have no JSON form")] if mask.any() else []
    if sql.kind == "JSON":
        texts = values.cast(_TEXT)
        mask = np.array([not _is_json(text.as_py()) for text in texts], dtype=bool)
        return texts, [Unfit(mask, "its text is not JSON")] if mask.any() else []
    datatype = datatype_of_tensor("BYTES")
    assert datatype is not None  # noqa: S101 - the protocol has it
    texts, unfit = to_tensor(values, sql, datatype, binary=False)
    if unfit:
        return texts, unfit
    quote = pa.scalar('"', _TEXT)
    return pc.binary_join_element_wise(quote, escaped(texts), quote, _empty()), []


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
