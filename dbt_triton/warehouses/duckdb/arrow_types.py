"""The Arrow types that the rest of the package reads, whatever DuckDB's settings ``arrow_*`` make of a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a record batch without views, extension types and short decimals; mostly the very same.

    Raises:
        pa.ArrowException: this version of Arrow cannot convert a type.
    """
    if all(_is_plain(kind) for kind in batch.schema.types):
        return batch
    return pa.RecordBatch.from_arrays([_plain_array(column) for column in batch.columns], names=batch.schema.names)


def has_boolean_arrays(kind: pa.DataType) -> bool:
    """Tell whether a type is an array whose elements are BOOLEANs of one byte."""
    if _is_array(kind):
        return has_boolean_arrays(kind.value_type) or _is_boolean_byte(kind.value_type)
    return False


def _is_plain(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType) or _is_view_of_list(kind):
        return False
    if _is_array(kind):
        return _is_plain(kind.value_type)
    return not any(_is(kind, name) for name in ("string_view", "binary_view", "decimal32", "decimal64"))


def _plain_array(array: pa.Array) -> pa.Array:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = _plain_array(array.storage)
        return storage.cast(pa.bool_()) if _is_boolean_byte(kind) else storage
    if _is_plain(kind):
        return array
    return _plain_list(array) if _is_array(kind) else _plain_leaf(array)


def _plain_leaf(array: pa.Array) -> pa.Array:
    kind = array.type
    if _is(kind, "string_view") or _is(kind, "binary_view"):
        return array.cast(pa.large_string() if _is(kind, "string_view") else pa.large_binary())
    return array.cast(pa.decimal128(kind.precision, kind.scale))


def _plain_list(array: pa.Array) -> pa.Array:
    kind = array.type
    mask = array.is_null() if array.null_count else None
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        elements = array.values.slice(array.offset * size, len(array) * size)
        return pa.FixedSizeListArray.from_arrays(_plain_array(elements), size, mask=mask)
    if _is_view_of_list(kind):
        return _list_of_view(array, mask)
    return pa.LargeListArray.from_arrays(array.offsets.cast(pa.int64()), _plain_array(array.values), mask=mask)


def _list_of_view(array: Any, mask: pa.Array | None) -> pa.Array:  # noqa: ANN401 - older versions of Arrow have no views
    """Gather the elements of each list; Arrow's own cast fails where the offsets are of 64 bits (25.0)."""
    starts, sizes = (np.asarray(part, dtype=np.int64) for part in (array.offsets, array.sizes))
    if mask is not None:
        sizes = np.where(mask.to_numpy(zero_copy_only=False), 0, sizes)
    offsets = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
    elements = _plain_array(array.values).take(pa.array(places))
    return pa.LargeListArray.from_arrays(pa.array(offsets), elements, mask=mask)


def _is_array(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, _is_view_of_list)
    return any(is_list(kind) for is_list in lists)


def _is_boolean_byte(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.bool8"


def _is_view_of_list(kind: pa.DataType) -> bool:
    return _is(kind, "list_view") or _is(kind, "large_list_view")


def _is(kind: pa.DataType, name: str) -> bool:
    """Tell whether a type is one that older versions of Arrow do not have."""
    test = getattr(pa.types, f"is_{name}", None)
    return test is not None and bool(test(kind))
