"""From checked answers to Arrow columns, many answers at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from dbt_triton.arrow_numbers import as_arrow
from dbt_triton.errors import AnswerError
from dbt_triton.tensors.answer import Answer
from dbt_triton.tensors.arrays import Integers, nest
from dbt_triton.tensors.bytes_elements import decode_bytes
from dbt_triton.tensors.classes import decode_classes
from dbt_triton.tensors.elements import from_tensor, nearest
from dbt_triton.tensors.joined import joined
from dbt_triton.tensors.raw import bytes_of_elements
from dbt_triton.tensors.spec import TensorSpec
from dbt_triton.tensors.trim import Cut


def decode_outputs(
    answers: Sequence[Answer], outputs: Sequence[TensorSpec], cuts: Sequence[Cut | None] | None = None
) -> list[pa.Array]:
    """Decode the outputs of several answers, one Arrow array an output, rows in the order of the answers.

    Args:
        answers: checked answers.
        outputs: what they hold.
        cuts: what is kept of each output, where its rows were padded.

    Raises:
        AnswerError: the lengths within BYTES data do not add up, or a value is none of its column's type.
    """
    rows = np.fromiter((answer.rows for answer in answers), dtype=np.int64, count=len(answers))
    cuts = cuts or [None] * len(outputs)
    return [
        _Output(answers, rows, position, spec, cut).decoded()
        for position, (spec, cut) in enumerate(zip(outputs, cuts, strict=True))
    ]


class _Output:
    """One output of several answers.

    Args:
        answers: the answers.
        rows: the rows of each.
        position: of the output among all.
        spec: what it is bound to.
        cut: what is kept of it; None for all.
    """

    def __init__(
        self, answers: Sequence[Answer], rows: Integers, position: int, spec: TensorSpec, cut: Cut | None
    ) -> None:
        self._answers = answers
        self._cut = cut
        self._rows = rows
        self._position = position
        self._spec = spec
        self._payloads = [answer.payloads[position] for answer in answers]

    def decoded(self) -> pa.Array:
        """Return the column."""
        spec = self._spec
        is_json = list in set(map(type, self._payloads))
        if spec.raw:
            return self._raw_bytes()
        elements = self._json_elements() if is_json else self._binary_elements(self._payloads, self._counts)
        if self._cut is not None:
            elements = elements.filter(pa.array(self._cut.kept))
        if spec.part is not None:
            elements = decode_classes(elements, spec)
        else:
            elements = from_tensor(elements, spec.sql, spec.name)
        if not spec.sql.dims:
            return elements
        return nest(elements, spec, *self._lengths)

    @property
    def _lengths(self) -> tuple[Integers, Integers]:
        """How many rows there are of each shape, and the lengths of their array levels."""
        if self._cut is not None:
            shapes = self._cut.shapes
            return np.ones(len(shapes), dtype=np.int64), shapes[:, self._spec.axes]
        return self._rows, np.array(self._shapes, dtype=np.int64).reshape(len(self._rows), -1)[:, self._spec.axes]

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        """The shape of one row of each answer."""
        position, declared = self._position, self._spec.row_shape
        return [answer.row_shapes[position] if answer.row_shapes else declared for answer in self._answers]

    @property
    def _elements_a_row(self) -> Integers:
        return np.fromiter(map(math.prod, self._shapes), dtype=np.int64, count=len(self._rows))

    @property
    def _counts(self) -> Integers:
        """How many elements each answer has."""
        if self._spec.axes or self._spec.raw:
            return self._rows * self._elements_a_row
        # As many a row in every answer: that was checked.
        return self._rows * math.prod(max(size, 1) for size in self._spec.row_shape)

    def _binary_elements(self, payloads: Sequence[Any], counts: Integers) -> pa.Array:
        """Decode numbers, or large_binary for BYTES, from binary tensor data."""
        datatype = self._spec.datatype
        if datatype.numpy is None:
            elements = decode_bytes(payloads, counts)
            if elements is None:
                raise AnswerError(f"the lengths within output {self._spec.name} do not add up to its size")
            return elements
        buffer = joined(payloads)
        if datatype.name == "BOOL":
            return as_arrow(np.frombuffer(buffer, dtype=np.uint8)).cast(pa.bool_())
        values = np.frombuffer(buffer, dtype=datatype.numpy)
        if datatype.name == "BF16":
            values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return as_arrow(values.astype(np.float32) if datatype.name == "FP16" else values)

    def _json_elements(self) -> pa.Array:
        """Decode JSON answers, among which a server may have put binary ones."""
        if set(map(type, self._payloads)) == {list}:
            return self._of_json(list(chain.from_iterable(self._payloads)))
        arrays = []
        for place, data in enumerate(self._payloads):
            if isinstance(data, list):
                arrays.append(self._of_json(data))
            else:
                arrays.append(self._binary_elements([data], self._counts[place : place + 1]))
        return pa.concat_arrays(arrays)

    def _of_json(self, data: list[Any]) -> pa.Array:
        name, datatype = self._spec.name, self._spec.datatype
        if pa.types.is_floating(datatype.arrow):
            return self._floats_of_json(data)
        if pa.types.is_integer(datatype.arrow) and any(isinstance(value, float) for value in data):
            # Arrow would cut off the fraction without a word.
            raise AnswerError(f"output {name} holds a value that is not {datatype.name}: a fraction")
        kind = pa.large_string() if datatype.numpy is None else datatype.arrow
        try:
            array = pa.array(data, type=kind, from_pandas=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise AnswerError(f"output {name} holds a value that is not {datatype.name}: {error}") from None
        if array.null_count:
            raise AnswerError(f"output {name} holds null")
        return array.cast(pa.large_binary()) if datatype.numpy is None else array

    def _floats_of_json(self, data: list[Any]) -> pa.Array:
        """Read numbers as a parser of the datatype would; Arrow takes true for 1, and 1e300 as FP32 for infinity."""
        name, datatype = self._spec.name, self._spec.datatype
        kinds = set(map(type, data))
        if type(None) in kinds:
            raise AnswerError(f"output {name} holds null")
        if not kinds <= {int, float}:
            raise AnswerError(f"output {name} holds a value that is not {datatype.name}: one that is no number")
        sent = np.array(data, dtype=np.float64)
        numbers = nearest(sent, datatype)
        # Triton's generate writes NaN and Infinity, which no parser of infer's JSON lets pass.
        if (~np.isfinite(numbers) & np.isfinite(sent)).any():
            raise AnswerError(f"output {name} holds a value that is not {datatype.name}: out of range")
        if int in kinds and any(
            type(value) is int and number != value for value, number in zip(data, numbers.tolist(), strict=True)
        ):
            raise AnswerError(f"output {name} holds a value that is not {datatype.name}: a whole number of more digits")
        return pa.array(numbers, type=datatype.arrow)

    def _raw_bytes(self) -> pa.Array:
        """Return each row of an output as the bytes of its elements."""
        payloads = [self._of_json(data) if isinstance(data, list) else data for data in self._payloads]
        if self._cut is None:
            return bytes_of_elements(payloads, np.repeat(self._elements_a_row, self._rows), self._spec)
        counts = np.prod(self._cut.shapes, axis=1, dtype=np.int64)
        return bytes_of_elements(payloads, counts, self._spec, self._cut.kept)
