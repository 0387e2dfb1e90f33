"""Keys of rows by the bytes of their values: BLAKE2b (RFC 7693), keyed with a salt, of 128 bits.

For rows of kilobytes and megabytes. Who writes inputs does not know the salt, so nobody can make two rows of one key.
Two rows have one key exactly if their values are the same bytes: 0.0 and -0.0 differ, and so do NaNs of other bits.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

KEY_BYTES = 16
#: hashlib gives Python's lock away for more bytes than these at once.
_PIECE_BYTES, _MOST_PIECES = 2047, 16
#: Feeds the bytes of one row to a hash.
_Feed = Callable[[Any, int], None]
_SIZE = struct.Struct("<q")
_Integers = np.ndarray[Any, np.dtype[np.int64]]
_Missing = np.ndarray[Any, np.dtype[np.uint8]]


def row_keys(columns: Sequence[pa.Array], salt: bytes, optional: Collection[int] = ()) -> list[bytes | None]:
    """Return the key of each row; None for a row with a NULL that must not be, or with nothing else.

    Args:
        columns: arrays of numbers or of times in any number of levels, bytes and texts, of equal length.
        salt: up to 64 bytes.
        optional: the places of columns without which a row has a key.
    """
    feeds = [
        _feed_or_nothing(column) if place in optional else _feed_of(column) for place, column in enumerate(columns)
    ]
    is_null = np.zeros(len(columns[0]), dtype=bool)
    has_nothing = np.ones(len(columns[0]), dtype=bool)
    for place, column in enumerate(columns):
        missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else np.False_
        has_nothing &= missing
        if place not in optional:
            is_null |= missing
    is_null |= has_nothing
    salted = hashlib.blake2b(digest_size=KEY_BYTES, key=salt)
    keys: list[bytes | None] = []
    for row, left_out in enumerate(is_null.tolist()):
        if left_out:
            keys.append(None)
            continue
        hashed = salted.copy()
        for feed in feeds:
            feed(hashed, row)
        keys.append(hashed.digest())
    return keys


def _feed_or_nothing(column: pa.Array) -> _Feed:
    """Feed whether there is a value, and then the value."""
    missing, of_value = column.is_null().to_numpy(zero_copy_only=False), _feed_of(column)

    def feed(hashed: Any, row: int) -> None:  # noqa: ANN401 - hashlib's types have no name
        hashed.update(b"\0" if missing[row] else b"\1")
        if not missing[row]:
            of_value(hashed, row)

    return feed


def _feed_of(column: pa.Array) -> _Feed:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        column = column.cast(pa.large_binary())
    elif not (pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)):
        return _feed_of_arrays(column)
    _, offsets, buffer = column.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1].tolist()
    data = memoryview(buffer or b"")

    def feed(hashed: Any, row: int) -> None:  # noqa: ANN401 - hashlib's types have no name
        start, end = starts[row], starts[row + 1]
        hashed.update(_SIZE.pack(end - start))
        hashed.update(data[start:end])

    return feed


def _feed_of_arrays(column: pa.Array) -> _Feed:
    """Feed the lengths of each level and which of its arrays are NULL, then the same of elements, and their bytes."""
    starts = np.arange(len(column) + 1, dtype=np.int64)
    levels: list[tuple[list[int], _Integers, bool, _Missing | None]] = []
    while pa.types.is_nested(column.type):
        lengths = _lengths(column)
        same = bool(len(lengths)) and bool((lengths == lengths[0]).all())
        levels.append((starts.tolist(), lengths, same, _missing(column)))
        ends = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=ends[1:])
        starts = ends[starts]
        column = column.flatten()
    nulls, places = _missing(column), starts.tolist()
    data, width = _bytes_of(column)
    # Of the outermost level a row has one array, which is not NULL.
    _, outermost, _, _ = levels.pop(0)
    heads = [_SIZE.pack(length) for length in outermost.tolist()]

    def feed(hashed: Any, row: int) -> None:  # noqa: ANN401 - hashlib's types have no name
        hashed.update(heads[row])
        for firsts, lengths, same, missing in levels:
            start, end = firsts[row], firsts[row + 1]
            _feed_lengths(hashed, lengths[start:end], same=same)
            _feed_missing(hashed, missing, start, end)
        start, end = places[row], places[row + 1]
        _feed_missing(hashed, nulls, start, end)
        _feed_data(hashed, data, start * width, end * width)

    return feed


def _missing(array: pa.Array) -> _Missing | None:
    return array.is_null().to_numpy(zero_copy_only=False).view(np.uint8) if array.null_count else None


def _feed_missing(hashed: Any, missing: _Missing | None, start: int, end: int) -> None:  # noqa: ANN401 - as above
    if missing is None or not missing[start:end].any():
        hashed.update(b"\0")
    else:
        hashed.update(b"\1")
        hashed.update(missing[start:end])


def _feed_data(hashed: Any, data: memoryview, start: int, end: int) -> None:  # noqa: ANN401 - as above
    """Feed bytes; a few kilobytes in pieces for which hashlib keeps Python's lock: it may wait long to get it back."""
    if end - start > _MOST_PIECES * _PIECE_BYTES:
        hashed.update(data[start:end])
        return
    for piece in range(start, end, _PIECE_BYTES):
        hashed.update(data[piece : min(piece + _PIECE_BYTES, end)])


def _feed_lengths(hashed: Any, lengths: _Integers, *, same: bool) -> None:  # noqa: ANN401 - hashlib's types have no name
    """Feed how many arrays there are, and their lengths: one number where all are alike, as those of an image are."""
    if not len(lengths):
        hashed.update(_SIZE.pack(0))
    elif same or (lengths == lengths[0]).all():
        hashed.update(_SIZE.pack(len(lengths)) + _SIZE.pack(int(lengths[0])))
    else:
        hashed.update(_SIZE.pack(-len(lengths)))
        hashed.update(np.ascontiguousarray(lengths))


def _lengths(column: pa.Array) -> _Integers:
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size, dtype=np.int64)
    else:
        lengths = np.diff(np.asarray(column.offsets, dtype=np.int64))
    # What lies behind a NULL is nothing.
    return np.where(column.is_null().to_numpy(zero_copy_only=False), 0, lengths) if column.null_count else lengths


def _bytes_of(elements: pa.Array) -> tuple[memoryview, int]:
    """Return the bytes of elements of one width, and that width; NULLs are zeros."""
    if pa.types.is_boolean(elements.type):
        elements = elements.cast(pa.uint8())
    width: int = elements.type.bit_width // 8
    buffer = elements.buffers()[1]
    if buffer is None or not len(elements):
        return memoryview(b""), width
    start = elements.offset * width
    data = np.frombuffer(buffer, dtype=np.uint8)[start : start + len(elements) * width]
    missing = _missing(elements)
    if missing is not None:
        data = data.reshape(-1, width).copy()
        data[missing.view(np.bool_)] = 0
        data = data.ravel()
    return data.data, width
