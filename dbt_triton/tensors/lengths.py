"""How long rows are: rows of similar length share a request, and a request may have a budget.

A model that reads sequences makes every row of a request as long as the longest. So what a request costs is its rows
times its longest row, and rows in any order pay for padding: two thirds of all that is computed, where lengths have a
long tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.arrow_numbers import as_numpy
from dbt_triton.tensors.arrays import Integers, Unnested
from dbt_triton.tensors.encode import as_large_binary
from dbt_triton.tensors.spec import TensorSpec

#: For each input that has a length, the lengths of its array levels, a row each; of texts one level, in tokens.
Lengths = list[list[Integers]]

#: Bytes of UTF-8 that count as one token in a budget. Word pieces have 4.2 (film reviews, the vocabulary of BERT).
TOKEN_BYTES = 4
#: Where rows as they come are padded by no more than this, there is nothing to gain, and they are left as they are.
_LITTLE_PADDING = 1.05
#: numpy sorts numbers of 16 bits by their digits, in a third of the time; rows longer than that count as one length.
_LONGEST = 2**16 - 1
#: Rows are sorted by one for so many bytes, and one for each sign that is no small letter: words end at spaces and
#: signs, and names are cut into pieces. It is nearer to the tokens of word pieces than the bytes are (film reviews: a
#: correlation of 0.974, and of 0.959), so that 3 to 5 % less is computed.
_BYTES_OF_PIECES = 8


@dataclass(frozen=True)
class Batching:
    """How rows are put together into requests.

    Args:
        by_length: rows of similar length go into one request.
        tokens: a request's rows times its longest row are no more, but for a row that is longer by itself.
    """

    by_length: bool = True
    tokens: int | None = None

    def order(self, columns: Sequence[pa.Array], specs: Sequence[TensorSpec], request_rows: int) -> Integers | None:
        """Return the places of rows by the length of their texts, the longest first; None to leave them as they are.

        Args:
            columns: the inputs, perhaps with NULLs.
            specs: what they are bound to. Arrays have no say: rows of one shape share a request, or they are padded.
            request_rows: how many rows a request has.
        """
        texts = [column for column, spec in zip(columns, specs, strict=False) if is_text(spec)]
        if not self.by_length or not texts or request_rows == 1:
            return None
        if self.tokens is None and _is_padded_little(np.sum([_bytes_of(one) for one in texts], axis=0), request_rows):
            return None
        pieces = np.minimum(np.sum([_pieces_of(one) for one in texts], axis=0), _LONGEST).astype(np.uint16)
        return np.argsort(_LONGEST - pieces, kind="stable")

    def lengths(self, rows: Sequence[Unnested], columns: Sequence[pa.Array], specs: Sequence[TensorSpec]) -> Lengths:
        """Return how long rows are, for each input whose rows may differ; nothing where there is no budget."""
        if self.tokens is None:
            return []
        inputs = zip(rows, columns, specs, strict=False)
        return [
            [_tokens_of(column)] if is_text(spec) else unnested.sizes
            for unnested, column, spec in inputs
            if has_length(spec)
        ]

    def cuts(self, lengths: Lengths, count: int, request_rows: int) -> list[tuple[int, int]]:
        """Return from which row to which (exclusive) each request goes.

        Args:
            lengths: of the rows.
            count: how many rows there are.
            request_rows: how many a request has at most.
        """
        if self.tokens is None or not lengths:
            return [(start, min(start + request_rows, count)) for start in range(0, count, request_rows)]
        found, start = [], 0
        most = min(request_rows, self.tokens)
        while start < count:
            sizes = _padded_sizes(lengths, start, min(start + most, count))
            end = start + max(int(np.searchsorted(sizes, self.tokens, side="right")), 1)
            found.append((start, end))
            start = end
        return found


BY_LENGTH = Batching()


def is_text(spec: TensorSpec) -> bool:
    """Tell whether a tensor has texts; a BLOB is none: an image's bytes say nothing of what it costs."""
    return spec.datatype.numpy is None and spec.sql.element.kind in {"VARCHAR", "JSON"}


def has_length(spec: TensorSpec) -> bool:
    """Tell whether the rows of a tensor may be of different lengths."""
    return is_text(spec) or -1 in spec.row_shape


def lengths_at(lengths: Lengths, places: Integers) -> Lengths:
    """Return those of the rows at these places."""
    return [[level[places] for level in levels] for levels in lengths]


def _padded_sizes(lengths: Lengths, start: int, end: int) -> Integers:
    """Return the size of a request that begins at a row, by the row that is its last; a row counts as one at least."""
    size: Any = 0
    for levels in lengths:
        longest: Any = 1
        for level in levels:
            longest = longest * np.maximum.accumulate(level[start:end])
        size = size + longest
    sizes: Integers = np.maximum(size, 1) * np.arange(1, end - start + 1)
    return sizes


def _is_padded_little(sizes: Integers, request_rows: int) -> bool:
    """Tell whether rows as they come are about as long as the longest of their request, or share only one."""
    if len(sizes) <= request_rows:
        return True
    starts = np.arange(0, len(sizes), request_rows)
    padded = np.maximum.reduceat(sizes, starts) * np.diff(starts, append=len(sizes))
    return bool(padded.sum() <= _LITTLE_PADDING * sizes.sum())


def _bytes_of(texts: pa.Array) -> Integers:
    """Return the bytes of each row's texts."""
    return _summed(texts, lambda column: np.diff(_laid(column)[0]))


def _tokens_of(texts: pa.Array) -> Integers:
    """Return about how many tokens each row's texts have, each rounded up."""
    return _summed(texts, lambda column: -(-np.diff(_laid(column)[0]) // TOKEN_BYTES))


def _pieces_of(texts: pa.Array) -> Integers:
    """Return a number for each row that grows as its tokens do."""
    return _summed(texts, _pieces)


def _pieces(column: pa.Array) -> Integers:
    offsets, data = _laid(column)
    data = data[offsets[0] : offsets[-1]]
    sizes = np.diff(offsets)
    pieces = sizes // _BYTES_OF_PIECES
    # Neither a small letter nor a further byte of a character.
    signs = (data - np.uint8(ord("a")) > ord("z") - ord("a")) & (data & 0xC0 != 0x80)  # noqa: PLR2004 - UTF-8
    filled = sizes > 0
    pieces[filled] += np.add.reduceat(signs, offsets[:-1][filled] - offsets[0], dtype=np.int64) if len(data) else 0
    return pieces


def _laid(column: pa.Array) -> tuple[Integers, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return where each text begins, with the end behind the last, and the bytes of all texts.

    It asks the buffers: within a run, a call of Arrow's functions takes the thread some milliseconds (measured).
    """
    kind = column.type
    small = pa.types.is_string(kind) or pa.types.is_binary(kind)
    column = column if small else as_large_binary(column)
    _, offsets, data = column.buffers()
    first = column.offset
    found = np.frombuffer(offsets, np.int32 if small else np.int64, count=first + len(column) + 1)[first:]
    return found.astype(np.int64, copy=False), np.frombuffer(data or b"", np.uint8)


def _summed(column: pa.Array, measure: Any) -> Integers:  # noqa: ANN401 - a function of a flat column
    """Measure the texts of a column, and add up those of each array."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        values = column.values.slice(column.offset * size, len(column) * size)
        total: Integers = _summed(values, measure).reshape(len(column), size).sum(axis=1)
        return total
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = as_numpy(column.offsets).astype(np.int64, copy=False)
        values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        ends = np.concatenate([[0], np.cumsum(_summed(values, measure))])[offsets - offsets[0]]
        return np.diff(ends)
    found: Integers = measure(column)
    return found
