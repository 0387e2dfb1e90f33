"""The elements of a tensor on the wire, as binary tensor data or as JSON, with no Python object an element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.arrow_numbers import as_numpy
from dbt_triton.tensors.bytes_elements import encode_bytes
from dbt_triton.tensors.datatypes import Datatype

_CONTROL = [chr(code) for code in range(0x20)]
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """One column on the wire: row ``i`` is ``data[starts[i]:starts[i + 1]]``."""

    data: memoryview
    starts: memoryview | None
    width: int

    def rows(self, start: int, end: int) -> memoryview:
        """Return the bytes of rows ``start`` to ``end`` (exclusive)."""
        starts = self.starts
        if starts is None:
            return self.data[start * self.width : end * self.width]
        return self.data[starts[start] : starts[end]]

    def of_arrays(self, elements: int) -> EncodedColumn:
        """Return the same data in rows of so many elements."""
        if elements == 0 or self.starts is None:
            return EncodedColumn(self.data, None, self.width * elements)
        return EncodedColumn(self.data, self.starts[::elements], 0)


def encode_binary(array: pa.Array, datatype: Datatype) -> EncodedColumn:
    """Encode a column without NULLs as Triton's binary tensor data.

    A BYTES element is a little-endian uint32 length, then the bytes; a BOOL is one byte.
    Source: the protocol extension "binary tensor data" of Triton.
    """
    if datatype.numpy is None:
        laid, starts = encode_bytes(as_large_binary(array))
        return EncodedColumn(laid, starts.data, 0)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    values = as_numpy(array)
    width = np.dtype(datatype.numpy).itemsize
    return EncodedColumn(memoryview(np.ascontiguousarray(values).view(np.uint8).data), None, width)


def encode_json(array: pa.Array, datatype: Datatype) -> EncodedColumn:
    """Encode a column without NULLs as JSON values, each followed by a comma."""
    if datatype.numpy is None:
        quote, quote_comma = (pa.scalar(text, pa.large_string()) for text in ('"', '",'))
        return _concatenated(quote, escaped(array), quote_comma)
    # Arrow prints the shortest text that reads back as the same number.
    text = array.cast(pa.large_string())
    if pa.types.is_floating(array.type):
        text = _with_negative_zeros(text, array)
    return _concatenated(text, pa.scalar(",", pa.large_string()))


def _with_negative_zeros(text: pa.Array, numbers: pa.Array) -> pa.Array:
    """Write -0, which a server reads as a whole number without a sign, as -0.0."""
    values = numbers.to_numpy(zero_copy_only=False)
    negative = np.signbit(values) & (values == 0)
    return pc.if_else(pa.array(negative), pa.scalar("-0.0", text.type), text) if negative.any() else text


def as_large_binary(array: pa.Array) -> pa.Array:
    """Return texts or bytes as large_binary, without a copy of them."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = array.cast(pa.large_string()).cast(pa.large_binary())
    elif not pa.types.is_large_binary(kind):
        array = array.cast(pa.large_binary())
    return array


def _concatenated(*pieces: pa.Array | pa.Scalar) -> EncodedColumn:
    """Join the pieces of each row, and the rows, in one buffer."""
    kind = next(piece.type for piece in pieces if isinstance(piece, pa.Array))
    joined = pc.binary_join_element_wise(*pieces, pa.scalar(b"" if kind == pa.large_binary() else "", kind))
    _, offsets, data = joined.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[joined.offset : joined.offset + len(joined) + 1]
    return EncodedColumn(memoryview(data or b""), starts.data, 0)


def escaped(array: pa.Array) -> pa.Array:
    """Escape texts for JSON."""
    text = as_large_binary(array).cast(pa.large_string())
    if not pc.any(pc.match_substring_regex(text, _NEEDS_ESCAPE)).as_py():
        return text
    for plain, written in (("\\", "\\\\"), ('"', '\\"')):
        text = pc.replace_substring(text, plain, written)
    for control in _CONTROL:
        if pc.any(pc.match_substring(text, control)).as_py():
            text = pc.replace_substring(text, control, f"\\u{ord(control):04x}")
    return text
