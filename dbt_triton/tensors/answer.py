"""From answers to Arrow columns, with everything checked first.

Triton sends what the model made, with status 200, even if rows are missing or the datatype is another one, so no
answer is believed before its names, datatypes, shapes and sizes were checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from dbt_triton.errors import AnswerError
from dbt_triton.tensors.request import TensorSpec

#: Walking in step is quicker where the longest part has no more elements than this many times the number of parts.
_LOCKSTEP_PARTS = 8


@dataclass(frozen=True)
class Answer:
    """The checked answer to one request: ``payloads`` holds each output's raw bytes (binary) or values (JSON)."""

    rows: int
    payloads: list[memoryview | list[Any]]
    model_version: str | None


def parse_answer(
    content: bytes | memoryview,
    header_length: int | None,
    outputs: Sequence[TensorSpec],
    rows: int,
    *,
    batched: bool,
) -> Answer:
    """Check one answer's outputs, and find their data.

    Args:
        content: the body.
        header_length: ``Inference-Header-Content-Length`` of a binary answer.
        outputs: what was asked for; outputs are read by name, since the server sends them in an order of its own.
        rows: how many rows were sent.
        batched: whether the model has a batch dimension.

    Raises:
        AnswerError: the answer is not what was asked for.
    """
    view = memoryview(content)
    header = _header(view if header_length is None else view[:header_length])
    payload = view[header_length:] if header_length is not None else view[:0]
    found = _by_name(header, payload)
    payloads: list[memoryview | list[Any]] = []
    for spec in outputs:
        if spec.name not in found:
            raise AnswerError(f"the answer has no output {spec.name}; it has {sorted(found) or 'none'}")
        output, data = found[spec.name]
        _check(spec, output, rows, batched=batched)
        _check_size(spec, data, rows)
        payloads.append(data)
    version = header.get("model_version")
    return Answer(rows, payloads, None if version is None else str(version))


def decode_outputs(answers: Sequence[Answer], outputs: Sequence[TensorSpec]) -> list[pa.Array]:
    """Decode the outputs of several answers, one Arrow array an output, rows in the order of the answers.

    Raises:
        AnswerError: the lengths within BYTES data do not add up, or a text is not UTF-8.
    """
    return [
        _decode([(answer.payloads[position], answer.rows) for answer in answers], spec)
        for position, spec in enumerate(outputs)
    ]


def _header(text: memoryview) -> dict[str, Any]:
    try:
        header = orjson.loads(text)
    except ValueError as error:
        raise AnswerError(f"the answer is not valid JSON: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("outputs"), list):
        raise AnswerError("the answer is not an inference answer: it has no outputs")
    return header


def _by_name(header: dict[str, Any], payload: memoryview) -> dict[str, tuple[dict[str, Any], memoryview | list[Any]]]:
    found: dict[str, tuple[dict[str, Any], memoryview | list[Any]]] = {}
    position = 0
    for output in header["outputs"]:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise AnswerError("the answer is not an inference answer: an output has no name")
        size = (output.get("parameters") or {}).get("binary_data_size")
        if isinstance(size, int):
            data: memoryview | list[Any] = payload[position : position + size]
            if len(data) != size:
                raise AnswerError("the answer is truncated: it has less binary data than it says")
            position += size
        elif isinstance(output.get("data"), list):
            data = output["data"]
        else:
            raise AnswerError(f"output {output['name']} has no data")
        found[output["name"]] = (output, data)
    if position != len(payload):
        raise AnswerError("the answer has more binary data than its outputs account for")
    return found


def _check(spec: TensorSpec, output: dict[str, Any], rows: int, *, batched: bool) -> None:
    if output.get("datatype") != spec.datatype.name:
        raise AnswerError(
            f"output {spec.name} has datatype {output.get('datatype')}, expected {spec.datatype.name}",
        )
    shape = output.get("shape")
    if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise AnswerError(f"output {spec.name} has no usable shape: {shape}")
    answered = shape[0] if batched and shape else 1
    if answered != rows:
        raise AnswerError(f"output {spec.name} has {answered} rows, but {rows} were sent")
    row_shape = shape[1:] if batched else shape
    if len(row_shape) != len(spec.row_shape) or math.prod(row_shape) != 1:
        raise AnswerError(
            f"output {spec.name} has the shape {shape}; one value a row was expected, as {list(spec.row_shape)}",
        )


def _check_size(spec: TensorSpec, data: memoryview | list[Any], rows: int) -> None:
    if isinstance(data, list):
        size, expected = len(data), rows
    elif spec.datatype.numpy is None:
        size, expected = len(data), max(len(data), 4 * rows)
    else:
        size, expected = len(data), rows * np.dtype(spec.datatype.numpy).itemsize
    if size != expected:
        raise AnswerError(f"output {spec.name} has data of size {size}, but its shape needs {expected}")


def _decode(parts: Sequence[tuple[memoryview | list[Any], int]], spec: TensorSpec) -> pa.Array:
    if any(isinstance(data, list) for data, _ in parts):
        return _decode_mixed(parts, spec)
    buffer = b"".join(data for data, _ in parts if not isinstance(data, list))
    rows = sum(count for _, count in parts)
    if spec.datatype.numpy is None:
        return _decode_bytes(buffer, [(len(data), count) for data, count in parts], rows, spec)
    values = np.frombuffer(buffer, dtype=spec.datatype.numpy)
    if pa.types.is_boolean(spec.datatype.arrow):
        return pa.array(np.frombuffer(buffer, dtype=np.uint8) != 0)
    return pa.array(values)


def _decode_mixed(parts: Sequence[tuple[memoryview | list[Any], int]], spec: TensorSpec) -> pa.Array:
    """Decode JSON answers, among which a server may have put binary ones."""
    arrays = []
    for data, count in parts:
        if not isinstance(data, list):
            arrays.append(_decode([(data, count)], spec))
            continue
        if pa.types.is_integer(spec.datatype.arrow) and any(isinstance(value, float) for value in data):
            # Arrow would cut off the fraction without a word.
            raise AnswerError(f"output {spec.name} holds a value that is not {spec.datatype.name}: a fraction")
        try:
            arrays.append(pa.array(data, type=spec.datatype.arrow, from_pandas=False))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise AnswerError(f"output {spec.name} holds a value that is not {spec.datatype.name}: {error}") from None
    joined: pa.Array = pa.concat_arrays(arrays)
    if joined.null_count:
        raise AnswerError(f"output {spec.name} holds null")
    return joined


def _decode_bytes(buffer: bytes, parts: Sequence[tuple[int, int]], rows: int, spec: TensorSpec) -> pa.Array:
    """Decode BYTES elements, each a little-endian uint32 length and then that many bytes."""
    starts = _element_starts(buffer, parts)
    if starts is None:
        raise AnswerError(f"the lengths within output {spec.name} do not add up to its size")
    data = np.frombuffer(buffer, dtype=np.uint8)
    is_content = np.ones(len(data), dtype=bool)
    for byte in range(4):
        is_content[starts + byte] = False
    lengths = np.diff(np.append(starts, len(data))) - 4
    offsets = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    kind = pa.large_binary()
    array = pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(offsets), pa.py_buffer(data[is_content])])
    target = pa.large_string() if pa.types.is_string(spec.datatype.arrow) else kind
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        raise AnswerError(f"output {spec.name} holds bytes that are not UTF-8; declare it as BYTES") from None


def _element_starts(buffer: bytes, parts: Sequence[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Find where each element starts, without walking them one by one in Python.

    Args:
        buffer: the elements of all parts, one after the other.
        parts: the size in bytes and the number of elements of each part.

    Returns:
        The starts, or None where the lengths do not fit the parts.
    """
    if any(part_size < 4 * count for part_size, count in parts):
        return None
    if len(buffer) == 0:
        return np.zeros(0, dtype=np.int64)
    data = np.frombuffer(buffer, dtype=np.uint8)
    longest = max(count for _, count in parts)
    if longest <= _LOCKSTEP_PARTS * len(parts):
        return _walk_in_step(data, parts, longest)
    starts = _walk_by_doubling(data, parts)
    return starts if starts is not None and _fits(starts, parts) else None


def _walk_in_step(
    data: np.ndarray[Any, np.dtype[np.uint8]], parts: Sequence[tuple[int, int]], longest: int
) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Walk all parts at once, one element of each at a step: quick where there are many parts of a few elements."""
    sizes = np.array([size for size, _ in parts], dtype=np.int64)
    counts = np.array([count for _, count in parts], dtype=np.int64)
    ends = np.cumsum(sizes)
    place = ends - sizes
    firsts = np.cumsum(counts) - counts
    starts = np.empty(int(counts.sum()), dtype=np.int64)
    # The length at every place of the buffer, as a view: no place is read that is not a start.
    lengths = np.lib.stride_tricks.as_strided(data.view(), shape=(max(len(data) - 3, 0), 4), strides=(1, 1))
    for step in range(longest):
        unfinished = counts > step
        if not unfinished.all():
            place, ends, firsts, counts = place[unfinished], ends[unfinished], firsts[unfinished], counts[unfinished]
        if (place > ends - 4).any():
            return None
        starts[firsts + step] = place
        place = place + 4 + np.ascontiguousarray(lengths[place]).view("<u4")[:, 0]
        last = counts == step + 1
        if not np.array_equal(place[last], ends[last]):
            return None
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
