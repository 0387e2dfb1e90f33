"""The bodies of requests: constants, parameters as a text, and columns that are keys of it, on both routes."""

import itertools
import json
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dbt_triton.tensors import Encoded, GenerateFormat, RequestFormat, TensorSpec, datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.generation import Constant, ParameterColumn, TextParameters
from dbt_triton.tensors.presence import optional_columns
from dbt_triton.tensors.spec import Part

PROMPTS = ["plain", "", 'with "quotes" and \\', "line\nline\r\n\t\x00\x1f", "é \U0001f600 \u2028\u2029", "data: {}\n\n"]
TEXT = "sampling_parameters"


def sql(text: str) -> Any:
    """Read a type."""
    found = parse_sql_type(text)
    assert not isinstance(found, str)
    return found


def tensor(name: str, datatype: str, row_shape: tuple[int, ...] = (1,), axes: tuple[int, ...] = ()) -> TensorSpec:
    """Describe a tensor."""
    found = datatype_of_tensor(datatype)
    assert found is not None
    return TensorSpec(name, name, found, row_shape, axes=axes)


def column(place: int, name: str, kind: str, datatype: str, *, optional: bool = False) -> TensorSpec:
    """Describe a tensor that is a column of INPUT."""
    found, declared = datatype_of_tensor(datatype), sql(kind)
    assert found is not None
    array = bool(declared.dims)
    part = Part(place, name, declared, declared)
    return TensorSpec(
        name, name, found, (-1,) if array else (1,), declared, (0,) if array else (), parts=(part,), optional=optional
    )


def bodies(form: RequestFormat, columns: list[pa.Array], rows: int = 1) -> dict[int, dict[str, Any]]:
    """Return the JSON of each row's request, by the row's place."""
    encoded: Encoded = form.encode(columns, rows)
    assert not encoded.refused
    found = {}
    for places, group in encoded.groups:
        of_rows = list(range(len(columns[0]))) if places is None else places.tolist()
        for number, place in enumerate(of_rows):
            body, header_length = group.body(number, number + 1)
            assert header_length is None
            found[place] = json.loads(body)
    return found


def test_every_prompt_is_sent_as_it_is() -> None:
    """A request is one flat object, with the text that the row has."""
    form = GenerateFormat([column(0, "text_input", "STRING", "BYTES")], [])
    found = bodies(form, [pa.array(PROMPTS)])
    assert [found[place] for place in range(len(PROMPTS))] == [{"text_input": prompt} for prompt in PROMPTS]


CONSTANTS = [
    Constant(tensor("flag", "BOOL"), value=True),
    Constant(tensor("count", "INT32"), 64),
    Constant(tensor("heat", "FP32"), 0.5),
    Constant(tensor("guide", "BYTES"), 'a "schema" %d 100%'),
    Constant(tensor("words", "BYTES", (-1,), (0,)), ["a", "é"]),
    Constant(tensor("one_word", "BYTES", (-1,), (0,)), ["a"]),
    Constant(tensor("square", "INT64", (2, 2), (0, 1)), [[1, 2], [3, 4]]),
]


@pytest.mark.parametrize("text", [None, TextParameters(TEXT), TextParameters(TEXT, {"stop": ["\n"], "n": 1})])
def test_constants_of_generate(text: TextParameters | None) -> None:
    """A constant is a bare value or a flat list; the text of parameters is sent even when nothing is said."""
    inputs = [column(0, "text_input", "STRING", "BYTES")]
    parameters: dict[str, str | float | bool] = {"team": "a%", "share": 1.0, "deep": True}
    form = GenerateFormat(inputs, [], constants=CONSTANTS, text=text, parameters=parameters)
    expected: dict[str, Any] = {
        "flag": True,
        "count": 64,
        "heat": 0.5,
        "guide": 'a "schema" %d 100%',
        "words": ["a", "é"],
        "one_word": ["a"],
        "square": [1, 2, 3, 4],
        "parameters": parameters,
    }
    for prompt, body in zip(PROMPTS, bodies(form, [pa.array(PROMPTS)]).values(), strict=True):
        said = body.pop(TEXT, None)
        assert (None if said is None else json.loads(said)) == (None if text is None else dict(text.fixed))
        assert body == {"text_input": prompt} | expected


@pytest.mark.parametrize(("batched", "rows"), [(True, 1), (True, 4), (False, 1)])
@pytest.mark.parametrize("binary", [False, True])
def test_constants_of_infer(batched: bool, rows: int, binary: bool) -> None:
    """A constant is there once for each row of a batch, in both codecs, with the shape that its value has."""
    text = TextParameters(TEXT, {"n": 1})
    form = RequestFormat(
        [column(0, "text_input", "STRING", "BYTES")],
        [tensor("out", "BYTES")],
        binary=binary,
        batched=batched,
        constants=CONSTANTS,
        text=text,
        parameters={"team": "a%", "share": 1.0},
    )
    ((_, group),) = form.encode([pa.array(PROMPTS)], rows).groups
    body, header_length = group.body(0, rows, {"sequence_id": 5})
    header = json.loads(body[:header_length])
    assert header["parameters"] == {"team": "a%", "share": 1.0, "sequence_id": 5}
    found, data = {}, body[header_length:] if binary else b""
    for one in header["inputs"]:
        size = one.get("parameters", {}).get("binary_data_size", 0)
        found[one["name"]] = (one["shape"], one["data"] if not binary else data[:size])
        data = data[size:]
    assert not data
    first = [rows] if batched else []
    every: dict[str, tuple[list[int], list[Any], str | None]] = {
        "flag": ([1], [True], "|b1"),
        "count": ([1], [64], "<i4"),
        "heat": ([1], [0.5], "<f4"),
        "guide": ([1], ['a "schema" %d 100%'], None),
        "words": ([2], ["a", "é"], None),
        "one_word": ([1], ["a"], None),
        "square": ([2, 2], [1, 2, 3, 4], "<i8"),
        TEXT: ([1], ['{"n":1}'], None),
    }
    for name, (shape, elements, dtype) in every.items():
        assert found[name][0] == [*first, *shape]
        if not binary:
            assert found[name][1] == elements * rows
        elif dtype is not None:
            assert np.frombuffer(found[name][1], dtype).tolist() == elements * rows
        else:
            laid = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in elements)
            assert found[name][1] == laid * rows


#: A type, values of it, and the JSON that each becomes.
KEYS: list[tuple[str, pa.Array, list[Any]]] = [
    ("INT", pa.array([5, -1], pa.int32()), [5, -1]),
    ("UBIGINT", pa.array([2**64 - 1, 0], pa.uint64()), [2**64 - 1, 0]),
    ("DOUBLE", pa.array([0.1, 1e300]), [0.1, 1e300]),
    ("FLOAT", pa.array([0.1, -0.0], pa.float32()), [0.1, 0.0]),
    ("DECIMAL(5,2)", pa.array([1, 2]).cast(pa.decimal128(21, 2)), [1.0, 2.0]),
    ("BOOLEAN", pa.array([True, False]), [True, False]),
    ("STRING", pa.array(['a"\\\n', ""]), ['a"\\\n', ""]),
    ("JSON", pa.array(['{"a": [1]}', "null"]), [{"a": [1]}, None]),
    ("DATE", pa.array([0, 1], pa.date32()), ["1970-01-01", "1970-01-02"]),
    ("STRING[]", pa.array([["\n", 'b"'], []], pa.list_(pa.string())), [["\n", 'b"'], []]),
    ("INT[2]", pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)), [[1, 2], [3, 4]]),
    ("DOUBLE[][]", pa.array([[[0.5], []], []], pa.large_list(pa.list_(pa.float64()))), [[[0.5], []], []]),
]


@pytest.mark.parametrize("fixed", [{}, {"temperature": 0}, {"key": "from the options", "z": [1]}], ids=json.dumps)
@pytest.mark.parametrize(("kind", "values", "expected"), KEYS, ids=[kind for kind, _, _ in KEYS])
def test_columns_that_are_keys(fixed: dict[str, Any], kind: str, values: pa.Array, expected: list[Any]) -> None:
    """A row's own value wins over the one for all rows, as JSON by its type; NULL leaves the key out altogether."""
    text = TextParameters(
        TEXT, fixed, (ParameterColumn(1, "k", "key", sql(kind)), ParameterColumn(2, "t", "%t", sql("INT")))
    )
    form = GenerateFormat([column(0, "text_input", "STRING", "BYTES")], [], text=text)
    assert optional_columns(form.inputs, text) == [1, 2]
    rows = list(itertools.product([0, 1, None], [7, None]))
    keys = values.take(pa.array([at for at, _ in rows], pa.int64()))
    temperatures = pa.array([second for _, second in rows], pa.int32())
    flags = [keys.is_null(), temperatures.is_null()]
    found = bodies(form, [pa.array([f"p{at}" for at in range(len(rows))]), keys, temperatures, *flags])
    for place, (at, second) in enumerate(rows):
        assert found[place]["text_input"] == f"p{place}"
        said = json.loads(found[place][TEXT])
        own = ({} if at is None else {"key": expected[at]}) | ({} if second is None else {"%t": second})
        assert said == {name: value for name, value in fixed.items() if name != "key"} | own


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("INT", pa.array([1, None], pa.int32()), "k: its value is no INTEGER"),
        ("DOUBLE", pa.array([1.0, float("nan")]), "k: NaN and Infinity have no JSON form"),
        ("JSON", pa.array(["1", "{"]), "k: its text is not JSON"),
        ("INT[]", pa.array([[1], [1, None]], pa.list_(pa.int32())), "k: an array holds NULL"),
        ("DOUBLE[]", pa.array([[1.0], [2.0, float("inf")]]), "k: NaN and Infinity have no JSON form"),
        ("BLOB", pa.array([b"a", b"\xff"]), "k: bytes that are not UTF-8"),
    ],
)
def test_a_value_that_is_no_json(kind: str, values: pa.Array, why: str) -> None:
    """Its row is not sent, and says why; the others are."""
    text = TextParameters(TEXT, {}, (ParameterColumn(1, "k", "key", sql(kind)),))
    form = GenerateFormat([column(0, "text_input", "STRING", "BYTES")], [], text=text)
    encoded = form.encode([pa.array(["a", "b"]), values, pa.array([False, False])])
    assert [refused.places.tolist() for refused in encoded.refused] == [[1]]
    assert why in encoded.refused[0].why
    ((places, group),) = encoded.groups
    assert places is not None
    assert places.tolist() == [0]
    assert json.loads(group.body(0, 1)[0])["text_input"] == "a"


def test_optional_inputs_and_keys_together() -> None:
    """Each row has the inputs and the keys that it has values for, whatever the others have."""
    inputs = [
        column(1, "text_input", "STRING", "BYTES"),
        column(0, "image", "STRING[]", "BYTES", optional=True),
        column(3, "max_tokens", "INT", "INT32", optional=True),
    ]
    text = TextParameters(TEXT, {"a": 1}, (ParameterColumn(2, "seed", "seed", sql("BIGINT")),))
    form = GenerateFormat(inputs, [], text=text)
    assert optional_columns(inputs, text) == [0, 3, 2]
    rows = list(itertools.product([None, ["i"], ["i", "j"]], [None, 9], [None, 5]))
    images = pa.array([row[0] for row in rows], pa.list_(pa.string()))
    seeds = pa.array([row[1] for row in rows], pa.int64())
    tokens = pa.array([row[2] for row in rows], pa.int32())
    prompts = pa.array([f"p{at}" for at in range(len(rows))])
    flags = [images.is_null(), tokens.is_null(), seeds.is_null()]
    found = bodies(form, [images, prompts, seeds, tokens, *flags])
    for place, (image, seed, count) in enumerate(rows):
        body = found[place]
        assert json.loads(body.pop(TEXT)) == {"a": 1} | ({} if seed is None else {"seed": seed})
        own = {"image": image, "max_tokens": count}
        assert body == {"text_input": f"p{place}"} | {key: value for key, value in own.items() if value is not None}
