"""The route ``generate_stream``: one row a request as a flat JSON object, and answers that are events.

Each key of a request is a tensor where the model has an input of that name. An answer has each output as a bare value
where it is one element, else as a flat list: its shape and its datatype are lost, and follow from what was asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from dbt_triton.errors import AnswerError, InferenceError, Reason
from dbt_triton.foreign_text import NAME_LENGTH, shown, shown_value
from dbt_triton.tensors.answer import Answer, refuse_many_values
from dbt_triton.tensors.constants import elements_of
from dbt_triton.tensors.events import Event, error_words, is_error, outputs_of, read_events
from dbt_triton.tensors.generation import Constant, Structured, TextParameters
from dbt_triton.tensors.made import MadeTensor
from dbt_triton.tensors.number_texts import numbers_of_texts
from dbt_triton.tensors.request import RequestFormat, Tensors
from dbt_triton.tensors.rows import Shape
from dbt_triton.tensors.spec import TensorSpec

Responses = Literal["one", "concat"]

#: Texts that every answer to a row says anew, or of its own part: the last one is kept, since joined they say nothing.
_NOT_JOINED = frozenset({"finish_reason", "stop_reason", "logprobs"})
#: Whole numbers that count the part of an answer: ``num_output_tokens``. Those of the prompt are the same in each.
_COUNTER = re.compile(r"^num_(?!input)|output_tokens")
_OK = 200


class GenerateFormat(RequestFormat):
    """How the requests of one model look where each has one row: see `RequestFormat`.

    Args:
        inputs: as there.
        outputs: as there. A request cannot say which it wants: all come that the model has made.
        responses: whether a row has one answer, or several that are joined.
        parameters: as there, and the others, too.
        made: tensors to send that are made of the lengths of a column.
        constants: tensors to send that have one value.
        text: the tensor whose text has parameters in it.
        structured: which columns are keys of the text of an answer.
    """

    def __init__(  # noqa: PLR0913 - all that a request may hold
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        responses: Responses = "one",
        parameters: Mapping[str, int | float | bool | str] | None = None,
        made: Sequence[MadeTensor] = (),
        constants: Sequence[Constant] = (),
        text: TextParameters | None = None,
        structured: Structured | None = None,
    ) -> None:
        super().__init__(
            inputs,
            outputs,
            binary=False,
            batched=False,
            parameters=parameters,
            made=made,
            constants=constants,
            text=text,
            structured=structured,
        )
        self._responses: Responses = responses
        # On this route the model sees the id among its request parameters (Triton 2.51, measured), and may take it for
        # one of its own; not where it reads its parameters from a text.
        self.takes_id = text is not None

    def reader(self) -> EventReader:
        """Return what reads the answers."""
        return EventReader(self.outputs, responses=self._responses)

    def _make_json_parts(self, rows: int, tensors: Tensors, row_shapes: tuple[Shape, ...], extra: bytes) -> list[bytes]:
        """Return the constant text before, between and after the data of the inputs."""
        assert rows == 1  # noqa: S101 - a batch cannot say what each of its rows wants
        mark = "\u0000data"
        members: dict[str, Any] = {}
        for spec, _ in zip((self._tensors[at] for at in tensors), row_shapes, strict=True):
            members[spec.name] = [mark] if spec.axes or spec.raw else mark
        for one in self._constants:
            members[one.spec.name] = elements_of(one.value) if isinstance(one.value, list | tuple) else one.value
        parameters = self._parameters | (orjson.loads(extra) if extra else {})
        if parameters:
            members["parameters"] = parameters
        return orjson.dumps(members).split(orjson.dumps(mark))


class EventReader:
    """Checks the answers of one model, and finds their data.

    Args:
        outputs: what was asked for.
        responses: whether a row has one answer, or several that are joined.
    """

    def __init__(self, outputs: Sequence[TensorSpec], *, responses: Responses = "one") -> None:
        self._outputs = list(outputs)
        self._responses = responses

    def read(
        self, content: bytes | memoryview, header_length: int | None, rows: int, request_id: int | None = None
    ) -> Answer:
        """Check the answer to one row; see `dbt_triton.tensors.formats.Reader`."""
        del header_length, rows  # there is no binary form, and one row
        refuse_many_values(memoryview(content), None)
        events = read_events(bytes(content))
        event = events[0] if len(events) == 1 else {}
        if len(events) != 1 or "error" in event or event.keys() <= _NOTHING:
            event = self._together(events)
        if request_id is not None and not all(one.get("id") in (None, str(request_id), request_id) for one in events):
            raise InferenceError("the server sent the answer to another request")
        payloads, shapes = [], []
        for spec in self._outputs:
            values = _values(event, spec)
            if spec.datatype.numpy is not None and str in map(type, values):
                values = numbers_of_texts(values, spec.name, spec.datatype)
            payloads.append(values)
            shapes.append(row_shape_of(spec, len(values)))
        version = _version(event)
        return Answer(1, list(payloads), None if version is None else shown(version, NAME_LENGTH), shapes)

    def _together(self, events: list[Event]) -> Event:
        """Return the only event that has outputs, or several of them as one."""
        for event in events:
            if is_error(event):
                raise InferenceError(error_words(event), reason=Reason.MODEL_ERROR, status=_OK)
        full = [event for event in events if outputs_of(event)]
        if not full:
            raise InferenceError("the model gave the row no answer", reason=Reason.MODEL_ERROR, status=_OK)
        if len(full) == 1:
            return full[0]
        if self._responses == "one":
            raise AnswerError(
                f"the model gave {len(full)} answers to one row, which has one. If they are parts of one text, "
                "leave 'stream' out of the parameters; or 'responses' = 'concat' joins what the model made of each part"
            )
        versions = {_version(event) for event in full}
        if len(versions) > 1:
            raise AnswerError("the answers to one row are of several versions of the model")
        joined = dict(full[-1])
        for spec in self._outputs:
            parts = [_values(event, spec) for event in full if spec.name in event]
            if parts:
                joined[spec.name] = _joined(spec, parts)
        return joined


_NOTHING = frozenset({"id", "model_name", "model_version", "sequence_id", "sequence_start", "sequence_end"})


def _version(event: Event) -> str | None:
    """Return which version of the model has answered, whatever its form; None where an event does not say."""
    version = event.get("model_version")
    return version if version is None or isinstance(version, str) else shown_value(version)


def _values(event: Event, spec: TensorSpec) -> list[Any]:
    """Return the elements of an output."""
    if spec.name not in event:
        there = sorted(shown(name, NAME_LENGTH) for name in outputs_of(event))
        raise AnswerError(f"the answer has no output {spec.name}; it has {there or 'none'}")
    value = event[spec.name]
    return value if isinstance(value, list) else [value]


def _joined(spec: TensorSpec, parts: list[list[Any]]) -> list[Any]:
    """Put the parts of an output together: texts are joined, counters summed, and of the rest the last one wins."""
    datatype = spec.datatype.name
    joins = datatype == "BYTES" and spec.name not in _NOT_JOINED
    sums = "INT" in datatype and _COUNTER.search(spec.name) is not None
    if not joins and not sums:
        return parts[-1]
    lengths = {len(part) for part in parts}
    if len(lengths) > 1:
        raise AnswerError(f"output {spec.name} has {sorted(lengths)} elements in the answers to one row: not to join")
    if joins:
        if not all(isinstance(value, str) for part in parts for value in part):
            raise AnswerError(f"output {spec.name} holds a value that is not {datatype}: one that is no text")
        return ["".join(texts) for texts in zip(*parts, strict=True)]
    parts = [numbers_of_texts(part, spec.name, spec.datatype) for part in parts]
    if not all(type(value) is int for part in parts for value in part):
        raise AnswerError(f"output {spec.name} holds a value that is not {datatype}: one that is no whole number")
    return [sum(numbers) for numbers in zip(*parts, strict=True)]


def row_shape_of(spec: TensorSpec, count: int) -> Shape:
    """Return the shape of an output of so many elements.

    Raises:
        AnswerError: the output cannot have so many.
    """
    shape = tuple(max(size, 1) for size in spec.row_shape)
    if not spec.axes and not spec.raw:
        if count != math.prod(shape):
            one = f"output {spec.name} has {count} values, and {spec.column} takes one"
            many = f"; several answers to one prompt (n > 1) need an array: declare {spec.column} as {spec.sql.name}[]"
            raise AnswerError(one + many * (count > 1))
        return shape
    open_axes = [axis for axis, size in enumerate(spec.row_shape) if size == -1]
    if len(open_axes) > 1:
        raise AnswerError(
            f"output {spec.name} has {len(open_axes)} axes of any length, and an answer of generate_stream does not "
            "say its shape; only 'route' = 'infer' can"
        )
    rest = math.prod(size for size in spec.row_shape if size != -1)
    fits = count % rest == 0 if open_axes and rest else count == rest
    if not fits:
        raise AnswerError(f"output {spec.name} has {count} values, which do not fit {list(spec.row_shape)}")
    return tuple(count // max(rest, 1) if size == -1 else size for size in spec.row_shape)
