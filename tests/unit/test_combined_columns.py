"""Several columns as the elements of one tensor, without a server."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_inference_model import model, problems, served, tensor

from dbt_triton.client.served import ServedTensor
from dbt_triton.inference_model import Binding, bind
from dbt_triton.tensors import RequestFormat

KINDS = {
    "FP32": ["FLOAT", "TINYINT", "USMALLINT", "DECIMAL(6,2)"],
    "FP64": ["DOUBLE", "FLOAT", "INT", "DECIMAL(15,3)", "UINTEGER"],
    "FP16": ["HALF", "TINYINT"],
    "BF16": ["BFLOAT16", "UTINYINT"],
    "INT64": ["BIGINT", "INT", "UINTEGER", "DECIMAL(18,0)", "TIMESTAMP", "DATE"],
    "UINT8": ["UTINYINT"],
    "UINT64": ["UBIGINT", "UINTEGER"],
    "BOOL": ["BOOLEAN"],
    "BYTES": ["STRING", "BLOB", "JSON", "DATE", "DECIMAL(5,1)"],
}


def _bound(columns: str, tensors: list[ServedTensor], **options: str) -> Binding:
    return bind(model(f"INPUT ({columns}) OUTPUT (y FLOAT)", **options), served(tensors, [tensor("Y", "FP32")]))


def _format(binding: Binding) -> RequestFormat:
    return RequestFormat(binding.inputs, binding.outputs, binary=binding.binary, batched=binding.batched)


def _sent(binding: Binding, columns: list[pa.Array]) -> list[dict[str, Any]]:
    """Return the tensors of one request with all rows, as their header says them, with their bytes as ``data``."""
    encoded = _format(binding).encode(columns, len(columns[0]))
    assert encoded.refused == []
    ((places, rows),) = encoded.groups
    assert places is None
    body, length = rows.body(0, len(columns[0]))
    tensors: list[dict[str, Any]] = orjson.loads(body[:length])["inputs"]
    position = length or 0
    for one in tensors:
        size = one["parameters"]["binary_data_size"]
        one["data"] = body[position : position + size]
        position += size
    return tensors


def _values(kind: str, rows: int, draw: Callable[..., Any]) -> pa.Array:
    """Draw the values of a column, as DuckDB sends them."""
    typed = model(f"INPUT (a {kind}) OUTPUT (y FLOAT)").inputs[0].type
    arrow = typed.arrow_element
    if pa.types.is_floating(arrow):
        values: list[Any] = draw(st.lists(st.floats(-1000, 1000, width=16), min_size=rows, max_size=rows))
    elif pa.types.is_boolean(arrow):
        values = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    elif pa.types.is_large_binary(arrow) or pa.types.is_large_string(arrow):
        texts = draw(st.lists(st.text(max_size=3), min_size=rows, max_size=rows))
        values = texts if pa.types.is_large_string(arrow) else [text.encode() for text in texts]
    else:
        values = draw(st.lists(st.integers(0, 99), min_size=rows, max_size=rows))
        if pa.types.is_temporal(arrow):
            return pa.array(values, pa.int32() if pa.types.is_date(arrow) else pa.int64()).cast(arrow)
    return pa.array(list(map(Decimal, values)) if pa.types.is_decimal(arrow) else values, arrow)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_columns_are_stacked(datatype: str, data: st.DataObject) -> None:
    """Columns of any types of a datatype make what each of them makes alone, side by side in the order of INPUT."""
    kinds = data.draw(st.lists(st.sampled_from(KINDS[datatype]), min_size=2, max_size=6))
    rows = data.draw(st.integers(1, 5))
    columns = [_values(kind, rows, data.draw) for kind in kinds]
    declared = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    (together,) = _sent(_bound(declared, [tensor("X", datatype, (-1, len(kinds)))]), columns)
    alone = [
        _sent(_bound(f"c {kind}", [tensor("X", datatype, (-1, 1))]), [column])[0]["data"]
        for kind, column in zip(kinds, columns, strict=True)
    ]
    assert together["shape"] == [rows, len(kinds)]
    if datatype == "BYTES":
        pieces = [_elements(each) for each in alone]
    else:
        width = len(alone[0]) // rows
        pieces = [[each[start : start + width] for start in range(0, len(each), width)] for each in alone]
    assert together["data"] == b"".join(piece[row] for row in range(rows) for piece in pieces)


def _elements(data: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(data):
        end = place + 4 + int.from_bytes(data[place : place + 4], "little")
        found.append(data[place:end])
        place = end
    return found


def test_arrays_among_columns() -> None:
    """Columns that are bound by option may be arrays of a declared length, fixed or lists in Arrow."""
    options = {f"tensor_{name}": "X" for name in "abc"}
    binding = _bound("a FLOAT[2], b FLOAT, c FLOAT[1]", _floats(4), **options)
    columns = [
        pa.array([[1, 2], [5, 6]], pa.list_(pa.float32(), 2)),
        pa.array([3, 7], pa.float32()),
        pa.array([[4], [8]], pa.list_(pa.float32())),
    ]
    (sent,) = _sent(binding, columns)
    assert np.frombuffer(sent["data"], "<f4").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def _floats(size: int) -> list[ServedTensor]:
    return [tensor("X", "FP32", (-1, size))]


@pytest.mark.parametrize("dims", [(3,), (-1,), (1, 3), (3, 1), (1, -1), (-1, 1), (-1, 3), (-1, -1)])
def test_shapes_of_a_list(dims: tuple[int, ...]) -> None:
    """A tensor whose rows are one list takes columns, whatever its other axes; an open axis is as long as they are."""
    columns = [pa.array([number], pa.float32()) for number in range(3)]
    (sent,) = _sent(_bound("a FLOAT, b FLOAT, c FLOAT", [tensor("X", "FP32", (-1, *dims))]), columns)
    assert sent["shape"][0] == 1
    assert [size for size in sent["shape"] if size != 1] == [3]
    assert np.frombuffer(sent["data"], "<f4").tolist() == [0, 1, 2]


def test_a_bad_value_fails_its_row_by_its_name() -> None:
    """Rows that cannot be sent say which column it is, once each, and the others keep their places."""
    binding = _bound("a HALF, b HALF, c HALF", [tensor("X", "FP16", (-1, 3))])
    columns = [
        pa.array([1, None, 3, 1e6, 5], pa.float32()),
        pa.array([1, None, None, 4, 5], pa.float32()),
        pa.array([1, 2, 3, 4, 5], pa.float32()),
    ]
    encoded = _format(binding).encode(columns, 64)
    assert [(one.places.tolist(), one.why) for one in encoded.refused] == [
        ([1], "not sent: a: its value is no FLOAT"),
        ([2], "not sent: b: its value is no FLOAT"),
        ([3], "not sent: a: out of the range of FP16"),
    ]
    ((places, rows),) = encoded.groups
    assert places is not None
    assert places.tolist() == [0, 4]
    body, length = rows.body(0, 2)
    assert np.frombuffer(body[length:], "<f2").tolist() == [1, 1, 1, 5, 5, 5]


def test_every_row_may_fail() -> None:
    """Without a row that can be sent there is no request, whatever the datatype."""
    for datatype, kinds in KINDS.items():
        kind = kinds[0]
        arrow = model(f"INPUT (a {kind}) OUTPUT (y FLOAT)").inputs[0].type.arrow_element
        binding = _bound(f"a {kind}, b {kind}", [tensor("X", datatype, (-1, 2))])
        encoded = _format(binding).encode([pa.nulls(2, arrow), pa.nulls(2, arrow)], 64)
        assert encoded.groups == []
        assert [one.places.tolist() for one in encoded.refused] == [[0, 1]]


def test_places_of_both_kinds_of_failures() -> None:
    """Rows that fail while columns are put together, and rows that fail later, are told by their own places."""
    binding = _bound(
        "a FLOAT, b FLOAT, v FLOAT[2]", [*_floats(2), tensor("V", "FP32", (-1, 2))], tensor_a="X", tensor_b="X"
    )
    columns = [
        pa.array([None, 1, 2, 3], pa.float32()),
        pa.array([0, 1, 2, 3], pa.float32()),
        pa.array([[1, 2], [1, 2], [1], [3, 4]], pa.list_(pa.float32())),
    ]
    encoded = _format(binding).encode(columns, 64)
    assert [one.places.tolist() for one in encoded.refused] == [[0], [2]]
    ((places, _),) = encoded.groups
    assert places is not None
    assert places.tolist() == [1, 3]


def test_nan_for_null() -> None:
    """With null-as, columns that have no NaN come as DOUBLE, and the binding says which columns may be NULL."""
    declared = "a FLOAT, b SMALLINT, c DECIMAL(4,2), n BIGINT"
    tensors = [tensor("X", "FP32", (-1, 3)), tensor("N", "INT64")]
    names = {f"tensor_{name}": "X" for name in "abc"}
    binding = _bound(declared, tensors, null_as="nan", **names)
    assert binding.nan_columns == {0, 1, 2}
    nan = float("nan")
    columns = [
        pa.array([nan, 1], pa.float32()),
        pa.array([2, nan], pa.float64()),
        pa.array([0.1, 0.25], pa.float64()),
        pa.array([7, 8], pa.int64()),
    ]
    features, ids = _sent(binding, columns)
    assert np.frombuffer(ids["data"], "<i8").tolist() == [7, 8]
    assert repr(np.frombuffer(features["data"], "<f4").tolist()) == repr(
        [nan, 2.0, np.float32(0.1).item(), 1.0, nan, 0.25]
    )


@pytest.mark.parametrize(
    ("inputs", "tensors", "options", "said"),
    [
        (
            "a FLOAT, b FLOAT, c FLOAT, d FLOAT, e FLOAT",
            [("input__0", "FP32", (-1, 3))],
            {},
            (
                "INPUT has 5 columns (a, b, c, … and e) for the server's input__0 FP32[-1, 3], which has 3 elements a "
                "row; declare 3 columns, in the order of the elements, or one column FLOAT[3] and give it [a, b, c]"
            ),
        ),
        (
            "a FLOAT, b FLOAT",
            [("X", "FP32", (-1, 2, 3))],
            {},
            (
                "INPUT has 2 columns (a, b) for the server's X FP32[-1, 2, 3], whose rows are no list; declare "
                "one column FLOAT[3][2]"
            ),
        ),
        (
            "a FLOAT[2], b FLOAT",
            [("X", "FP32", (-1, 4))],
            {"tensor_a": "X", "tensor_b": "X"},
            "INPUT has 2 columns of 3 elements (a, b) for the server's X FP32[-1, 4], which has 4 elements a row",
        ),
        (
            "a FLOAT[], b FLOAT",
            [("X", "FP32", (-1, 4))],
            {"tensor_a": "X", "tensor_b": "X"},
            "INPUT column a is declared FLOAT[], so that it is not known how many elements",
        ),
        (
            "a BLOB, b FLOAT",
            [("X", "FP32", (-1, 2))],
            {},
            "INPUT column a: a BLOB is the whole of the server's X FP32[-1, 2], and no element of it",
        ),
        (
            "a FLOAT, b INT",
            [("X", "FP32", (-1, 2))],
            {},
            (
                "INPUT column b is declared INT (INT32), but the server's X is FP32[-1, 2]: the tensor cannot hold "
                "every value exactly; declare FLOAT"
            ),
        ),
        (
            "x FLOAT",
            [("X", "FP32", (-1, 3))],
            {},
            (
                "one value a row does not fit; declare FLOAT[3] and give it [a, b, c], or declare 3 columns, of one "
                "element each"
            ),
        ),
        (
            "image FLOAT",
            [("Image", "FP32", (-1, 1)), ("IMAGE", "FP32", (-1, 1))],
            {},
            (
                "INPUT column image: the model has the tensors Image and IMAGE, which differ only in case; write "
                "'tensor.image' = 'Image' or 'tensor.image' = 'IMAGE'"
            ),
        ),
        (
            "a INT",
            [("X", "INT32", (-1, 1))],
            {"null_as": "nan"},
            "null-as is nan, but only floating-point numbers have a NaN",
        ),
        ("a FLOAT", [("X", "FP32", (-1, 1))], {"null_as": "nan", "binary_data": "false"}, "which has no JSON form"),
        (
            "a BLOB, h FLOAT",
            [("X", "FP32", (-1, -1, -1))],
            {"shape.a": "h,3"},
            "shape.a names h, which is no column of INPUT with a whole number",
        ),
        ("a BLOB", [("X", "FP32", (-1, -1, -1))], {"shape.a": "3"}, "the shape 3 has 1 length(s), for 2 axes"),
        ("a FLOAT[]", [("X", "FP32", (-1, -1))], {"shape.a": "3"}, "shape.a is for a BLOB that is the elements of a"),
        ("a BLOB", [("X", "BYTES", (-1, 1))], {"shape.a": "3"}, "shape.a is for a BLOB that is the elements of a"),
        (
            "a BLOB",
            [("X", "FP32", (-1, -1, -1, 3))],
            {},
            "the size of a BLOB does not say the lengths of two axes; write 'shape.a', with a length for each axis",
        ),
    ],
)
def test_what_does_not_fit_leads_on(
    inputs: str, tensors: list[tuple[str, str, tuple[int, ...]]], options: dict[str, str], said: str
) -> None:
    """What cannot be bound says how many elements there are and are wanted, and what to write."""
    definition = model(f"INPUT ({inputs}) OUTPUT (y FLOAT)", **options)
    found = problems(definition, served([tensor(*each) for each in tensors], [tensor("Y", "FP32")]))
    assert any(said in text for text in found), found


def test_every_column_that_does_not_fit_is_told() -> None:
    """Of several columns for one tensor, each that does not fit is told at once."""
    definition = model("INPUT (a INT, b FLOAT, c STRING) OUTPUT (y FLOAT)")
    found = problems(definition, served(_floats(3), [tensor("Y", "FP32")]))
    assert [text.split(" is declared")[0] for text in found] == ["INPUT column a", "INPUT column c"]


def test_the_only_input_may_be_optional() -> None:
    """Where a model has one input at all, it is meant, whether it may be left out or not."""
    binding = _bound("a FLOAT, b FLOAT", [tensor("X", "FP32", (-1, 2), optional=True)])
    assert [spec.name for spec in binding.inputs] == ["X"]


def test_typing_error_of_a_name_is_still_told() -> None:
    """A column that is spelt like no tensor is told so where another column has the name of the only tensor."""
    tensors = [tensor("TEXT"), tensor("LANGUAGE", optional=True)]
    (found,) = problems(
        model("INPUT (text STRING, langauge STRING) OUTPUT (y FLOAT)"), served(tensors, [tensor("Y", "FP32")])
    )
    assert "INPUT column langauge: the model has no tensor langauge; did you mean LANGUAGE?" in found


def test_optional_inputs_are_bound_beside_the_elements() -> None:
    """Columns of the names of optional inputs are these; the others are the elements of the one that must be there."""
    tensors = [tensor("X", "FP32", (-1, 2)), tensor("limit", "INT32", optional=True)]
    binding = _bound("a FLOAT, limit INT, b FLOAT", tensors)
    found = [(spec.name, [part.column for part in spec.parts]) for spec in binding.inputs]
    assert found == [("X", ["a", "b"]), ("limit", ["limit"])]
    sent = _sent(binding, [pa.array([1], pa.float32()), pa.array([2], pa.int32()), pa.array([3], pa.float32())])
    assert [one["shape"] for one in sent] == [[1, 2], [1, 1]]
    assert np.frombuffer(sent[0]["data"], "<f4").tolist() == [1, 3]


def test_what_changes_answers_changes_the_fingerprint() -> None:
    """null-as and lengths are part of the fingerprint; where they are not used, it is what it was."""
    tensors = [tensor("X", "FP32", (-1, -1, -1))]
    plain, other, again = (_bound("x BLOB", tensors, **{"shape.x": shape}) for shape in ("2,-1", "-1,2", "2,-1"))
    assert plain.fingerprint == again.fingerprint != other.fingerprint
    one, two = (_bound("x FLOAT", _floats(1), **options) for options in ({}, {"null_as": "nan"}))
    assert one.fingerprint != two.fingerprint
