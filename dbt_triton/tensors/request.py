"""From Arrow columns to the bodies of inference requests, with no Python object a row.

A whole record batch is encoded at once into one buffer a column; a request's tensor is then a slice of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dbt_triton.errors import DbtTritonError
from dbt_triton.tensors.datatypes import Datatype

_CONTROL = [chr(code) for code in range(0x20)]
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a model as a column is bound to it.

    Args:
        column: the column of INPUT or OUTPUT.
        name: the tensor's name.
        datatype: its datatype.
        row_shape: the shape of one row, without the batch dimension; its product is 1.
    """

    column: str
    name: str
    datatype: Datatype
    row_shape: tuple[int, ...]


@dataclass(frozen=True)
class EncodedColumn:
    """One column on the wire: row ``i`` is ``data[starts[i]:starts[i + 1]]``."""

    data: memoryview
    starts: np.ndarray[Any, np.dtype[np.int64]] | None
    width: int

    def rows(self, start: int, end: int) -> memoryview:
        """Return the bytes of rows ``start`` to ``end`` (exclusive)."""
        if self.starts is None:
            return self.data[start * self.width : end * self.width]
        return self.data[self.starts[start] : self.starts[end]]


def encode_binary(array: pa.Array, datatype: Datatype) -> EncodedColumn:
    """Encode a column without NULLs as Triton's binary tensor data.

    A BYTES element is a little-endian uint32 length, then the bytes; a BOOL is one byte.
    Source: the protocol extension "binary tensor data" of Triton.
    """
    if datatype.numpy is None:
        return _lay_bytes(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    values = array.to_numpy(zero_copy_only=False)
    width = np.dtype(datatype.numpy).itemsize
    return EncodedColumn(memoryview(np.ascontiguousarray(values).view(np.uint8).data), None, width)


def encode_json(array: pa.Array, datatype: Datatype) -> EncodedColumn:
    """Encode a column without NULLs as JSON values, each followed by a comma.

    Raises:
        DbtTritonError: a value has no JSON form (NaN, Infinity, bytes that are not UTF-8).
    """
    if datatype.numpy is None:
        quote, quote_comma = (pa.scalar(text, pa.large_string()) for text in ('"', '",'))
        return _concatenated(quote, _escaped(array), quote_comma)
    if pa.types.is_floating(array.type) and not pc.all(pc.is_finite(array)).as_py():
        raise DbtTritonError("NaN and Infinity have no JSON form; use 'binary-data' = 'true'")
    # Arrow prints the shortest text that reads back as the same number.
    text = array.cast(pa.large_string())
    return _concatenated(text, pa.scalar(",", pa.large_string()))


class RequestFormat:
    """How the requests of one model look: which tensors, which outputs, JSON or binary.

    Args:
        inputs: the tensors to send, in the order of the record batch's columns.
        outputs: the tensors to ask for.
        binary: binary tensor data, or JSON.
        parameters: the request's ``parameters`` (priority and the like).
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        binary: bool,
        batched: bool,
        parameters: Mapping[str, int | bool | str] | None = None,
    ) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.binary = binary
        self.batched = batched
        self._parameters = dict(parameters or {})
        self._json_parts = lru_cache(maxsize=64)(self._make_json_parts)

    def encode(self, columns: Sequence[pa.Array]) -> EncodedRows:
        """Encode the columns of one record batch; they hold no NULLs."""
        encode = encode_binary if self.binary else encode_json
        return EncodedRows(self, [encode(a, spec.datatype) for a, spec in zip(columns, self.inputs, strict=True)])

    def binary_body(self, parts: list[memoryview], rows: int, extra: dict[str, Any] | None) -> tuple[bytes, int]:
        """Return a request's body and the length of its JSON header."""
        inputs = [
            {
                "name": spec.name,
                "shape": self._shape(spec, rows),
                "datatype": spec.datatype.name,
                "parameters": {"binary_data_size": len(part)},
            }
            for spec, part in zip(self.inputs, parts, strict=True)
        ]
        header = orjson.dumps(self._header(inputs, extra))
        return b"".join([header, *parts]), len(header)

    def json_body(self, parts: list[memoryview], rows: int, extra: dict[str, Any] | None) -> bytes:
        """Return a request's body."""
        fixed = self._json_parts(rows, orjson.dumps(extra) if extra else b"")
        pieces: list[bytes | memoryview] = [fixed[0]]
        for part, after in zip(parts, fixed[1:], strict=True):
            pieces += [part[:-1], after]
        return b"".join(pieces)

    def _make_json_parts(self, rows: int, extra: bytes) -> list[bytes]:
        """Return the constant text before, between and after the data of the inputs."""
        mark = "\u0000data"
        inputs = [
            {
                "name": spec.name,
                "shape": self._shape(spec, rows),
                "datatype": spec.datatype.name,
                "data": [mark],
            }
            for spec in self.inputs
        ]
        text = orjson.dumps(self._header(inputs, orjson.loads(extra) if extra else None))
        return text.split(orjson.dumps(mark))

    def _header(self, inputs: list[dict[str, Any]], extra: dict[str, Any] | None) -> dict[str, Any]:
        outputs = [
            {"name": spec.name, "parameters": {"binary_data": True}} if self.binary else {"name": spec.name}
            for spec in self.outputs
        ]
        header: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
        parameters = self._parameters | (extra or {})
        if parameters:
            header["parameters"] = parameters
        return header

    def _shape(self, spec: TensorSpec, rows: int) -> list[int]:
        return [rows, *spec.row_shape] if self.batched else list(spec.row_shape)


@dataclass(frozen=True)
class EncodedRows:
    """The encoded columns of one record batch, from which the bodies of requests are cut."""

    format: RequestFormat
    columns: list[EncodedColumn]

    def body(self, start: int, end: int, extra: dict[str, Any] | None = None) -> tuple[bytes, int | None]:
        """Return the body for rows ``start`` to ``end`` (exclusive), and the length of its binary header.

        Args:
            start: the first row.
            end: the row after the last.
            extra: ``parameters`` of this request alone (the start and end of a sequence).

        Returns:
            The body, and ``Inference-Header-Content-Length`` where it is binary, else None.
        """
        parts = [column.rows(start, end) for column in self.columns]
        if self.format.binary:
            return self.format.binary_body(parts, end - start, extra)
        return self.format.json_body(parts, end - start, extra), None


def _as_large_binary(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = array.cast(pa.large_string()).cast(pa.large_binary())
    elif not pa.types.is_large_binary(kind):
        array = array.cast(pa.large_binary())
    return array


def _lay_bytes(array: pa.Array) -> EncodedColumn:
    values = _as_large_binary(array)
    lengths = pc.binary_length(values).to_numpy(zero_copy_only=False).astype("<u4")
    prefixes = pa.Array.from_buffers(pa.binary(4), len(values), [None, pa.py_buffer(lengths)])
    return _concatenated(prefixes.cast(pa.large_binary()), values)


def _concatenated(*pieces: pa.Array | pa.Scalar) -> EncodedColumn:
    """Join the pieces of each row, and the rows, in one buffer."""
    kind = next(piece.type for piece in pieces if isinstance(piece, pa.Array))
    joined = pc.binary_join_element_wise(*pieces, pa.scalar(b"" if kind == pa.large_binary() else "", kind))
    _, offsets, data = joined.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[joined.offset : joined.offset + len(joined) + 1]
    return EncodedColumn(memoryview(data or b""), starts, 0)


def _escaped(array: pa.Array) -> pa.Array:
    """Escape texts for JSON."""
    try:
        text = _as_large_binary(array).cast(pa.large_string())
    except pa.ArrowInvalid as error:
        raise DbtTritonError("bytes that are not UTF-8 have no JSON form; use 'binary-data' = 'true'") from error
    if not pc.any(pc.match_substring_regex(text, _NEEDS_ESCAPE)).as_py():
        return text
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"')):
        text = pc.replace_substring(text, plain, escaped)
    for control in _CONTROL:
        if pc.any(pc.match_substring(text, control)).as_py():
            text = pc.replace_substring(text, control, f"\\u{ord(control):04x}")
    return text
