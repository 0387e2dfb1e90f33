"""A BLOB as the elements of a tensor, without a server."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_inference_model import model, served, tensor

from dbt_triton.inference_model import bind
from dbt_triton.tensors import Encoded, RequestFormat, TensorSpec, datatype_of_tensor, decode_outputs, parse_sql_type
from dbt_triton.tensors.answer import Answer

WIDTHS = {
    "BOOL": 1,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "UINT16": 2,
    "FP16": 2,
    "BF16": 2,
    "INT32": 4,
    "UINT32": 4,
    "FP32": 4,
    "INT64": 8,
    "UINT64": 8,
    "FP64": 8,
}


def _encoded(datatype: str, dims: tuple[int, ...], columns: list[pa.Array], shape: str | None = None) -> Encoded:
    names = sorted({name for name in (shape or "").split(",") if name.isalpha()})
    declared = ", ".join(["x BLOB", *(f"{name} BIGINT" for name in names)])
    options = {"shape.x": shape} if shape else {}
    definition = model(f"INPUT ({declared}) OUTPUT (y FLOAT)", **options)
    binding = bind(definition, served([tensor("X", datatype, (-1, *dims))], [tensor("Y", "FP32")]))
    form = RequestFormat(binding.inputs, binding.outputs, binary=True, batched=True)
    return form.encode(columns, 64)


def _blobs(rows: list[bytes]) -> pa.Array:
    return pa.array(rows, pa.large_binary())


@given(
    st.sampled_from(sorted(WIDTHS)), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1), st.data()
)
def test_bytes_are_sent_as_they_are(datatype: str, sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    """Whatever the datatype and the lengths, the bytes of a request are those of its rows, in its shape."""
    rows = [
        data.draw(st.binary(min_size=h * w * 2 * WIDTHS[datatype], max_size=h * w * 2 * WIDTHS[datatype]))
        if datatype != "BOOL"
        else bytes(data.draw(st.lists(st.integers(0, 1), min_size=h * w * 2, max_size=h * w * 2)))
        for h, w in sizes
    ]
    columns = [_blobs(rows), *(pa.array([size[at] for size in sizes], pa.int64()) for at in (0, 1))]
    encoded = _encoded(datatype, (-1, -1, 2), columns, "h,w,2")
    assert encoded.refused == []
    seen: list[int] = []
    for places, group in encoded.groups:
        chosen = list(range(len(rows))) if places is None else places.tolist()
        (shape,) = group.row_shapes
        body, length = group.body(0, len(chosen))
        assert body[length:] == b"".join(rows[place] for place in chosen)
        assert {(*sizes[place], 2) for place in chosen} == {shape}
        seen += chosen
    assert sorted(seen) == list(range(len(rows)))


@given(st.sampled_from(["FP32", "UINT8", "INT64"]), st.lists(st.integers(0, 60), min_size=1, max_size=9))
def test_a_size_that_fits_no_shape_is_refused(datatype: str, sizes: list[int]) -> None:
    """Rows whose bytes are no whole number of elements, or of inner axes, fail alone."""
    encoded = _encoded(datatype, (-1, 3), [_blobs([bytes(size) for size in sizes])])
    step = 3 * WIDTHS[datatype]
    refused = {place for one in encoded.refused for place in one.places.tolist()}
    assert refused == {place for place, size in enumerate(sizes) if size % step}
    assert all(f"which takes a multiple of {step} bytes" in one.why for one in encoded.refused)
    for places, group in encoded.groups:
        first = 0 if places is None else int(places[0])
        assert group.row_shapes == ((sizes[first] // step, 3),)


@pytest.mark.parametrize(
    ("lengths", "size", "why"),
    [
        ((2, 3), 24, None),
        ((0, 3), 0, None),
        ((2, 3), 20, "its size in bytes does not make X FP32[-1, -1] of the lengths h, w, of 4 bytes an element"),
        ((-2, -3), 24, "its length in h does not fit"),
        ((2**62, 4), 0, "its size in bytes does not make"),
        ((2**62, 0), 0, "it is empty, but a length of X FP32[-1, -1] is not"),
        ((2**32, 2**32), 0, "its size in bytes does not make"),
        ((None, 3), 24, "not sent: h: its value is no BIGINT"),
    ],
)
def test_lengths_and_sizes(lengths: tuple[int | None, int], size: int, why: str | None) -> None:
    """Lengths that do not make the size, are negative, or ask the server for the impossible, fail their row."""
    columns = [_blobs([bytes(size)]), *(pa.array([length], pa.int64()) for length in lengths)]
    encoded = _encoded("FP32", (-1, -1), columns, "h,w")
    assert [one.why for one in encoded.refused] == [] if why is None else why in encoded.refused[0].why
    assert len(encoded.groups) == (why is None)


def test_a_length_that_the_server_fixes() -> None:
    """A column may stand for an axis of a fixed length: rows that say another one fail."""
    encoded = _encoded("UINT8", (-1, 3), [_blobs([bytes(6), bytes(4)]), pa.array([3, 2], pa.int64())], "-1,c")
    assert [(one.places.tolist(), "its length in c" in one.why) for one in encoded.refused] == [([1], True)]
    assert encoded.groups[0][1].row_shapes == ((2, 3),)


def test_other_bytes_than_0_and_1_are_no_bool() -> None:
    """A BOOL is a byte of 0 or 1."""
    encoded = _encoded("BOOL", (2,), [_blobs([b"\0\1", b"\2\0", b"\1\1"])])
    assert [(one.places.tolist(), one.why) for one in encoded.refused] == [
        ([1], "not sent: x: a byte of it is neither 0 nor 1, which is no BOOL")
    ]


@pytest.mark.parametrize("datatype", sorted(WIDTHS))
def test_outputs_are_bytes(datatype: str) -> None:
    """A BLOB of OUTPUT is the bytes of its tensor's elements, of answers of several shapes, one of them in JSON."""
    kind, blob = datatype_of_tensor(datatype), parse_sql_type("BLOB")
    assert kind is not None
    assert not isinstance(blob, str)
    spec = TensorSpec("y", "Y", kind, (-1,), blob)
    width = WIDTHS[datatype]
    rows = [bytes([0, 1] * width), bytes([1] * 3 * width)]
    answers = [Answer(1, [memoryview(row)], None, [(len(row) // width,)]) for row in rows]
    expected = list(rows)
    if kind.has_json_form:
        answers.append(Answer(2, [[0, 1, 1, 0] if datatype != "BOOL" else [False, True, True, False]], None, [(2,)]))
        values = np.array([0, 1, 1, 0]).astype(kind.numpy).tobytes()
        expected += [values[: 2 * width], values[2 * width :]]
    assert decode_outputs(answers, [spec])[0].to_pylist() == expected
    assert math.prod(map(len, expected)) > 0
