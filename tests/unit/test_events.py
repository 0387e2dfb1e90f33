"""Answers of generate_stream: events told apart by their bytes, and what each kind of output becomes."""

import itertools
import json
import math
from typing import Any

import orjson
import pytest

from dbt_triton.errors import AnswerError, InferenceError, Reason
from dbt_triton.tensors import EventReader, TensorSpec, datatype_of_tensor, decode_outputs, parse_sql_type
from dbt_triton.tensors.events import read_events

#: Texts that a careless reader of lines, or of events, would cut.
TEXTS = [
    "",
    "a",
    "a\n\nb",
    "data: {}\n\n",
    "\u2028\u2029\u0085",
    "\r\n",
    '"',
    "\\",
    "\x00\x0b\x0c",
    "é😀",
    "[DONE]",
    ": x",
]


def spec(
    name: str, sql: str, datatype: str, row_shape: tuple[int, ...] = (1,), axes: tuple[int, ...] = ()
) -> TensorSpec:
    """Describe an output that is called like its column."""
    kind, found = parse_sql_type(sql), datatype_of_tensor(datatype)
    assert not isinstance(kind, str)
    assert found is not None
    return TensorSpec(name, name, found, row_shape, kind, axes)


TEXT = spec("text_output", "STRING", "BYTES")


def event(**outputs: Any) -> bytes:
    """Write an event as Triton does: keys in order, on one line, with what is no ASCII as it is."""
    members = {"model_name": "m", "model_version": "1", **outputs}
    return b"data: " + json.dumps(members, sort_keys=True, ensure_ascii=False).encode() + b"\n\n"


def read(content: bytes, *outputs: TensorSpec, responses: Any = "one", request_id: int | None = None) -> list[Any]:
    """Read an answer. Returns the value of each output."""
    specs = list(outputs) or [TEXT]
    answer = EventReader(specs, responses=responses).read(content, None, 1, request_id)
    return [column.to_pylist()[0] for column in decode_outputs([answer], specs)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("extra", [b"", b": a comment\n\n", b"event: message\nid: 1\n", b"\n\n"])
def test_any_text_comes_whole(line_end: bytes, extra: bytes) -> None:
    """Whatever a text holds, the event ends at the blank line; what else a gateway writes is no event."""
    for first, second in itertools.product(TEXTS, TEXTS):
        stream = (extra + event(text_output=first)).replace(b"\n", line_end)
        assert read(stream) == [first]
        assert read(stream + event(text_output=second).replace(b"\n", line_end), responses="concat") == [first + second]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("empty", [0, 1, 2])
@pytest.mark.parametrize("responses", ["one", "concat"])
def test_how_many_answers_a_row_has(count: int, empty: int, responses: str) -> None:
    """Exactly one event with outputs is the row; others do not count; several are parts, where that is said."""
    events = [event(text_output=str(number)) for number in range(count)] + [event()] * empty
    for order in {tuple(events), tuple(reversed(events))}:
        if count == 1 or (count and responses == "concat"):
            expected = "".join(sorted(map(str, range(count)), reverse=order != tuple(events) and count > 1))
            assert read(b"".join(order), responses=responses) == [expected]
            continue
        with pytest.raises(InferenceError) as caught:
            read(b"".join(order), responses=responses)
        if count:
            assert f"the model gave {count} answers to one row" in caught.value.message
            assert caught.value.reason == Reason.WRONG_ANSWER
        else:
            assert caught.value.reason == Reason.MODEL_ERROR


def test_a_json_object_by_itself_is_one_event() -> None:
    """A gateway may send the only event as plain JSON."""
    assert read(b' {"text_output": "x"}') == ["x"]


@pytest.mark.parametrize("responses", ["one", "concat"])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_an_error_fails_the_row(before: int, responses: str) -> None:
    """An error after some of an answer leaves no half of it."""
    content = event(text_output="x") * before + b'data: {"error":"in the middle"}\n\n'
    with pytest.raises(InferenceError, match="in the middle") as caught:
        read(content, responses=responses)
    assert caught.value.reason == Reason.MODEL_ERROR


def test_an_output_called_error() -> None:
    """A model may have an output of that name."""
    assert read(event(error="x"), spec("error", "STRING", "BYTES")) == ["x"]


VALUES: list[tuple[TensorSpec, Any, Any]] = [
    (spec("o", "INT", "INT32"), 5, 5),
    (spec("o", "INT", "INT32"), "5", 5),
    (spec("o", "INT", "INT32"), " -5.0", -5),
    (spec("o", "BIGINT", "INT64"), 2**63 - 1, 2**63 - 1),
    (spec("o", "BIGINT", "INT64"), str(-(2**63)), -(2**63)),
    (spec("o", "DOUBLE", "FP32"), 1, 1.0),
    (spec("o", "DOUBLE", "FP64"), "0.25", 0.25),
    (spec("o", "DOUBLE", "FP64"), "1e-3", 0.001),
    (spec("o", "DOUBLE", "FP64"), "nan", math.nan),
    (spec("o", "DOUBLE", "FP64"), math.nan, math.nan),
    (spec("o", "DOUBLE", "FP64"), -math.inf, -math.inf),
    (spec("o", "BOOLEAN", "BOOL"), True, True),
    (spec("o", "BOOLEAN", "BOOL"), "False", False),
    (spec("o", "STRING", "BYTES"), "5", "5"),
    (spec("o", "STRING[]", "BYTES", (-1,), (0,)), "x", ["x"]),
    (spec("o", "STRING[]", "BYTES", (-1,), (0,)), ["x", "y"], ["x", "y"]),
    (spec("o", "STRING[]", "BYTES", (-1,), (0,)), [], []),
    (spec("o", "INT[2]", "INT32", (2,), (0,)), [1, 2], (1, 2)),
    (spec("o", "INT[][2]", "INT32", (2, -1), (0, 1)), None, None),
    (spec("o", "FLOAT[][]", "FP32", (2, -1), (0, 1)), [1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
    (spec("o", "STRING", "BYTES", ()), "x", "x"),
]


@pytest.mark.parametrize(("output", "sent", "expected"), [one for one in VALUES if one[1] is not None])
def test_values_by_their_types(output: TensorSpec, sent: Any, expected: Any) -> None:
    """A value is a bare one or a flat list; numbers may come as texts; NaN and Infinity as Triton writes them."""
    (found,) = read(event(o=sent), output)
    if isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(found)
    else:
        assert found == (list(expected) if isinstance(expected, tuple) else expected)


@pytest.mark.parametrize(
    ("output", "sent", "why"),
    [
        (spec("o", "INT", "INT32"), "five", "a text that is not INT32"),
        (spec("o", "INT", "INT32"), "5.5", "a text that is not INT32"),
        (spec("o", "INT", "INT32"), 5.5, "a fraction"),
        (spec("o", "INT", "INT32"), 2**31, "not INT32"),
        (spec("o", "INT", "INT32"), "9" * 300, "not INT32"),
        (spec("o", "DOUBLE", "FP64"), "1e999", "not FP64"),
        (spec("o", "DOUBLE", "FP64"), "None", "not FP64"),
        (spec("o", "FLOAT", "FP32"), 1e300, "out of range"),
        (spec("o", "DOUBLE", "FP64"), None, "holds null"),
        (spec("o", "STRING", "BYTES"), 5, "not BYTES"),
        (spec("o", "STRING", "BYTES"), ["x", "y"], r"2 values.*declare o as VARCHAR\[\]"),
        (spec("o", "STRING", "BYTES"), [], "0 values"),
        (spec("o", "STRING", "BYTES"), {"x": 1}, "not BYTES"),
        (spec("o", "INT[2]", "INT32", (2,), (0,)), [1, 2, 3], "do not fit"),
        (spec("o", "FLOAT[][]", "FP32", (2, -1), (0, 1)), [1, 2, 3], "do not fit"),
        (spec("o", "FLOAT[][]", "FP32", (-1, -1), (0, 1)), [1, 2], "does not say its shape"),
    ],
)
def test_values_that_are_not_what_was_asked_for(output: TensorSpec, sent: Any, why: str) -> None:
    """A value of another type, or in another number, is no answer."""
    with pytest.raises(AnswerError, match=why):
        read(event(o=sent), output)


def test_a_missing_output_fails_the_row() -> None:
    """An answer that lacks an output says which ones it has."""
    with pytest.raises(AnswerError, match=r"no output finish_reason; it has \['text_output'\]"):
        read(event(text_output="x"), TEXT, spec("finish_reason", "STRING", "BYTES"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>", "no stream of events"),
        (b"data: [1]\n\n", "no JSON object"),
        (b"data: {\n\n", "not valid JSON"),
        (b'data: {"a":"\xff"}\n\n', "not UTF-8"),
        (b'data: {"a":[NaN,1e999]}\n\n', "not valid JSON"),
        (b'data: {"a":"\\ud800","b":[NaN]}\n\n', "not valid JSON"),
        (b'data: {"a":' + b"[NaN," * 100_000 + b"\n\n", "not valid JSON"),
        (b"\n\n" * (2**20 + 1), "events"),
    ],
)
def test_what_is_no_answer(content: bytes, why: str) -> None:
    """Nonsense fails its row with a sentence, and takes neither the memory nor the process."""
    with pytest.raises(AnswerError, match=why):
        read(content)


def test_the_answer_to_another_request() -> None:
    """An answer that names another request is not believed."""
    assert read(event(text_output="x", id="7"), request_id=7) == ["x"]
    with pytest.raises(InferenceError, match="another request"):
        read(event(text_output="x", id="8"), request_id=7)
    parts = [event(text_output=str(number), id=number) for number in (7, 8, 7)]
    assert read(parts[0] + parts[2], responses="concat", request_id=7) == ["77"]
    with pytest.raises(InferenceError, match="another request"):
        read(b"".join(parts), responses="concat", request_id=7)


def test_what_becomes_of_parts() -> None:
    """Texts are joined element by element, counters summed, and of the rest the last one holds."""
    outputs = [
        spec("text_output", "STRING[]", "BYTES", (-1,), (0,)),
        spec("num_output_tokens", "BIGINT[]", "UINT32", (-1,), (0,)),
        spec("num_input_tokens", "BIGINT", "UINT32"),
        spec("finish_reason", "STRING[]", "BYTES", (-1,), (0,)),
        spec("cumulative_logprob", "FLOAT[]", "FP32", (-1,), (0,)),
        spec("sequence_index", "INT", "INT32"),
    ]
    parts = [
        {
            "text_output": ["a", "x"],
            "num_output_tokens": [1, "2"],
            "finish_reason": ["None", "None"],
            "sequence_index": 0,
        },
        {
            "text_output": ["b", ""],
            "num_output_tokens": [3, 0],
            "finish_reason": ["length", "stop"],
            "sequence_index": 1,
        },
    ]
    more = {"num_input_tokens": 9}
    stream = event(**parts[0], **more, cumulative_logprob=[0.5, 1]) + event(**parts[1], cumulative_logprob=[1.5, 2])
    expected = [["ab", "x"], [4, 2], 9, ["length", "stop"], [1.5, 2.0], 1]
    assert read(stream, *outputs, responses="concat") == expected
    with pytest.raises(AnswerError, match="not to join"):
        read(event(text_output=["a", "b"]) + event(text_output="c"), TEXT, responses="concat")
    other = event(text_output="x").replace(b'"1"', b'"2"')
    with pytest.raises(AnswerError, match="several versions"):
        read(event(text_output="x") + other, responses="concat")
    with pytest.raises(AnswerError, match="several versions"):
        read(event(text_output="x") + event(text_output="x", model_version=["1"]), responses="concat")


@pytest.mark.parametrize("text", TEXTS)
def test_events_are_what_they_were(text: str) -> None:
    """Events that orjson writes are read as they were."""
    events = [{"text": text, "number": number} for number in range(3)]
    assert read_events(b"".join(b"data: " + orjson.dumps(one) + b"\n\n" for one in events)) == events


def test_an_error_that_is_nested_too_deeply_is_an_error() -> None:
    """Whatever stands in the place of an error's words, the row fails by it."""
    for depth in (300, 1000):
        with pytest.raises(InferenceError) as caught:
            read(b'data: {"error":' + b"[" * depth + b"]" * depth + b"}\n\n")
        assert caught.value.reason == Reason.MODEL_ERROR
