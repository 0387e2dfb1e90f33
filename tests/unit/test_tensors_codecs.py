"""The codecs without a server: bytes on the wire, and answers that are not what they should be."""

from __future__ import annotations

import math
import struct

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.errors import AnswerError
from dbt_triton.tensors import (
    RequestFormat,
    SqlType,
    TensorSpec,
    datatype_of_tensor,
    decode_outputs,
    parse_answer,
    parse_sql_type,
)
from dbt_triton.tensors.shapes import bind_shape


def _spec(sql: str, datatype: str, dims: tuple[int, ...], pad: str | None = None) -> TensorSpec:
    parsed, kind = parse_sql_type(sql), datatype_of_tensor(datatype)
    assert isinstance(parsed, SqlType)
    assert kind is not None
    shape = bind_shape(parsed, kind, dims, output=False)
    assert not isinstance(shape, str)
    return TensorSpec("x", "X", kind, shape[0], parsed, shape[1], pad)


def _data(spec: TensorSpec, column: pa.Array) -> bytes:
    """Return the binary tensor data of one request."""
    encoded = RequestFormat([spec], [], binary=True, batched=True).encode([column], len(column))
    assert encoded.refused == []
    body, header_length = encoded.groups[0][1].body(0, len(column))
    return body[header_length:]


def _decode(spec: TensorSpec, parts: list[tuple[list[int], bytes]]) -> pa.Array:
    """Decode binary answers, given their shapes and data."""
    answers = []
    for shape, data in parts:
        output = {"name": "X", "datatype": spec.datatype.name, "shape": shape}
        header = orjson.dumps({"outputs": [output | {"parameters": {"binary_data_size": len(data)}}]})
        answers.append(parse_answer(header + data, len(header), [spec], shape[0], batched=True))
    return decode_outputs(answers, [spec])[0]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_bfloat16_is_the_nearest(numbers: list[float]) -> None:
    """BF16 rounds to the nearest; what rounds to no finite number is a failed row, and infinity is itself."""
    column = pa.array(numbers, pa.float32())
    encoded = RequestFormat([_spec("BFLOAT16", "BF16", (1,))], [], binary=True, batched=True).encode([column], 1)
    refused = {place for one in encoded.refused for place in one.places.tolist()}
    kept = [number for place, number in enumerate(numbers) if place not in refused]
    for place in refused:
        assert abs(numbers[place]) > 3.38e38
    if not kept:
        return
    body, header_length = encoded.groups[0][1].body(0, len(kept))
    bits = np.frombuffer(body[header_length:], "<u2").astype(np.uint32) << 16
    for number, sent in zip(kept, bits.view(np.float32).tolist(), strict=True):
        if math.isinf(number):
            assert sent == number
            continue
        low = struct.unpack("<I", struct.pack("<f", number))[0] & 0xFFFF0000
        below, above = (struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (low, low + 0x10000))
        assert sent in {below, above}
        assert abs(sent - number) <= min(abs(below - number), abs(above - number))


@given(st.lists(st.lists(st.binary(max_size=5), max_size=4), min_size=1, max_size=8))
def test_texts_in_arrays_survive(rows: list[list[bytes]]) -> None:
    """BYTES arrays of any length, empty ones too, come out of the wire as they went in."""
    spec = _spec("BYTES[]", "BYTES", (-1,))
    parts = [([1, len(row)], _data(spec, pa.array([row], pa.list_(pa.binary())))) for row in rows]
    assert _decode(spec, parts).to_pylist() == rows


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_padding_is_at_the_end(lengths: list[int], data: st.DataObject) -> None:
    """A padded row is its own values, and then nothing but the filling."""
    rows = [data.draw(st.lists(st.integers(1, 9), min_size=size, max_size=size)) for size in lengths]
    spec = _spec("INT[]", "INT32", (-1,), pad="0")
    encoded = RequestFormat([spec], [], binary=True, batched=True).encode([pa.array(rows, pa.list_(pa.int32()))], 4)
    seen = []
    for places, group in encoded.groups:
        assert places is not None
        assert len(places) <= 4
        body, header_length = group.body(0, len(places))
        longest = max(len(rows[place]) for place in places)
        sent = np.frombuffer(body[header_length:], "<i4").reshape(len(places), longest)
        for place, row in zip(places.tolist(), sent.tolist(), strict=True):
            assert row == rows[place] + [0] * (longest - len(rows[place]))
            seen.append(place)
    assert sorted(seen) == list(range(len(rows)))


def test_embeddings_of_several_answers_are_one_array() -> None:
    """Fixed arrays of all answers are one Arrow array of the fixed type, without a copy a row."""
    spec = _spec("FLOAT[3]", "FP32", (3,))
    values = np.arange(12, dtype="<f4")
    decoded = _decode(spec, [([1, 3], values[:3].tobytes()), ([3, 3], values[3:].tobytes())])
    assert decoded.type == pa.list_(pa.float32(), 3)
    assert decoded.to_pylist() == values.reshape(4, 3).tolist()


@pytest.mark.parametrize(
    ("sql", "shape", "data", "why"),
    [
        ("FLOAT[3]", [1, 2], bytes(8), "has the shape [1, 2]; expected is as [3]"),
        ("FLOAT[3]", [1, 3, 2], bytes(24), "has the shape [1, 3, 2]"),
        ("FLOAT[3]", [1, 3], bytes(8), "has data of size 8, but its shape needs 12"),
    ],
)
def test_wrong_shape_is_not_believed(sql: str, shape: list[int], data: bytes, why: str) -> None:
    """An answer of another shape, rank or size than the declared one is an error that shows both."""
    with pytest.raises(AnswerError) as raised:
        _decode(_spec(sql, "FP32", (3,)), [(shape, data)])
    assert why in str(raised.value)


def test_json_of_no_json_names_the_remedy() -> None:
    """A bare NaN, which Triton writes, is said to be one."""
    text = b'{"outputs":[{"name":"X","datatype":"FP32","shape":[1,1],"data":[NaN]}]}'
    with pytest.raises(AnswerError, match=r"NaN or Infinity.*'binary-data' = 'true'"):
        parse_answer(text, None, [_spec("FLOAT", "FP32", (1,))], 1, batched=True)


def test_zero_keeps_its_sign_in_json() -> None:
    """-0.0 is written so, not as the whole number -0, which servers read as 0."""
    encoded = RequestFormat([_spec("DOUBLE", "FP64", (1,))], [], binary=False, batched=True).encode(
        [pa.array([-0.0, 0.0, -0.5])], 3
    )
    body, _ = encoded.groups[0][1].body(0, 3)
    assert b'"data":[-0.0,0,-0.5]' in body
