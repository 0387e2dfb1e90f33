import asyncio
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from unit.kserve import Kept, UpperModel, batches_of, run_engine, spec
from unit.nonsense import SECRET, changed

from dbt_triton.errors import AnswerError, Reason
from dbt_triton.foreign_text import remember_secrets
from dbt_triton.tensors import AnswerReader, decode_outputs
from dbt_triton.tensors.datatypes import datatype_of_tensor, natural_sql_type
from dbt_triton.tensors.spec import TensorSpec

OUTPUTS = [spec("upper", "STRING"), spec("length", "INT"), spec("score", "DOUBLE")]
OPEN = TensorSpec("v", "V", spec("v", "FLOAT").datatype, (-1, -1), None, (0, 1))
ROWS = 2


def _tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [ROWS, 1], "data": data}


TENSORS = [
    _tensor("UPPER", "BYTES", ["A", "B"]),
    _tensor("LENGTH", "INT32", [1, 2]),
    _tensor("SCORE", "FP64", [0.5, 1]),
]
JSON = {
    "id": "1",
    "model_name": "m",
    "model_version": "1",
    "outputs": TENSORS,
}
PAYLOAD = b"\1\0\0\0A\1\0\0\0B" + np.array([1, 2], "<i4").tobytes() + np.array([0.5, 1], "<f8").tobytes()
BINARY = JSON | {
    "outputs": [
        {key: value for key, value in output.items() if key != "data"} | {"parameters": {"binary_data_size": size}}
        for output, size in zip(TENSORS, (10, 8, 16), strict=True)
    ]
}


def _read(content: bytes, header_length: int | None, outputs: list[TensorSpec]) -> list[list[Any]]:
    """Read an answer as a run does; whatever is wrong with it is an AnswerError."""
    reader = AnswerReader(outputs, batched=True)
    answer = reader.read(content, header_length, ROWS)
    return [column.to_pylist() for column in decode_outputs([answer], outputs)]


def _read_or_refused(
    content: bytes, header_length: int | None, outputs: list[TensorSpec]
) -> list[list[Any]] | AnswerError:
    try:
        return _read(content, header_length, outputs)
    except AnswerError as error:
        return error


@pytest.mark.parametrize("binary", [False, True])
def test_nonsense_in_any_field_of_an_answer(*, binary: bool) -> None:
    """An answer with nonsense in one field is a wrong answer or a right one; its words are short."""
    remember_secrets([SECRET])
    refused = accepted = 0
    for what, text in changed(BINARY if binary else JSON):
        content, length = (text + PAYLOAD, len(text)) if binary else (text, None)
        columns = _read_or_refused(content, length, OUTPUTS)
        if isinstance(columns, AnswerError):
            refused += 1
            assert columns.reason == Reason.WRONG_ANSWER, what
            assert SECRET not in columns.message, what
            assert len(columns.message) < 1100, what
            assert columns.message.isprintable(), what
        else:
            accepted += 1
            assert [len(column) for column in columns] == [ROWS] * 3, what
    assert refused > 500
    assert accepted > 100  # fields that do not matter


@pytest.mark.parametrize(
    "shape", [[2, 2**62, 0], [2, 0, 2**62], [2, 2**31, 2**31], [2, 10**12, 0], [0, 0, 0], [2, 2**63, 0]]
)
@pytest.mark.parametrize("size", [0, 4])
def test_shapes_without_data(shape: list[int], size: int) -> None:
    """An answer of a few bytes does not make arrays of billions of elements."""
    output = {"name": "V", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": size}}
    header = json.dumps({"outputs": [output]}).encode()
    columns = _read_or_refused(header + bytes(size), len(header), [OPEN])
    assert isinstance(columns, AnswerError) or columns == [[[], []]]


@pytest.mark.parametrize("length", [-1, 0, 1, 10**9, 10**15 - 1])
def test_header_lengths(length: int) -> None:
    """A length of the JSON header that is not its own is a wrong answer."""
    text = json.dumps(BINARY).encode()
    with pytest.raises(AnswerError):
        _read(text + PAYLOAD, length, OUTPUTS)


@pytest.mark.parametrize("item", [b"[]", b"{}", b"[[]]", b'{"a":0}'])
def test_many_objects(item: bytes) -> None:
    """An answer of millions of lists or objects, which would take twenty times its text in memory, is not read."""
    text = (
        b'{"outputs":[{"name":"UPPER","datatype":"BYTES","shape":[2,1],"data":['
        + b",".join([item] * 1_200_000)
        + b"]}]}"
    )
    with pytest.raises(AnswerError, match="too many lists and objects"):
        _read(text, None, OUTPUTS[:1])


@pytest.mark.parametrize("item", [b'"a"', b"1", b"1.5", b"null", b'"\\""', b'"\\\\"', b'","'])
@pytest.mark.parametrize("nested", [False, True])
def test_many_values(item: bytes, *, nested: bool) -> None:
    """JSON of millions of values where two were asked for is refused before it takes thirty times its text."""
    many = b",".join([item] * 3_000_000)
    data = b'"a","b"]}],"parameters":{"x":[%b]}}' % many if nested else b"%b]}]}" % many
    text = b'{"outputs":[{"name":"UPPER","datatype":"BYTES","shape":[2,1],"data":[' + data
    tracemalloc.start()
    try:
        with pytest.raises(AnswerError, match=r"far more values than 2$"):
            _read(text, None, OUTPUTS[:1])
        assert tracemalloc.get_traced_memory()[1] < 3 * len(text) + 2**24
    finally:
        tracemalloc.stop()


def test_many_values_that_were_asked_for() -> None:
    """As many values as the outputs have are read, however many."""
    vector = TensorSpec("v", "V", spec("v", "FLOAT").datatype, (600_000, 3), None, (0, 1))
    output = _tensor("V", "FP32", [0] * 3_600_000) | {"shape": [ROWS, 600_000, 3]}
    answer = AnswerReader([vector], batched=True).read(json.dumps({"outputs": [output]}).encode(), None, ROWS)
    assert len(answer.payloads[0]) == 3_600_000


def test_many_marks_in_texts() -> None:
    """Texts may be full of brackets and commas."""
    texts = ['[{"a\\\\": [,' * 150_000, "[," * 1_500_000 + "\\"]
    text = json.dumps({"outputs": [_tensor("UPPER", "BYTES", texts)]}).encode()
    assert _read(text, None, OUTPUTS[:1]) == [texts]


def test_nonsense_is_split_and_marked() -> None:
    """While rows are sent, nonsense is a wrong answer: its request is split, and the one row is marked."""
    wrong = [
        lambda body: body["outputs"][0].update(parameters=[1]),
        lambda body: body["outputs"][0].update(parameters={"binary_data_size": True}),
        lambda body: body["outputs"][0].update(shape=None),
        lambda body: body["outputs"].append(body["outputs"][0]),
        lambda body: body.update(outputs={}),
    ]
    for number, change in enumerate(wrong):
        kept = Kept()

        def spoil(body: dict[str, Any], texts: list[str], change: Any = change) -> dict[str, Any] | bytes:
            if "bad" in texts:
                change(body)
            return body

        stats = asyncio.run(run_engine(UpperModel(change=spoil), batches_of(["a", "b", "bad", "c"]), kept))
        assert (kept.failed_keys, len(kept.predictions_by_key), stats.rows_failed) == ([2], 3, 1), number


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"outputs":' + b"[" * 5000, b'{"outputs":' + b'{"a":' * 5000])
def test_deep_nesting(text: bytes) -> None:
    """Nesting of any depth is a wrong answer."""
    kept = Kept()
    model = UpperModel(change=lambda *_: text)
    asyncio.run(run_engine(model, batches_of(["a"]), kept))
    assert kept.failed_keys == [0]


def test_id_of_thousands_of_digits() -> None:
    """An id that no request has is a wrong answer."""
    kept = Kept()
    model = UpperModel(change=lambda *_: b'{"id":"' + b"9" * 5000 + b'","outputs":[]}')
    asyncio.run(run_engine(model, batches_of(["a"]), kept))
    assert kept.failed_keys == [0]


#: Of each kind of datatype: what JSON may hold for it, and what it may not.
JSON_VALUES: dict[str, tuple[list[object], list[object]]] = {
    "BOOL": ([True, False], [1, 0, 1.0, "true"]),
    "INT8": ([-128, 127], [128, -129, 1.0, 1.5, 1e300, True, "1"]),
    "UINT64": ([0, 2**64 - 1], [-1, 2**64, 1.0, True, "1"]),
    "INT64": ([-(2**63), 2**63 - 1], [2**63, 1.0, False, "1"]),
    "FP16": ([0.5, 65504, -65504.0], [65520.0, -65520, 1e300, 2049, True, "1"]),
    "BF16": ([0.5, 2.0**127, 256], [3.4e38, -1e300, 257, False, "1"]),
    "FP32": ([0.5, 3.4e38, 2**40, 1e-300], [1e300, -3.5e38, 2**24 + 1, True, "1"]),
    "FP64": ([1e308, 2**53, 2**60], [2**53 + 1, True, False, "1"]),
    "BYTES": (["a", ""], [1, 1.5, True]),
}


@pytest.mark.parametrize("name", JSON_VALUES)
def test_json_values_of_another_datatype(name: str) -> None:
    """A JSON value that the datatype does not have is a wrong answer, never another value; what it has is taken."""
    datatype = datatype_of_tensor(name)
    assert datatype is not None
    sql = {"BYTES": "STRING", "FP16": "FLOAT", "BF16": "FLOAT"}.get(name, natural_sql_type(name))
    output = replace(spec("v", sql), datatype=datatype)
    good, bad = JSON_VALUES[name]
    for value in good:
        text = json.dumps({"outputs": [_tensor("V", name, [value] * ROWS)]}).encode()
        assert _read(text, None, [output])[0] == pytest.approx([value] * ROWS), value
    for wrong in [*bad, None, [1], {}, [], "x" if name != "BYTES" else 0]:
        text = json.dumps({"outputs": [_tensor("V", name, [good[0], wrong])]}).encode()
        with pytest.raises(AnswerError, match="V holds"):
            _read(text, None, [output])
