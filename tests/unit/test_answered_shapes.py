"""Answers whose shape lacks axes of length 1, or has more of them than the server says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.errors import AnswerError, RowCountError
from dbt_triton.tensors import SqlType, TensorSpec, datatype_of_tensor, decode_outputs, parse_answer, parse_sql_type
from dbt_triton.tensors.answered_shape import row_shape_of
from dbt_triton.tensors.shapes import bind_shape

DIMS = st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=4).map(tuple)


def _spec(sql: str, dims: tuple[int, ...], datatype: str = "FP32") -> TensorSpec:
    parsed, kind = parse_sql_type(sql), datatype_of_tensor(datatype)
    assert isinstance(parsed, SqlType)
    assert kind is not None
    shape = bind_shape(parsed, kind, dims, output=True)
    assert not isinstance(shape, str)
    return TensorSpec("x", "X", kind, shape[0], parsed, shape[1])


def _answered(spec: TensorSpec, shape: list[int], rows: int, *, batched: bool, binary: bool = True) -> list[object]:
    """Decode an answer of this shape whose elements count from 0."""
    values = np.arange(math.prod(shape), dtype="<f4")
    output = {"name": "X", "datatype": "FP32", "shape": shape}
    if binary:
        header = orjson.dumps({"outputs": [output | {"parameters": {"binary_data_size": values.nbytes}}]})
        answer = parse_answer(header + values.tobytes(), len(header), [spec], rows, batched=batched)
    else:
        content = orjson.dumps({"outputs": [output | {"data": values.tolist()}]})
        answer = parse_answer(content, None, [spec], rows, batched=batched)
    found: list[object] = decode_outputs([answer], [spec])[0].to_pylist()
    return found


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(
    ("sql", "dims", "answered", "one_row"),
    [
        ("FLOAT", (1,), (), 0.0),
        ("FLOAT", (), (1,), 0.0),
        ("FLOAT", (), (1, 1), 0.0),
        ("FLOAT", (1, 1), (1,), 0.0),
        ("FLOAT", (-1,), (), 0.0),
        ("FLOAT", (-1, 1), (1,), 0.0),
        ("FLOAT[]", (-1,), (), [0.0]),
        ("FLOAT[3]", (3,), (1, 3), [0.0, 1.0, 2.0]),
        ("FLOAT[3]", (3,), (3, 1), [0.0, 1.0, 2.0]),
        ("FLOAT[3]", (1, 3), (3,), [0.0, 1.0, 2.0]),
        ("FLOAT[]", (-1,), (1, 2, 1), [0.0, 1.0]),
        ("FLOAT[]", (1, -1), (2,), [0.0, 1.0]),
        ("FLOAT[2][]", (-1, 2), (2,), [[0.0, 1.0]]),
        ("FLOAT[2][]", (-1, 2), (1, 3, 2), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]),
        ("FLOAT[2][2]", (2, 2), (2, 1, 2), [[0.0, 1.0], [2.0, 3.0]]),
        ("BLOB", (-1, -1), (2,), np.arange(2, dtype="<f4").tobytes()),
        ("BLOB", (2,), (1, 2, 1), np.arange(2, dtype="<f4").tobytes()),
    ],
)
def test_axes_of_length_one(  # noqa: PLR0913 - a case and its parts
    sql: str, dims: tuple[int, ...], answered: tuple[int, ...], one_row: object, *, batched: bool, binary: bool
) -> None:
    """Axes of length 1 that are missing, or too many, are read where the elements of the column do not depend on it."""
    spec = _spec(sql, dims)
    shape = [1, *answered] if batched else list(answered)
    assert _answered(spec, shape, 1, batched=batched, binary=binary) == [one_row]
    if not batched:
        return
    if len(answered) < len(dims) and (spec.raw or -1 in [dims[axis] for axis in spec.axes]) and 1 not in dims:
        # Three rows of one, or three that were found in all rows together.
        with pytest.raises(AnswerError, match="lacks an axis of any length, so that it may be 3 of all rows together"):
            _answered(spec, [3, *answered], 3, batched=True, binary=binary)
        return
    found = _answered(spec, [3, *answered], 3, batched=True, binary=binary)
    assert len(found) == 3
    assert found[0] == one_row


@pytest.mark.parametrize(
    ("sql", "dims", "answered"),
    [
        ("FLOAT", (1,), (2,)),
        ("FLOAT", (), (2,)),
        ("FLOAT", (-1,), (2, 1)),
        ("FLOAT[3]", (3,), ()),
        ("FLOAT[3]", (3,), (1,)),
        ("FLOAT[3]", (1, 3), (3, 1)),
        ("FLOAT[3]", (3,), (1, 4)),
        ("FLOAT[4]", (4,), (2, 2)),
        ("FLOAT[][]", (-1, -1), (4,)),
        ("FLOAT[][]", (-1, -1), (1, 5, 1)),
        ("FLOAT[2][2]", (2, 2), (4,)),
        ("FLOAT[2][2]", (2, 2), (4, 1)),
        ("BLOB", (2, 2), (4,)),
        ("FLOAT[2][]", (-1, 2), (3,)),
    ],
)
def test_two_meanings_are_none(sql: str, dims: tuple[int, ...], answered: tuple[int, ...]) -> None:
    """An answer of other lengths, or whose lengths could be those of one axis or another, is an error."""
    for batched in (True, False):
        shape = [1, *answered] if batched else list(answered)
        with pytest.raises(AnswerError, match="has the shape"):
            _answered(_spec(sql, dims), shape, 1, batched=batched)


def test_rows_are_not_an_axis() -> None:
    """The number of rows is looked at before anything else: no axis of rows is put in or left out."""
    for shape in ([3], [1, 3], [6]):
        with pytest.raises(RowCountError):
            _answered(_spec("FLOAT", (1,)), shape, 2, batched=True)
    assert _answered(_spec("FLOAT", (1,)), [2], 2, batched=True) == [0.0, 1.0]


@given(DIMS, st.integers(2, 4), st.lists(st.integers(1, 4), max_size=4).map(tuple))
def test_what_all_rows_have_together_is_no_row(dims: tuple[int, ...], rows: int, answered: tuple[int, ...]) -> None:
    """Of several rows, none is read as having one element of an axis of any length that the answer lacks."""
    spec = _spec("FLOAT" + "[]" * sum(size != 1 for size in dims), dims)
    found = row_shape_of(answered, spec, rows)
    if found is None or len(answered) >= len(dims):
        return
    present = [size for axis, size in enumerate(found) if axis in spec.axes]
    assert len(answered) >= len(present)
    assert found == row_shape_of(answered, spec)


def test_one_row_of_one_element() -> None:
    """What numpy's squeeze makes of many rows and of a last single one is read: (N,), and for one row ()."""
    spec = _spec("FLOAT", (1,))
    assert [_answered(spec, shape, rows, batched=True) for shape, rows in (([2], 2), ([1], 1), ([], 1))] == [
        [0.0, 1.0],
        [0.0],
        [0.0],
    ]
    with pytest.raises(RowCountError):
        _answered(spec, [], 2, batched=True)


@given(DIMS, st.lists(st.integers(1, 3), max_size=5).map(tuple))
def test_what_is_read_has_the_same_elements(dims: tuple[int, ...], answered: tuple[int, ...]) -> None:
    """What is read has the tensor's own lengths, and the elements of the answer in its order."""
    levels = sum(size != 1 for size in dims)
    spec = _spec("FLOAT" + "[]" * levels, dims)
    found = row_shape_of(answered, spec)
    if found is None:
        return
    assert [size for size in found if size != 1] == [size for size in answered if size != 1]
    assert all(wanted in {-1, size} for wanted, size in zip(dims, found, strict=True))


@given(st.lists(st.sampled_from([2, 3, 4]), max_size=3).map(tuple), st.data())
def test_fixed_lengths_have_one_meaning(sizes: tuple[int, ...], data: st.DataObject) -> None:
    """Where no length is open, axes of length 1 may be anywhere, as long as they are only missing or only too many."""
    spec = _spec("FLOAT" + "".join(f"[{size}]" for size in reversed(sizes)), sizes)
    places = data.draw(st.lists(st.integers(0, len(sizes)), max_size=3))
    answered = list(sizes)
    for place in sorted(places, reverse=True):
        answered.insert(place, 1)
    assert row_shape_of(answered, spec) == sizes
    wide = _spec("FLOAT" + "".join(f"[{size}]" for size in reversed(sizes)), tuple(answered))
    assert row_shape_of(sizes, wide) == tuple(answered)


def test_many_axes_are_not_tried() -> None:
    """An answer of many axes of length 1 is refused at once."""
    for axes in itertools.chain(range(9, 20), [64]):
        assert row_shape_of([1] * axes, _spec("FLOAT", (1,))) is None
