"""Outputs cut to the lengths that rows had before they were padded.

No server says that an axis of an output is one of an input. It is seen: an axis of any length (-1) that had the padded
length in every answer of a run is that of the padded rows. Requests are made so that this can be seen (`groups_to_pad`
with ``tell``). An answer that contradicts what others were cut by ends the run, so that no row's prediction depends on
which rows were in its request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbt_triton.errors import PaddedAxisError
from dbt_triton.tensors.answer import Answer
from dbt_triton.tensors.arrays import Integers
from dbt_triton.tensors.elements import Mask
from dbt_triton.tensors.padding import Length, PaddedLengths, is_padded
from dbt_triton.tensors.spec import TensorSpec


@dataclass(frozen=True)
class Cut:
    """What is kept of an output.

    Args:
        kept: of the elements of all answers, those that are.
        shapes: the shape of each row then, axis by axis.
    """

    kept: Mask
    shapes: Integers


@dataclass(frozen=True)
class SeenAxis:
    """What the answers to a part of a run say of an axis of an output: the lengths that it may be one of.

    Args:
        output: its place in OUTPUT.
        axis: of a row's output.
        may_be: by the column of INPUT and its level of arrays.
        was_cut: whether rows of the part were cut by it.
    """

    output: int
    axis: int
    may_be: tuple[Length, ...]
    was_cut: bool


class Trimmer:
    """Finds what is padding in the answers of one run. It is used by one thread.

    Args:
        inputs: the tensors that were sent.
        outputs: those that were asked for.
    """

    def __init__(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self._outputs = list(outputs)
        lengths = {
            (spec.column, level): spec.row_shape[axis] == -1
            for spec in inputs
            if is_padded(spec)
            for level, axis in enumerate(spec.axes)
        }
        #: By the output and its axis, the lengths that it may be one of.
        self._may_be: dict[tuple[int, int], set[Length]] = {}
        #: Axes that are said to be a length, whatever an answer looks like.
        self._said: set[tuple[int, int]] = set()
        self._was_cut: set[tuple[int, int]] = set()
        for position, spec in enumerate(outputs):
            may_be = {
                length
                for length, is_open in lengths.items()
                if (is_open if spec.trim_to is None else length[0].lower() == spec.trim_to)
            }
            axes = spec.trimmed_axes
            for axis in axes if may_be else ():
                self._may_be[position, axis] = set(may_be)
                if spec.trim_to is not None and len(axes) == len(may_be) == 1:
                    self._said.add((position, axis))

    def cuts(self, answers: Sequence[Answer], lengths: Sequence[PaddedLengths | None]) -> list[Cut | None]:
        """Return what is kept of each output; None for one that is kept as a whole.

        Args:
            answers: checked answers.
            lengths: how long the rows of each are.

        Raises:
            PaddedAxisError: an answer contradicts earlier ones, or what is cut cannot be told.
        """
        if not self._may_be or all(one is None for one in lengths):
            return [None] * len(self._outputs)
        for (position, axis), may_be in self._may_be.items():
            if (position, axis) not in self._said:
                self._see(position, axis, may_be, answers, lengths)
        self._refuse_wrong_names()
        return [self._cut(position, answers, lengths) for position in range(len(self._outputs))]

    def seen(self) -> list[SeenAxis]:
        """Return what each axis may still be the length of, after the answers so far, and whether it was cut."""
        return [
            SeenAxis(place, axis, tuple(sorted(may_be)), (place, axis) in self._was_cut)
            for (place, axis), may_be in self._may_be.items()
        ]

    def believe(self, seen: Sequence[SeenAxis]) -> None:
        """Leave out lengths that answers to other parts of the same run have ruled out."""
        for one in seen:
            self._may_be[one.output, one.axis] &= set(one.may_be)

    def contradiction(self, seen: Sequence[SeenAxis]) -> PaddedAxisError | None:
        """Return the error of a run whose parts contradict each other: one has cut what another one rules out.

        Args:
            seen: in all parts.
        """
        for one in seen:
            left = self._may_be[one.output, one.axis]
            left &= set(one.may_be)
        for one in seen:
            if one.was_cut and not self._may_be[one.output, one.axis]:
                return PaddedAxisError(self._parts_contradict(one.output))
        return None

    def _see(
        self,
        position: int,
        axis: int,
        may_be: set[Length],
        answers: Sequence[Answer],
        lengths: Sequence[PaddedLengths | None],
    ) -> None:
        """Leave out lengths that an axis of an answer has not."""
        for answer, padded in zip(answers, lengths, strict=True):
            if padded is None:
                continue
            size = self._shape(position, answer)[axis]
            may_be -= {length for length, made in padded.padded.items() if made != size}
            if not may_be and (position, axis) in self._was_cut:
                raise PaddedAxisError(self._contradiction(position, size, padded))

    def _refuse_wrong_names(self) -> None:
        """Refuse an output that is said to have the length of a column, and has it nowhere."""
        for position, spec in enumerate(self._outputs):
            found = [bool(may_be) for (output, _), may_be in self._may_be.items() if output == position]
            if spec.trim_to is not None and found and not any(found):
                raise PaddedAxisError(
                    f"output {spec.name} has no axis of the length to which rows of {spec.trim_to} were padded, which "
                    f"'trim.{spec.column}' names. Write 'trim.{spec.column}' = 'false' to keep it as it comes"
                )

    def _cut(self, position: int, answers: Sequence[Answer], lengths: Sequence[PaddedLengths | None]) -> Cut | None:
        axes = [axis for output, axis in self._may_be if output == position]
        found = [
            {axis: own for axis in axes if (own := self._own(position, axis, answer, one)) is not None}
            for answer, one in zip(answers, lengths, strict=True)
        ]
        if not any(found):
            return None
        kept, shapes = [], []
        for answer, lengths_of_axes in zip(answers, found, strict=True):
            shape = self._shape(position, answer)
            of_rows = np.tile(np.array(shape, dtype=np.int64), (answer.rows, 1))
            for axis, sizes in lengths_of_axes.items():
                of_rows[:, axis] = sizes
            kept.append(_within(shape, lengths_of_axes, answer.rows))
            shapes.append(of_rows)
        return Cut(np.concatenate(kept), np.concatenate(shapes))

    def _own(self, position: int, axis: int, answer: Answer, lengths: PaddedLengths | None) -> Integers | None:
        """Return how much of an axis each row of an answer has; None where that is all."""
        if lengths is None:
            return None
        found = {length: lengths.own[length] for length in self._may_be[position, axis] if length in lengths.own}
        size = self._shape(position, answer)[axis]
        distinct = list({own.tobytes(): np.minimum(own, size) for own in found.values()}.values())
        if not distinct or all((own == size).all() for own in distinct):
            return None
        if len(distinct) > 1:
            raise PaddedAxisError(self._ambiguity(position, [column for column, _ in found]))
        self._was_cut.add((position, axis))
        return distinct[0]

    def _shape(self, position: int, answer: Answer) -> tuple[int, ...]:
        return answer.row_shapes[position] if answer.row_shapes else self._outputs[position].row_shape

    def _contradiction(self, position: int, size: int, lengths: PaddedLengths) -> str:
        spec = self._outputs[position]
        padded = ", ".join(f"{column} to {made}" for (column, _), made in lengths.padded.items())
        return (
            f"output {spec.name} has an axis of {size} where rows were padded ({padded}), although in earlier answers "
            "it was that of the padded rows, so that it was cut to their own lengths. If it is something else, write "
            f"'trim.{spec.column}' = 'false'; or name the INPUT column whose length it has"
        )

    def _parts_contradict(self, position: int) -> str:
        spec = self._outputs[position]
        return (
            f"output {spec.name} has an axis that some answers have in the length to which rows were padded, so that "
            f"it was cut to their own lengths, and other answers have not. If it is something else, write "
            f"'trim.{spec.column}' = 'false'; or name the INPUT column whose length it has"
        )

    def _ambiguity(self, position: int, columns: Sequence[str]) -> str:
        spec = self._outputs[position]
        names = list(dict.fromkeys(columns))
        return (
            f"output {spec.name} has the length to which rows of {' and of '.join(names)} were padded, so that it is "
            f"not known to which it is to be cut. Write 'trim.{spec.column}' = '{names[0]}', or another, or 'false' to "
            "keep it as it comes"
        )


def _within(shape: Sequence[int], own: dict[int, Integers], rows: int) -> Mask:
    """Tell which elements of rows of one shape are within the lengths that each row has."""
    kept: np.ndarray[Any, np.dtype[np.bool_]] = np.ones((rows, *shape), dtype=bool)
    for axis, sizes in own.items():
        along = np.arange(shape[axis]).reshape([-1 if one == axis else 1 for one in range(len(shape))])
        kept &= along < sizes.reshape(-1, *[1] * len(shape))
    return kept.ravel()
