"""From Arrow columns to the bodies of inference requests, with no Python object a row.

A whole record batch is encoded at once into one buffer a column; a request's tensor is then a slice of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa

from dbt_triton.tensors.answer import AnswerReader
from dbt_triton.tensors.arrays import Integers
from dbt_triton.tensors.combine import combine
from dbt_triton.tensors.constants import binary_row, elements_of, fixed_text, row_shape_of
from dbt_triton.tensors.encode import EncodedColumn
from dbt_triton.tensors.generation import Constant, Structured, TextParameters
from dbt_triton.tensors.lengths import BY_LENGTH, Batching, Lengths
from dbt_triton.tensors.made import MadeTensor
from dbt_triton.tensors.padding import PaddedLengths
from dbt_triton.tensors.parameter_text import Found, parameter_texts, text_spec
from dbt_triton.tensors.presence import by_presence, optional_inputs
from dbt_triton.tensors.rows import Refused, Rows, Shape
from dbt_triton.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from dbt_triton.tensors.formats import Reader

#: The places of the tensors of a request, among all that a request may have.
Tensors = tuple[int, ...]
#: What a number takes as JSON at most, about; a text is counted as so many bytes, too.
_JSON_BYTES = 32
#: A request of several rows has at most so many bytes of data: a request is held in memory as a whole.
REQUEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class EncodedRows:
    """Encoded rows of one shape, from which the bodies of requests are cut.

    Args:
        format: how requests look.
        columns: the tensors that these rows have.
        row_shapes: the shape of one row of each.
        tensors: which tensors they are.
        lengths: how long the rows were before they were padded; None where they were not.
        to_cut: how long the rows are, where a request has a budget.
    """

    format: RequestFormat
    columns: list[EncodedColumn]
    row_shapes: tuple[Shape, ...]
    tensors: Tensors
    lengths: PaddedLengths | None = None
    to_cut: Lengths = field(default_factory=list)

    def cuts(self, count: int, request_rows: int) -> list[tuple[int, int]]:
        """Return from which row to which (exclusive) each request goes.

        Args:
            count: how many rows there are.
            request_rows: how many rows a request has; it has fewer where they take more than `REQUEST_BYTES`, or more
                than the format's budget.
        """
        whole = self.format.batching.cuts(self.to_cut, count, request_rows)
        if self._size(0, count) <= REQUEST_BYTES:
            return whole
        return [cut for start, end in whole for cut in self._within_bound(start, end)]

    def _within_bound(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Halve a request until its data is within the bound, or one row."""
        if end - start == 1 or self._size(start, end) <= REQUEST_BYTES:
            yield start, end
            return
        middle = (start + end) // 2
        yield from self._within_bound(start, middle)
        yield from self._within_bound(middle, end)

    def _size(self, start: int, end: int) -> int:
        return sum(len(column.rows(start, end)) for column in self.columns)

    def body(self, start: int, end: int, extra: dict[str, Any] | None = None) -> tuple[bytes, int | None]:
        """Return the body for rows ``start`` to ``end`` (exclusive), and the length of its binary header.

        Args:
            start: the first row.
            end: the row after the last.
            extra: ``parameters`` of this request alone (the start and end of a sequence).

        Returns:
            The body, and ``Inference-Header-Content-Length`` where it is binary, else None.
        """
        parts = [column.rows(start, end) for column in self.columns]
        if self.format.binary:
            return self.format.binary_body(parts, self.tensors, self.row_shapes, end - start, extra)
        return self.format.json_body(parts, self.tensors, self.row_shapes, end - start, extra), None


@dataclass(frozen=True)
class Encoded:
    """One record batch: groups of rows that may share requests, and rows that cannot be sent.

    A group is the places of its rows in the record batch (None for all rows, in order), and the encoded rows.
    """

    groups: list[tuple[np.ndarray[Any, np.dtype[np.int64]] | None, EncodedRows]]
    refused: list[Refused]


class RequestFormat:
    """How the requests of one model look: which tensors, which outputs, JSON or binary.

    Args:
        inputs: the tensors to send, in the order of the record batch's columns, or with the columns they are made of.
        outputs: the tensors to ask for.
        made: tensors to send that are made of the lengths of a column.
        binary: binary tensor data, or JSON.
        batched: whether the first axis of every tensor is the batch.
        parameters: the request's ``parameters`` (priority and the like).
        constants: tensors to send that have one value.
        text: the tensor whose text has parameters in it.
        structured: which columns are keys of the text of an answer.
        batching: how rows are put together.
    """

    def __init__(  # noqa: PLR0913 - all that a request may hold
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        binary: bool,
        batched: bool,
        batching: Batching = BY_LENGTH,
        parameters: Mapping[str, int | float | bool | str] | None = None,
        made: Sequence[MadeTensor] = (),
        constants: Sequence[Constant] = (),
        text: TextParameters | None = None,
        structured: Structured | None = None,
    ) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.binary = binary
        self.batched = batched
        self.batching = batching
        self.takes_id = True
        self.structured = structured
        self._parameters = dict(parameters or {})
        self._made = list(made)
        self._constants = list(constants)
        self._text = text if text is not None and text.columns else None
        if text is not None and not text.columns:
            self._constants.append(Constant(text_spec(text), fixed_text(text)))
        self._tensors = [*self.inputs, *(one.spec for one in made)]
        self._tensors += [text_spec(self._text)] if self._text else []
        self._optional = optional_inputs(self.inputs)
        places = [part.position for spec in self.inputs for part in spec.parts]
        places += [column.position for column in self._text.columns] if self._text else []
        self._columns = max(places, default=len(self.inputs) - 1) + 1
        #: Whether rows have yet to be padded to lengths by which the axes of outputs are told.
        self._untold = any(spec.trimmed_axes for spec in self.outputs)
        self._classifies = any(spec.classes for spec in outputs)
        self._json_parts = lru_cache(maxsize=64)(self._make_json_parts)
        self._binary_header = lru_cache(maxsize=64)(self._make_binary_header)
        self._constant_data = lru_cache(maxsize=4)(self._make_constant_data)

    def encode(self, columns: Sequence[pa.Array], request_rows: int = 1, *, in_order: bool = False) -> Encoded:
        """Encode the columns of one record batch.

        Args:
            columns: the inputs; NULL stands for a value that is not one of the declared type. Then perhaps, for each
                of `optional_columns`, a BOOLEAN column: whether it is left out of the row's request.
            request_rows: how many rows a request will have.
            in_order: rows keep their order.
        """
        combined = combine(
            columns if self._text else columns[: self._columns],
            self.inputs,
            binary=self.binary,
            also=self._texts if self._text else None,
        )
        values = list(combined.columns)
        text = [values.pop()] if self._text else []
        flags = [
            flag if combined.places is None else flag.take(pa.array(combined.places))
            for flag in columns[self._columns :]
        ]
        left_out = dict(zip(self._optional, flags, strict=False))
        values += [one.column(values[one.source]) for one in self._made] + text
        encoded = Encoded([], list(combined.refused))
        for alike, present in by_presence(left_out, len(self.inputs), len(values[0]), in_order=in_order):
            tensors = (*present, *(len(self.inputs) + at for at in self._made_of(present)))
            tensors += (len(values) - 1,) if text else ()
            chosen = [values[at] for at in tensors]
            chosen = chosen if alike is None else [column.take(pa.array(alike)) for column in chosen]
            self._encode(
                chosen, tensors, len(present), combined.original(alike), request_rows, encoded, in_order=in_order
            )
        return encoded

    def _texts(self, columns: Sequence[pa.Array]) -> tuple[pa.Array, Found]:
        """Make the text of each row's parameters, given the columns with those that say what is left out."""
        assert self._text is not None  # noqa: S101 - else there is none to make
        flags = columns[self._columns + len(self._optional) :]
        left_out = dict(zip((column.position for column in self._text.columns), flags, strict=False))
        return parameter_texts(columns, left_out, self._text)

    def reader(self) -> Reader:
        """Return what reads the answers."""
        return AnswerReader(self.outputs, batched=self.batched)

    def _made_of(self, present: Tensors) -> list[int]:
        """Return the tensors that are made of inputs which are there."""
        return [at for at, one in enumerate(self._made) if one.source in present]

    def _encode(  # noqa: PLR0913, PLR0917 - rows, what they are, and where they go
        self,
        columns: Sequence[pa.Array],
        tensors: Tensors,
        inputs: int,
        places: Integers | None,
        request_rows: int,
        encoded: Encoded,
        *,
        in_order: bool,
    ) -> None:
        """Encode rows that have the same tensors, the first so many of which are inputs."""
        specs = [self._tensors[at] for at in tensors]
        order = None if in_order else self.batching.order(columns[:inputs], specs[:inputs], request_rows)
        rows = Rows(columns, specs, binary=self.binary, no_empty=self._classifies, order=order)
        is_told = False
        for group in rows.groups(
            request_rows, in_order=in_order, tell=self._untold, batching=self.batching, inputs=inputs
        ):
            of_batch = group.places if places is None else places if group.places is None else places[group.places]
            encoded.groups.append(
                (of_batch, EncodedRows(self, group.columns, group.row_shapes, tensors, group.lengths, group.to_cut))
            )
            is_told = is_told or (group.lengths is not None and group.lengths.differ)
        self._untold = self._untold and not is_told
        encoded.refused.extend(
            refused if places is None else Refused(places[refused.places], refused.why) for refused in rows.refused
        )

    def answer_bytes(self, rows: int) -> int:
        """Return what the outputs of so many rows take, as far as their shapes say: open axes count as nothing."""
        elements = [
            (_JSON_BYTES if not self.binary or spec.datatype.numpy is None else np.dtype(spec.datatype.numpy).itemsize)
            * math.prod(spec.row_shape)
            for spec in self.outputs
            if min(spec.row_shape, default=0) >= 0
        ]
        return rows * sum(elements)

    def binary_body(
        self,
        parts: Sequence[bytes | memoryview],
        tensors: Tensors,
        row_shapes: Sequence[Shape],
        rows: int,
        extra: dict[str, Any] | None,
    ) -> tuple[bytes, int]:
        """Return a request's body and the length of its JSON header."""
        template = self._binary_header(tensors, tuple(row_shapes), orjson.dumps(extra) if extra else b"")
        numbers: list[int] = []
        if self._constants:
            parts = [*parts, *self._constant_data(rows)]
        for part in parts:
            numbers += [rows, len(part)] if self.batched else [len(part)]
        header = template % tuple(numbers)
        return b"".join([header, *parts]), len(header)

    def json_body(
        self,
        parts: list[memoryview],
        tensors: Tensors,
        row_shapes: Sequence[Shape],
        rows: int,
        extra: dict[str, Any] | None,
    ) -> bytes:
        """Return a request's body."""
        fixed = self._json_parts(rows, tensors, tuple(row_shapes), orjson.dumps(extra) if extra else b"")
        pieces: list[bytes | memoryview] = [fixed[0]]
        for part, after in zip(parts, fixed[1:], strict=True):
            pieces += [part[:-1], after]
        return b"".join(pieces)

    def _make_binary_header(self, tensors: Tensors, row_shapes: tuple[Shape, ...], extra: bytes) -> bytes:
        """Return the JSON header with ``%d`` for the rows, where there is a batch dimension, and for input bytes."""
        mark = "\u0000number"
        inputs = [
            {
                "name": spec.name,
                "shape": [mark, *row_shape] if self.batched else list(row_shape),
                "datatype": spec.datatype.name,
                "parameters": {"binary_data_size": mark},
            }
            for spec, row_shape in self._binary_shapes(tensors, row_shapes)
        ]
        text = orjson.dumps(self._header(inputs, orjson.loads(extra) if extra else None))
        return text.replace(b"%", b"%%").replace(orjson.dumps(mark), b"%d")

    def _make_constant_data(self, rows: int) -> list[bytes]:
        """Return the data of the constants for so many rows."""
        return [binary_row(one) * rows for one in self._constants]

    def _make_json_parts(self, rows: int, tensors: Tensors, row_shapes: tuple[Shape, ...], extra: bytes) -> list[bytes]:
        """Return the constant text before, between and after the data of the inputs."""
        mark = "\u0000data"
        inputs = [
            {
                "name": spec.name,
                "shape": self._shape(row_shape, rows),
                "datatype": spec.datatype.name,
                "data": [mark],
            }
            for spec, row_shape in zip((self._tensors[at] for at in tensors), row_shapes, strict=True)
        ]
        inputs += [
            {
                "name": one.spec.name,
                "shape": self._shape(tuple(row_shape_of(one)), rows),
                "datatype": one.spec.datatype.name,
                "data": elements_of(one.value) * rows,
            }
            for one in self._constants
        ]
        text = orjson.dumps(self._header(inputs, orjson.loads(extra) if extra else None))
        return text.split(orjson.dumps(mark))

    def _binary_shapes(
        self, tensors: Tensors, row_shapes: Sequence[Shape]
    ) -> Iterator[tuple[TensorSpec, Sequence[int]]]:
        """Yield the tensors of a binary request, constants last, and the shape of one row of each."""
        yield from zip((self._tensors[at] for at in tensors), row_shapes, strict=True)
        yield from ((one.spec, row_shape_of(one)) for one in self._constants)

    def _header(self, inputs: list[dict[str, Any]], extra: dict[str, Any] | None) -> dict[str, Any]:
        outputs: dict[str, dict[str, Any]] = {}
        for spec in self.outputs:  # several columns may read one output
            asked: dict[str, Any] = {"binary_data": True} if self.binary else {}
            if spec.classes:
                asked["classification"] = spec.classes
            outputs[spec.name] = {"name": spec.name} | ({"parameters": asked} if asked else {})
        header: dict[str, Any] = {"inputs": inputs, "outputs": list(outputs.values())}
        parameters = self._parameters | (extra or {})
        if parameters:
            header["parameters"] = parameters
        return header

    def _shape(self, row_shape: Shape, rows: int) -> list[int]:
        return [rows, *row_shape] if self.batched else list(row_shape)
