"""Answers, checked before they are believed.

Triton sends what the model made, with status 200, even if rows are missing or the datatype is another one, so no
answer is believed before its names, datatypes, shapes and sizes were checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from dbt_triton.errors import AnswerError, InferenceError, RowCountError
from dbt_triton.foreign_text import NAME_LENGTH, shown, shown_value
from dbt_triton.tensors.answered_shape import row_shape_of
from dbt_triton.tensors.bytes_elements import decode_bytes
from dbt_triton.tensors.number_texts import numbers_of_texts
from dbt_triton.tensors.spec import TensorSpec

Payload = memoryview | list[Any]
#: From where to where, in bytes.
Place = tuple[int, int]

# Triton repeats the id of a request first (2.51, measured).
_ID = re.compile(rb'^\{"id":"\d+",')
_MAX_LAYOUTS = 4096
#: So many empty arrays an answer may have: data that is there bounds every other shape.
_MAX_EMPTY = 2**20
#: So many values JSON may have beside those that were asked for.
_MAX_VALUES = 2**20
#: So many bytes are looked at at once.
_COUNTED_BYTES = 2**20


class Answer(NamedTuple):
    """The checked answer to one request.

    Args:
        rows: how many rows it has.
        payloads: each output's raw bytes (binary) or values (JSON).
        model_version: which version answered.
        row_shapes: the shape of one row of each output; left out where it is as declared.
    """

    rows: int
    payloads: list[Payload]
    model_version: str | None
    row_shapes: Sequence[tuple[int, ...]] = ()


class AnswerReader:
    """Checks the answers of one model, and finds their data.

    Many answers have the same header, but for the id of the request: what was found out about one is kept.

    Args:
        outputs: what was asked for; outputs are read by name, since the server sends them in an order of its own.
        batched: whether the model has a batch dimension.
    """

    def __init__(self, outputs: Sequence[TensorSpec], *, batched: bool) -> None:
        self._outputs = list(outputs)
        self._batched = batched
        self._layouts: dict[tuple[bytes, int, int], _Layout] = {}

    def read(
        self, content: bytes | memoryview, header_length: int | None, rows: int, request_id: int | None = None
    ) -> Answer:
        """Check one answer.

        Args:
            content: the body.
            header_length: ``Inference-Header-Content-Length`` of a binary answer.
            rows: how many rows were sent.
            request_id: the id of the request. Where it stands as Triton writes it, the client has looked at it already.

        Raises:
            AnswerError: the answer is not what was asked for.
            InferenceError: it is the answer to another request.
        """
        view = memoryview(content)
        if header_length is None:
            return _parse(view, None, self._outputs, rows, batched=self._batched, request_id=request_id)[0]
        key = (_ID.sub(b"{", bytes(view[:header_length]), count=1), len(view) - header_length, rows)
        layout = self._layouts.get(key)
        if layout is not None:
            payloads: list[Payload] = [
                view[header_length + start : header_length + end] for start, end in layout.places
            ]
            return Answer(rows, payloads, layout.model_version, layout.row_shapes)
        answer, places = _parse(view, header_length, self._outputs, rows, batched=self._batched, request_id=request_id)
        if None not in places and len(self._layouts) < _MAX_LAYOUTS:
            known = [place for place in places if place is not None]
            self._layouts[key] = _Layout(known, answer.model_version, answer.row_shapes)
        return answer


#: What is said of a shape that would do for one row.
_ALL_TOGETHER = (
    ", after the batch dimension. It lacks an axis of any length, so that it may be {} of all rows together. The model "
    "has to answer both axes, or to have max_batch_size 0 and answer one row a request"
)


class _Layout(NamedTuple):
    """Where the data of each output is in the payload of an answer, and what the header says besides."""

    places: list[Place]
    model_version: str | None
    row_shapes: Sequence[tuple[int, ...]]


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
    return _parse(memoryview(content), header_length, outputs, rows, batched=batched)[0]


def _parse(  # noqa: PLR0913 - what was asked for, and what came
    view: memoryview,
    header_length: int | None,
    outputs: Sequence[TensorSpec],
    rows: int,
    *,
    batched: bool,
    request_id: int | None = None,
) -> tuple[Answer, list[Place | None]]:
    """Return an answer, and the place of each output's data in the payload, if it is there."""
    header = _header(view if header_length is None else view[:header_length], _most_values(outputs, rows))
    answered = header.get("id")
    if request_id is not None and answered is not None and str(answered) != str(request_id):
        # A gateway may write JSON anew, so that the id does not stand where Triton writes it.
        raise InferenceError("the server sent the answer to another request")
    payload = view[header_length:] if header_length is not None else view[:0]
    found = _by_name(header, payload)
    payloads: list[Payload] = []
    places: list[Place | None] = []
    row_shapes: list[tuple[int, ...]] = []
    for spec in outputs:
        if spec.name not in found:
            raise AnswerError(f"the answer has no output {spec.name}; it has {sorted(found) or 'none'}")
        output, data, place = found[spec.name]
        try:
            row_shape = _check(spec, output, rows, batched=batched)
        except RowCountError:
            _check_size(spec, output, data, math.prod(output["shape"]))  # what contradicts itself counts nothing
            raise
        _check_size(spec, output, data, rows * math.prod(row_shape))
        if output["datatype"] != spec.datatype.name:
            texts = data if isinstance(data, list) else _texts(spec, data, rows * math.prod(row_shape))
            data, place = numbers_of_texts(texts, spec.name, spec.datatype), None
        payloads.append(data)
        places.append(place)
        row_shapes.append(row_shape)
    version = header.get("model_version")
    return Answer(rows, payloads, _word(version) if version is not None else None, row_shapes), places


def _most_values(outputs: Sequence[TensorSpec], rows: int) -> int | None:
    """Return how many values of JSON an answer needs at most, about; None where an axis takes any length."""
    if any(min(spec.row_shape, default=0) < 0 for spec in outputs):
        return None
    return rows * sum(math.prod(max(size, 1) for size in spec.row_shape) for spec in outputs)


def _header(text: memoryview, expected: int | None) -> dict[str, Any]:
    refuse_many_values(text, expected)
    try:
        header = orjson.loads(text)
    except ValueError as error:
        raise AnswerError(f"the answer is not valid JSON{_likely_cause(text)}: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("outputs"), list):
        raise AnswerError("the answer is not an inference answer: it has no outputs")
    return header


def refuse_many_values(text: memoryview, expected: int | None) -> None:
    """Refuse JSON of far more values than were asked for: each takes up to thirty times its text in memory."""
    if len(text) <= _MAX_VALUES:
        return
    content = bytes(text)
    # Lists and objects are never asked for in number: Triton sends data as one list an output.
    if _has_more(content, b"[{", _MAX_VALUES):
        raise AnswerError("the answer is not an inference answer: it has too many lists and objects")
    if expected is not None and _has_more(content, b",", expected + _MAX_VALUES):
        raise AnswerError(f"the answer is not the one to this request: it has far more values than {expected:,}")


def _has_more(content: bytes, marks: bytes, most: int) -> bool:
    """Tell whether JSON has more of these bytes; those in texts are left out only where there are many."""
    count = sum(content.count(mark) for mark in marks)
    return count > most and _outside_texts(content, marks) > most


def _outside_texts(content: bytes, marks: bytes) -> int:
    """Count bytes of JSON that are not within a text."""
    without_escapes = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    count, is_within = 0, False
    for start in range(0, len(without_escapes), _COUNTED_BYTES):
        data = np.frombuffer(without_escapes, np.uint8)[start : start + _COUNTED_BYTES]
        within = np.logical_xor.accumulate(data == ord('"')) ^ is_within
        count += int(np.count_nonzero(np.isin(data, np.frombuffer(marks, np.uint8)) & ~within))
        is_within = bool(within[-1])
    return count


def _likely_cause(text: memoryview) -> str:
    """Say what Triton writes that no JSON parser reads."""
    if re.search(rb"[\[,]\s*-?(NaN|Inf)", text):
        return " (it holds NaN or Infinity, which have no JSON form; use 'binary-data' = 'true')"
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return " (it holds bytes that are not UTF-8; use 'binary-data' = 'true')"
    return ""


def _by_name(header: dict[str, Any], payload: memoryview) -> dict[str, tuple[dict[str, Any], Payload, Place | None]]:
    found: dict[str, tuple[dict[str, Any], Payload, Place | None]] = {}
    position = 0
    for output in header["outputs"]:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise AnswerError("the answer is not an inference answer: an output has no name")
        place: Place | None = None
        if output["name"] in found:
            raise AnswerError(f"the answer has two outputs {output['name']}")
        size = _binary_size(output)
        if size is not None:
            data: Payload = payload[position : position + size]
            if len(data) != size:
                raise AnswerError("the answer is truncated: it has less binary data than it says")
            place = (position, position + size)
            position += size
        elif isinstance(output.get("data"), list):
            data = output["data"]
        else:
            raise AnswerError(f"output {output['name']} has no data")
        found[output["name"]] = (output, data, place)
    if position != len(payload):
        raise AnswerError("the answer has more binary data than its outputs account for")
    return found


def _binary_size(output: dict[str, Any]) -> int | None:
    """Return how many bytes of the payload are an output's; None where its data is JSON."""
    parameters = output.get("parameters")
    if not isinstance(parameters, dict | None):
        raise AnswerError(f"output {output['name']} has parameters that are no object: {shown_value(parameters)}")
    size = (parameters or {}).get("binary_data_size")
    if size is not None and not _is_size(size):
        raise AnswerError(f"output {output['name']} has a binary_data_size that is no size: {shown_value(size)}")
    return size


def _word(value: object) -> str:
    """Show what should be a text."""
    return shown(value, NAME_LENGTH) if isinstance(value, str) else shown_value(value)


def _is_size(value: object) -> bool:
    """Tell whether a value of JSON is a number of something; true and false are numbers to Python."""
    return type(value) is int and value >= 0


def _check(spec: TensorSpec, output: dict[str, Any], rows: int, *, batched: bool) -> tuple[int, ...]:
    """Check an output's datatype and shape. Returns the shape of one row."""
    if output.get("datatype") != spec.datatype.name and not _is_number_as_text(spec, output):
        raise AnswerError(
            f"output {spec.name} has datatype {_word(output.get('datatype'))}, expected {spec.datatype.name}",
        )
    shape = output.get("shape")
    if not isinstance(shape, list) or not all(map(_is_size, shape)):
        raise AnswerError(f"output {spec.name} has no usable shape: {shown_value(shape)}")
    if math.prod(max(size, 1) for size in shape) > _MAX_EMPTY and 0 in shape:
        raise AnswerError(
            f"output {spec.name} has no usable shape: {shown_value(shape)}, without data for so many arrays"
        )
    answered = shape[0] if batched and shape else 1
    if answered != rows:
        raise RowCountError(f"output {spec.name} has {answered} rows, but {rows} were sent", more=answered > rows)
    of_row = shape[1:] if batched else shape
    fitted = row_shape_of(of_row, spec, rows)
    if fitted is None:
        one = "" if spec.axes or spec.raw else "one value a row, "
        many = "" if row_shape_of(of_row, spec) is None else _ALL_TOGETHER.format(rows)
        raise AnswerError(
            f"output {spec.name} has the shape {shown_value(shape)}; expected is {one}as {list(spec.row_shape)}{many}"
        )
    return fitted


def _is_number_as_text(spec: TensorSpec, output: dict[str, Any]) -> bool:
    """Tell whether texts came where numbers are declared: TensorRT-LLM's llmapi sends its figures so."""
    return output.get("datatype") == "BYTES" and spec.datatype.numpy is not None and not spec.classes and not spec.raw


def _texts(spec: TensorSpec, data: memoryview, elements: int) -> list[Any]:
    """Read texts of binary tensor data."""
    found = decode_bytes([data], np.array([elements], dtype=np.int64))
    if found is None:
        raise AnswerError(f"the lengths within output {spec.name} do not add up to its size")
    return [bytes(text).decode(errors="replace") for text in found.to_pylist()]


def _check_size(spec: TensorSpec, output: dict[str, Any], data: memoryview | list[Any], elements: int) -> None:
    if isinstance(data, list):
        size, expected = len(data), elements
    elif output["datatype"] == "BYTES":
        size, expected = len(data), max(len(data), 4 * elements)
    else:
        size, expected = len(data), elements * np.dtype(spec.datatype.numpy).itemsize
    if size != expected:
        raise AnswerError(f"output {spec.name} has data of size {size}, but its shape needs {expected}")
