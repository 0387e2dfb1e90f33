"""A row's prediction is its own: padded with others, or with others that lack an input, it is as if sent alone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.kserve import Kept

from dbt_triton.client import TritonClient
from dbt_triton.engine import Engine, RunError, handover
from dbt_triton.errors import PaddedAxisError
from dbt_triton.options import parse_options
from dbt_triton.tensors import (
    Answer,
    RequestFormat,
    SqlType,
    TensorSpec,
    datatype_of_tensor,
    decode_outputs,
    parse_answer,
    parse_sql_type,
)
from dbt_triton.tensors.made import MadeTensor
from dbt_triton.tensors.padding import PaddedLengths
from dbt_triton.tensors.shapes import bind_shape
from dbt_triton.tensors.trim import Trimmer

Tensor = np.ndarray[Any, np.dtype[Any]]
Model = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
_NUMPY = {"INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "BOOL": "?"}


def _spec(
    column: str, sql: str, datatype: str, dims: tuple[int, ...], pad: str | None = None, **settings: Any
) -> TensorSpec:
    parsed, kind = parse_sql_type(sql), datatype_of_tensor(datatype)
    assert isinstance(parsed, SqlType)
    assert kind is not None
    shape = bind_shape(parsed, kind, dims, output="trim" in settings)
    assert not isinstance(shape, str)
    return TensorSpec(column, column.upper(), kind, shape[0], parsed, shape[1], pad, **settings)


def _input(column: str, sql: str, dims: tuple[int, ...], pad: str | None = "0", **settings: Any) -> TensorSpec:
    return _spec(column, sql, "INT32", dims, pad, **settings)


def _output(column: str, sql: str, dims: tuple[int, ...], **settings: Any) -> TensorSpec:
    return _spec(column, sql, "INT32", dims, None, **({"trim": True} | settings))


def _tensors(body: bytes, header_length: int | None) -> dict[str, Tensor]:
    """Read the tensors of a request."""
    header = orjson.loads(body[:header_length] if header_length is not None else body)
    position, found = header_length or 0, {}
    for tensor in header["inputs"]:
        if header_length is None:
            values = np.array(tensor["data"], dtype=_NUMPY[tensor["datatype"]])
        else:
            size = tensor["parameters"]["binary_data_size"]
            values = np.frombuffer(body[position : position + size], dtype=_NUMPY[tensor["datatype"]])
            position += size
        found[tensor["name"]] = values.reshape(tensor["shape"])
    return found


def _answer(model: Model, form: RequestFormat, body: bytes, header_length: int | None, rows: int) -> Answer:
    """Answer a request as a server would."""
    said = model(_tensors(body, header_length))
    payload, outputs = b"", []
    for name, values in said.items():
        output: dict[str, Any] = {"name": name, "datatype": "INT32", "shape": list(values.shape)}
        data = np.ascontiguousarray(values.astype("<i4"))
        if header_length is None:
            output["data"] = data.ravel().tolist()
        else:
            output["parameters"] = {"binary_data_size": data.nbytes}
            payload += data.tobytes()
        outputs.append(output)
    header = orjson.dumps({"outputs": outputs})
    return parse_answer(
        header + payload, len(header) if header_length is not None else None, form.outputs, rows, batched=True
    )


def _predict(
    model: Model, form: RequestFormat, columns: Sequence[pa.Array], batch_size: int, chunk: int = 1000
) -> list[tuple[Any, ...]]:
    """Predict for rows, with so many answers decoded at once, and return the outputs in the order of the rows."""
    answers: list[Answer] = []
    lengths: list[PaddedLengths | None] = []
    places: list[int] = []
    encoded = form.encode(columns, batch_size)
    assert encoded.refused == []
    for of_group, rows in encoded.groups:
        group = range(len(columns[0])) if of_group is None else of_group.tolist()
        for start, end in rows.cuts(len(group), batch_size):
            answers.append(_answer(model, form, *rows.body(start, end), end - start))
            lengths.append(None if rows.lengths is None else rows.lengths.rows(start, end))
            places += group[start:end]
    assert sorted(places) == list(range(len(columns[0])))
    trimmer = Trimmer(form.inputs, form.outputs)
    found: list[tuple[Any, ...]] = []
    for first in range(0, len(answers), chunk):
        part, part_lengths = answers[first : first + chunk], lengths[first : first + chunk]
        decoded = decode_outputs(part, form.outputs, trimmer.cuts(part, part_lengths))
        found += zip(*(column.to_pylist() for column in decoded), strict=True)
    return [row for _, row in sorted(zip(places, found, strict=True), key=lambda one: one[0])]


def _alone(model: Model, form: Callable[[], RequestFormat], columns: Sequence[pa.Array]) -> list[tuple[Any, ...]]:
    """Predict for each row by itself."""
    rows = len(columns[0])
    return [_predict(model, form(), [column.slice(row, 1) for column in columns], 1)[0] for row in range(rows)]


def _encoder(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """By token, by pair of tokens, by text; and a list of three that has nothing to do with tokens."""
    ids, mask = tensors["IDS"], tensors["MASK"]
    kept = ids * mask
    total = kept.sum(axis=1)
    return {
        "TOKENS": np.stack([ids, np.broadcast_to(total[:, None], ids.shape)], axis=2),
        "PAIRS": np.stack([kept[:, :, None] * kept[:, None, :]] * 2, axis=1),
        "POOLED": np.stack([total, mask.sum(axis=1)], axis=1),
        "BEST": np.stack([total, total + 1, total + 2], axis=1),
    }


ENCODER = [
    _output("tokens", "INT[2][]", (-1, 2)),
    _output("pairs", "INT[][][2]", (2, -1, -1)),
    _output("pooled", "INT[2]", (2,)),
    _output("best", "INT[]", (-1,)),
]
IDS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@pytest.mark.parametrize("binary", [True, False])
@given(st.lists(IDS, min_size=1, max_size=25), st.integers(1, 9), st.sampled_from(["0", "1", "7"]))
@settings(deadline=None)
def test_tokens_are_of_their_own_row(binary: bool, rows: list[list[int]], batch_size: int, pad: str) -> None:
    """Whatever the neighbours, the filling and the batch: each output is that of the row alone, or has all it had."""
    ids = _input("ids", "INT[]", (-1,), pad)

    def form() -> RequestFormat:
        mask = _spec("ids", "INT[]", "INT32", (-1,), "0")
        spec = TensorSpec("ids", "MASK", mask.datatype, mask.row_shape, mask.sql, mask.axes, "0")
        made = MadeTensor(spec, source=0, value=1, levels=(0,))
        return RequestFormat([ids], ENCODER, binary=binary, batched=True, made=[made])

    columns = [pa.array(rows, pa.list_(pa.int32()))]
    assert _predict(_encoder, form(), columns, batch_size) == _alone(_encoder, form, columns)


def _pairs(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    source, target = tensors["SOURCE"], tensors["TARGET"]
    total = source.sum(axis=1, keepdims=True)
    return {"SCORES": np.where(target, target + total, 0), "CROSS": target[:, :, None] * source[:, None, :]}


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=25), st.integers(1, 9))
@settings(deadline=None)
def test_two_lengths_are_told_apart(rows: list[tuple[list[int], list[int]]], batch_size: int) -> None:
    """Of two inputs of different lengths, an axis is cut to that of the one it is the length of."""

    def form() -> RequestFormat:
        inputs = [_input("source", "INT[]", (-1,)), _input("target", "INT[]", (-1,))]
        outputs = [_output("scores", "INT[]", (-1,)), _output("cross", "INT[][]", (-1, -1))]
        return RequestFormat(inputs, outputs, binary=True, batched=True)

    columns = [pa.array(list(column), pa.list_(pa.int32())) for column in zip(*rows, strict=True)]
    assert _predict(_pairs, form(), columns, batch_size) == _alone(_pairs, form, columns)


def _echo(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {"OUT": tensors["X"]}


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
            lambda size: st.lists(st.lists(st.integers(1, 9), min_size=size[1], max_size=size[1]), max_size=size[0])
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 9),
)
@settings(deadline=None)
def test_matrices_come_back_as_they_went(rows: list[list[list[int]]], batch_size: int) -> None:
    """Both axes of a matrix are cut, also to nothing."""
    inputs, outputs = [_input("x", "INT[][]", (-1, -1))], [_output("out", "INT[][]", (-1, -1))]
    form = RequestFormat(inputs, outputs, binary=True, batched=True)
    columns = [pa.array(rows, pa.list_(pa.list_(pa.int32())))]
    assert _predict(_echo, form, columns, batch_size) == [(row,) for row in rows]


@given(st.lists(st.tuples(IDS, st.binary(max_size=4)), min_size=1, max_size=20), st.integers(1, 9))
@settings(deadline=None)
def test_what_is_not_padded_keeps_its_length(rows: list[tuple[list[int], bytes]], batch_size: int) -> None:
    """Columns without a filling, and bytes, share a request only where their lengths are equal."""
    raw = TensorSpec("raw", "RAW", _kind("UINT8"), (-1,), _sql("BLOB"))
    form = RequestFormat([_input("x", "INT[]", (-1,)), raw], [], binary=True, batched=True)
    columns = [pa.array([row[0] for row in rows], pa.list_(pa.int32())), pa.array([row[1] for row in rows])]
    for places, group in form.encode(columns, batch_size).groups:
        assert places is not None
        assert {len(rows[place][1]) for place in places.tolist()} == {group.row_shapes[1][0]}


def _kind(name: str) -> Any:
    return datatype_of_tensor(name)


def _sql(text: str) -> SqlType:
    parsed = parse_sql_type(text)
    assert isinstance(parsed, SqlType)
    return parsed


def test_outputs_are_kept_as_they_come_where_it_is_said() -> None:
    """With trim off an output has its padding; with a column named it is cut to that column's rows."""
    columns = [pa.array([[1], [2, 3, 4]], pa.list_(pa.int32()))]
    inputs = [_input("x", "INT[]", (-1,))]
    kept = RequestFormat(inputs, [_output("out", "INT[]", (-1,), trim=False)], binary=True, batched=True)
    assert _predict(_echo, kept, columns, 2) == [([1, 0, 0],), ([2, 3, 4],)]
    said = RequestFormat(inputs, [_output("out", "INT[]", (-1,), trim_to="x")], binary=True, batched=True)
    assert _predict(_echo, said, columns, 2) == [([1],), ([2, 3, 4],)]


def test_fixed_axes_are_cut_only_where_it_is_said() -> None:
    """A row that is padded to a fixed length does not depend on its neighbours, and is cut if a column is named."""
    columns = [pa.array([[1], [2, 3]], pa.list_(pa.int32()))]
    inputs = [_input("x", "INT[]", (3,))]
    kept = RequestFormat(inputs, [_output("out", "INT[]", (3,))], binary=True, batched=True)
    assert _predict(_echo, kept, columns, 2) == [([1, 0, 0],), ([2, 3, 0],)]
    said = RequestFormat(inputs, [_output("out", "INT[]", (3,), trim_to="x")], binary=True, batched=True)
    assert _predict(_echo, said, columns, 2) == [([1],), ([2, 3],)]


def test_a_wrong_name_is_an_error() -> None:
    """An output none of whose axes has the length of the column that is named for it is not kept without a word."""
    columns = [pa.array([[[1]], [[2, 3], [4, 5], [6, 7]]], pa.list_(pa.list_(pa.int32())))]
    inputs = [_input("x", "INT[][]", (-1, -1))]
    form = RequestFormat(inputs, [_output("out", "INT[]", (-1,), trim_to="x")], binary=True, batched=True)
    with pytest.raises(PaddedAxisError, match="has no axis of the length to which rows of x were padded"):
        _predict(lambda tensors: {"OUT": np.zeros((len(tensors["X"]), 7))}, form, columns, 2)


def test_a_contradiction_is_an_error() -> None:
    """An output that was cut, and then has another length than the padded rows, is an error that says what to write."""
    lengths = [1, 2, 3, 1, 2, 3]
    columns = [pa.array([[7] * length for length in lengths], pa.list_(pa.int32()))]
    form = RequestFormat([_input("x", "INT[]", (-1,))], [_output("out", "INT[]", (-1,))], binary=True, batched=True)
    asked = iter(range(100))

    def model(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"OUT": tensors["X"] if next(asked) < 1 else tensors["X"][:, :1]}

    with pytest.raises(PaddedAxisError, match=r"write 'trim\.out' = 'false'"):
        _predict(model, form, columns, 3, chunk=1)


def test_rows_are_padded_to_two_lengths() -> None:
    """Where all requests would have one padded length, the shortest rows have one of their own; and only once."""
    columns = [pa.array([[1], [1, 2], [3], [1, 2, 3]], pa.list_(pa.int32()))]
    inputs = [_input("x", "INT[]", (-1,))]
    form = RequestFormat(inputs, [_output("out", "INT[]", (-1,))], binary=True, batched=True)
    shapes = [[rows.row_shapes for _, rows in form.encode(columns, 8).groups] for _ in range(2)]
    assert shapes == [[((1,),), ((3,),)], [((3,),)]]
    plain = RequestFormat(inputs, [_output("out", "INT[2]", (2,))], binary=True, batched=True)
    assert [rows.row_shapes for _, rows in plain.encode(columns, 8).groups] == [((3,),)]


@pytest.mark.parametrize(
    ("datatype", "kind"), [("INT64", "BIGINT"), ("INT32", "INT"), ("FP32", "FLOAT"), ("BOOL", "BOOLEAN")]
)
@pytest.mark.parametrize("binary", [True, False])
@given(st.lists(st.lists(st.integers(1, 9), max_size=4), min_size=1, max_size=12), st.booleans())
@settings(deadline=None, max_examples=30)
def test_masks_are_the_lengths(
    datatype: str,
    kind: str,
    binary: bool,
    rows: list[list[int]],
    padded: bool,
) -> None:
    """A mask has 1 for what is a row's own and 0 for its padding, in its tensor's datatype; zeros are 0 everywhere."""
    ids = _input("x", "INT[]", (-1,), "9" if padded else None)
    mask = _spec("x", f"{kind}[]", datatype, (-1,), "0" if padded else None)
    form = RequestFormat(
        [ids], [], binary=binary, batched=True, made=[MadeTensor(mask, 0, 1, (0,)), MadeTensor(mask, 0, 0, (0,))]
    )
    for places, group in form.encode([pa.array(rows, pa.list_(pa.int32()))], 4).groups:
        chosen = list(range(len(rows))) if places is None else places.tolist()
        parts = [column.rows(0, len(chosen)) for column in group.columns]
        longest = group.row_shapes[0][0]
        wanted = [[int(at < len(rows[place])) for at in range(longest)] for place in chosen]
        for part, value in ((parts[1], 1), (parts[2], 0)):
            if binary:
                sent = np.frombuffer(part, _NUMPY[datatype])
            else:
                sent = np.array(orjson.loads(b"[" + bytes(part)[:-1] + b"]"))
            assert sent.reshape(len(chosen), longest).astype(int).tolist() == (np.array(wanted) * value).tolist()
        assert group.row_shapes[1] == group.row_shapes[0]


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.one_of(st.none(), st.integers(1, 9)), st.one_of(st.none(), IDS)),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_optional_inputs_are_left_out(
    rows: list[tuple[int, int | None, list[int] | None]],
    batch_size: int,
    padded: bool,
    in_order: bool,
) -> None:
    """A row that lacks an optional input shares no request with one that has it, and each has its own answer."""
    inputs = [
        _input("a", "INT", (1,)),
        _input("b", "INT", (1,), optional=True),
        _input("c", "INT[]", (-1,), "0" if padded else None, optional=True),
    ]
    form = RequestFormat(inputs, [_output("sum", "INT", (1,))], binary=True, batched=True)
    columns = [
        pa.array([row[0] for row in rows], pa.int32()),
        pa.array([row[1] for row in rows], pa.int32()),
        pa.array([row[2] for row in rows], pa.list_(pa.int32())),
        pa.array([row[1] is None for row in rows]),
        pa.array([row[2] is None for row in rows]),
    ]

    def model(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        count = len(tensors["A"])
        b = tensors.get("B", np.full((count, 1), 100))
        c = tensors["C"].sum(axis=1, keepdims=True) if "C" in tensors else np.full((count, 1), 1000)
        return {"SUM": tensors["A"] + b + c}

    if in_order:
        places = [
            place
            for of_group, rows_of_group in form.encode(columns, 1, in_order=True).groups
            for place in (range(len(rows)) if of_group is None else of_group.tolist())
            if rows_of_group
        ]
        assert places == list(range(len(rows)))
    expected = [(a + (100 if b is None else b) + (1000 if c is None else sum(c)),) for a, b, c in rows]
    assert _predict(model, form, columns, batch_size) == expected


def test_optional_value_that_is_none_of_its_type_fails_its_row() -> None:
    """NULL that stands for a value which is none of the type is no input left out: its row is not sent."""
    inputs = [_input("a", "INT", (1,)), _input("b", "INT", (1,), optional=True)]
    form = RequestFormat(inputs, [], binary=True, batched=True)
    columns = [
        pa.array([1, 2, 3], pa.int32()),
        pa.array([None, None, 5], pa.int32()),
        pa.array([True, False, False]),
    ]
    encoded = form.encode(columns, 8)
    assert [(one.places.tolist(), one.why) for one in encoded.refused if len(one.places)] == [
        ([1], "not sent: b: its value is no INTEGER")
    ]
    sent = {
        tuple(places.tolist()): sorted(_tensors(*rows.body(0, 1)))
        for places, rows in encoded.groups
        if places is not None
    }
    assert sent == {(0,): ["A"], (2,): ["A", "B"]}


@given(st.lists(IDS, min_size=1, max_size=20), st.integers(1, 9))
@settings(deadline=None)
def test_bytes_are_cut_too(rows: list[list[int]], batch_size: int) -> None:
    """A BLOB of a UINT8 output loses the bytes of padded places, whichever axis they are on."""
    inputs = [_input("x", "INT[]", (-1,))]
    raw = TensorSpec("out", "OUT", _kind("UINT8"), (2, -1), _sql("BLOB"), trim=True)
    form = RequestFormat(inputs, [raw], binary=True, batched=True)
    columns = [pa.array(rows, pa.list_(pa.int32()))]
    answers, lengths, places = [], [], []
    for of_group, group in form.encode(columns, batch_size).groups:
        assert of_group is not None
        sent = _tensors(*group.body(0, len(of_group)))["X"]
        data = np.stack([sent, sent + 100], axis=1).astype(np.uint8)
        output = {"name": "OUT", "datatype": "UINT8", "shape": list(data.shape)}
        header = orjson.dumps({"outputs": [output | {"parameters": {"binary_data_size": data.nbytes}}]})
        answers.append(parse_answer(header + data.tobytes(), len(header), [raw], len(of_group), batched=True))
        lengths.append(group.lengths)
        places += of_group.tolist()
    decoded = decode_outputs(answers, [raw], Trimmer(inputs, [raw]).cuts(answers, lengths))[0].to_pylist()
    for place, found in zip(places, decoded, strict=True):
        assert found == bytes(rows[place]) + bytes(number + 100 for number in rows[place])


def test_a_contradiction_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends, nothing that was handed over before counts, and the error says what to write."""
    monkeypatch.setattr(handover, "CHUNK_SECONDS", 0)
    asked = itertools.count()

    async def model(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        (sent,) = orjson.loads(request.content)["inputs"]
        rows, length = sent["shape"]
        kept = length if next(asked) < 2 else length - 1
        data = np.array(sent["data"]).reshape(rows, length)[:, :kept].ravel().tolist()
        output = {"name": "OUT", "datatype": "INT32", "shape": [rows, kept], "data": data}
        return httpx.Response(200, content=orjson.dumps({"outputs": [output]}))

    rows_of_lengths = [[1] * length for length in range(2, 10)]
    table = pa.table({"key": range(len(rows_of_lengths)), "x": pa.array(rows_of_lengths, pa.list_(pa.int32()))})
    options = {"provider": "triton", "endpoint": "http://nowhere.invalid", "model-name": "m"}
    parsed = parse_options(options | {"max-concurrent-operations": "1"}, "m")
    form = RequestFormat([_input("x", "INT[]", (-1,))], [_output("out", "INT[]", (-1,))], binary=False, batched=True)
    sink = Kept()

    async def run() -> None:
        async with TritonClient(parsed, transport=httpx.MockTransport(model)) as client:
            await Engine(client, form, batch_size=2, key_columns=1, sink=sink).run(table.to_batches())

    with pytest.raises(RunError, match=r"write 'trim\.out' = 'false'") as caught:
        asyncio.run(run())
    assert caught.value.no_answer_counts
    assert all(prediction == (rows_of_lengths[key],) for key, prediction in sink.predictions_by_key.items())
