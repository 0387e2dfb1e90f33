"""BYTES elements in binary tensor data, found without walking them one by one in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Walking in step is quicker where the longest part has no more elements than this many times the number of parts.
_LOCKSTEP_PARTS = 8
#: Stands behind the elements of a buffer.
PADDING = bytes(8)


def decode_bytes(buffer: bytes, parts: Sequence[tuple[int, int]], elements: int) -> pa.Array | None:
    """Decode BYTES elements, each a little-endian uint32 length and then that many bytes, to large_binary.

    Args:
        buffer: the elements of all parts, one after the other, and `PADDING`, which saves copies.
        parts: the size in bytes and the number of elements of each part.
        elements: how many there are in all.

    Returns:
        The elements, or None where their lengths do not add up to the sizes of the parts.
    """
    if any(count == 0 < size for size, count in parts):
        return None
    starts = _element_starts(buffer, [part for part in parts if part[1]])
    if starts is None:
        return None
    # Each element with the length of the next one behind it, which Arrow then cuts off.
    offsets = np.append(starts + 4, len(buffer) - len(PADDING) + 4)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(buffer)]
    return pc.binary_slice(pa.Array.from_buffers(pa.large_binary(), elements, buffers), 0, -4)


def _element_starts(buffer: bytes, parts: Sequence[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Find where each element starts, without walking them one by one in Python.

    Args:
        buffer: the elements of all parts, one after the other, and `PADDING`.
        parts: the size in bytes and the number of elements of each part.

    Returns:
        The starts, or None where the lengths do not fit the parts.
    """
    if any(part_size < 4 * count for part_size, count in parts):
        return None
    if not parts:
        return np.zeros(0, dtype=np.int64)
    if max(count for _, count in parts) <= _LOCKSTEP_PARTS * len(parts):
        return _walk_in_step(buffer, parts)
    size = len(buffer) - len(PADDING)
    starts = _walk_by_doubling(np.frombuffer(buffer, dtype=np.uint8, count=size), parts)
    return starts if starts is not None and _fits(starts, parts) else None


def _walk_in_step(buffer: bytes, parts: Sequence[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Walk all parts at once, one element of each at a step: quick where there are many parts of a few elements."""
    sizes = np.array([size for size, _ in parts], dtype=np.int64)
    counts = np.array([count for _, count in parts], dtype=np.int64)
    ends = np.cumsum(sizes)
    firsts = np.cumsum(counts) - counts
    starts = np.empty(int(counts.sum()), dtype=np.int64)
    # The length that would stand at every place; behind the end, where a chain of lies leads, it is zero.
    outside = len(buffer) - len(PADDING) + 1
    lengths: np.ndarray[Any, np.dtype[np.uint32]] = np.ndarray((outside + 1,), "<u4", buffer, 0, (1,))
    for count in np.unique(counts):
        group = np.flatnonzero(counts == count)
        place = ends[group] - sizes[group]
        steps = np.empty((count, len(group)), dtype=np.int64)
        for step in range(count):
            steps[step] = place
            place = np.minimum(place + 4 + lengths[place], outside)
        # A chain only goes forward, so one that ends where it should was within its part all the way.
        if not np.array_equal(place, ends[group]):
            return None
        starts[firsts[group][:, None] + np.arange(count)] = steps.T
    return starts


def _walk_by_doubling(
    data: np.ndarray[Any, np.dtype[np.uint8]], parts: Sequence[tuple[int, int]]
) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Find the starts where there are few parts of many elements.

    A chain "start, then 4 + length further on" cannot be followed by vector operations alone, but its links are
    rare: no element is longer than its part, so the upper bytes of a length are small. So every place that could be a
    start is a candidate, each candidate knows the next start, and the chain is followed by doubling.
    """
    longest = max(part_size for part_size, _ in parts)
    upper = data[3:] <= min(longest >> 24, 255)
    if longest < 2**24:
        upper &= data[2:-1] <= longest >> 16
    if longest < 2**16:
        upper &= data[1:-2] <= longest >> 8
    candidates = np.flatnonzero(upper)
    lengths = sum(data[candidates + byte].astype(np.int64) << (8 * byte) for byte in range(4))
    following = candidates + 4 + lengths
    return _follow(candidates, following, len(data), sum(count for _, count in parts))


def _follow(
    candidates: np.ndarray[Any, np.dtype[np.int64]],
    following: np.ndarray[Any, np.dtype[np.int64]],
    size: int,
    rows: int,
) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Follow the chain from place 0 to the end of the buffer in ``log2(rows)`` steps."""
    if len(candidates) == 0 or candidates[0] != 0:
        return None
    if len(candidates) == rows and following[-1] == size and np.array_equal(following[:-1], candidates[1:]):
        return candidates  # no candidate but the starts: usual for text
    end = len(candidates)  # the state behind the last element
    jump = np.searchsorted(candidates, following)
    known = np.append(candidates, size)[np.minimum(jump, end)] == following
    broken = end + 1  # the state of a chain that leaves the candidates
    jump = np.append(np.where(known, jump, broken), [end, broken])
    chain = np.zeros(1, dtype=np.int64)
    while len(chain) < rows:
        chain = np.concatenate([chain, jump[chain]])
        jump = jump[jump]
    chain = chain[:rows]
    if chain.max() >= end or following[chain[-1]] != size:
        return None
    return candidates[chain]


def _fits(starts: np.ndarray[Any, np.dtype[np.int64]], parts: Sequence[tuple[int, int]]) -> bool:
    """Tell whether every part begins with an element and holds the number of elements that it should."""
    sizes = np.array([size for size, _ in parts], dtype=np.int64)
    counts = np.array([count for _, count in parts], dtype=np.int64)
    begins = np.cumsum(sizes) - sizes
    firsts = np.cumsum(counts) - counts
    return bool(np.array_equal(starts[firsts], begins))
