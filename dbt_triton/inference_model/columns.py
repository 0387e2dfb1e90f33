"""Which column is which tensor: by name, by position where there is one, or as the options say."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

import pyarrow as pa

from dbt_triton.client.served import ServedModel, ServedTensor, listed
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.inference_model.by_column import KEPT, SEEN
from dbt_triton.inference_model.input_columns import named_tensor, only_tensor
from dbt_triton.inference_model.language_model import (
    TEXT_OUTPUT,
    counts_tokens,
    did_you_mean,
    flag_of,
    is_language_model,
)
from dbt_triton.inference_model.made_tensors import names_of_made
from dbt_triton.inference_model.model import InferenceModel, TypedColumn
from dbt_triton.inference_model.parameters import names_of_parameters
from dbt_triton.known_names import MOST_COMPARED
from dbt_triton.options import PAD_PREFIX
from dbt_triton.tensors import TensorSpec, datatype_of_tensor, fits
from dbt_triton.tensors.classes import PART_OF_KIND
from dbt_triton.tensors.datatypes import Datatype, natural_sql_type
from dbt_triton.tensors.padding import pad_value
from dbt_triton.tensors.shapes import bind_shape, example

_BYTES = Datatype("BYTES", pa.string(), None)
#: Triton answers 400 to classification of another datatype, and ends for BYTES (triton 2.51, measured).
_CLASSIFIABLE = {
    *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FP32", "FP64"),
}


class Binder:
    """Binds the columns of one side after the other, and collects what does not fit.

    Args:
        model: the definition.
        served: what the server says.
        batched: whether the first axis of every tensor is the batch.
        problems: takes a sentence on each column that does not fit.
    """

    def __init__(self, model: InferenceModel, served: ServedModel, *, batched: bool, problems: list[str]) -> None:
        self._explicit = {column.lower(): name for column, name in model.options.tensors.items()}
        self._inputs = {column.name.lower() for column in model.inputs}
        self._outputs = {column.name.lower() for column in model.outputs}
        self._options = model.options
        self._served = served
        #: The inputs that need no column.
        self._made = names_of_made(model.options, served.inputs) | names_of_parameters(model.options, served)
        #: By the name of a column, in lower case, its tensor where only its place says which.
        self._implied: dict[str, dict[str, str]] = {"INPUT": {}, "OUTPUT": {}}
        self.batched = batched
        self._problems = problems
        #: How many tensors the columns of each side are meant for.
        self.wanted = {"INPUT": 0, "OUTPUT": 0}

    def outputs(self, columns: Sequence[TypedColumn]) -> tuple[TensorSpec, ...]:
        """Bind OUTPUT; a column that does not fit is left out and said among the problems."""
        if is_language_model(self._served) and not self._options.classification:
            columns = self._outputs_of_language_model(columns)
        specs = self._bind("OUTPUT", columns, self._served.outputs)
        if not self._options.classification:
            self._refuse_twice("OUTPUT", specs)
        return specs

    def _outputs_of_language_model(self, columns: Sequence[TypedColumn]) -> Sequence[TypedColumn]:
        """Return the columns that are tensors. One that says no tensor is the answer; of several, none is."""
        unnamed = [column for column in columns if not self.is_output(column)]
        answer = self._imply("OUTPUT", TEXT_OUTPUT, columns, unnamed)
        said = {self._tensor_said("OUTPUT", column) for column in columns}
        if answer is not None or TEXT_OUTPUT in said or not unnamed:
            return columns
        names, others = [column.name for column in unnamed], [tensor.name for tensor in self._served.outputs]
        others.remove(TEXT_OUTPUT)
        beside = f"which also gives {shown(', '.join(others))}" if others else "which gives nothing else"
        self._problems.append(
            f"{' and '.join(names)} of OUTPUT are no outputs of the model, {beside}, and only one of them can be the "
            f"answer{did_you_mean(names, others) or '.'} The keys of answers in JSON are columns with "
            "'response-format' = 'json'"
        )
        return [column for column in columns if column not in unnamed]

    def is_output(self, column: TypedColumn) -> bool:
        """Tell whether a column of OUTPUT says which output it is, by its name or by ``tensor.<column>``."""
        return self._tensor_said("OUTPUT", column) is not None

    def is_switched_off(self, output: str) -> bool:
        """Tell whether parameters say that an output is not to be sent."""
        flag = flag_of(output, self._served)
        return flag is not None and self._options.parameters.get(flag.name) is False

    def _tensor_said(self, side: str, column: TypedColumn) -> str | None:
        """Return the name of the tensor that a column says it is."""
        explicit = self._explicit_tensor(side, column)
        named = named_tensor(column.name, self._served.inputs if side == "INPUT" else self._served.outputs)
        return explicit if explicit is not None or named is None else named.name

    def _imply(
        self, side: str, tensor: str, columns: Sequence[TypedColumn], unnamed: Sequence[TypedColumn]
    ) -> TypedColumn | None:
        """Let the only column that says no tensor be the text of a language model, unless another column is it."""
        taken = any(self._tensor_said(side, column) == tensor for column in columns)
        if taken or len(unnamed) != 1:
            return None
        self._implied[side][unnamed[0].name.lower()] = tensor
        return unnamed[0]

    def _bind(
        self, side: str, columns: Sequence[TypedColumn], tensors: Sequence[ServedTensor]
    ) -> tuple[TensorSpec, ...]:
        specs = []
        classified = side == "OUTPUT" and self._options.classification
        self.wanted[side] = len(columns)
        for column in columns:
            explicit = self._explicit_tensor(side, column)
            # Of a classified output, the columns are the parts.
            alone = len(columns) == 1 or bool(classified)
            tensor = _tensor_of(
                column, tensors, explicit, alone=alone, made=self._made if side == "INPUT" else frozenset()
            )
            if tensor is None:
                bound: TensorSpec | str = self._no_tensor(side, column, tensors, explicit)
            elif classified:
                bound = self._class_column(column, tensor)
            else:
                bound = self._column(side, column, tensor)
            if isinstance(bound, str):
                self._problems.append(bound)
            else:
                specs.append(bound)
        return tuple(specs)

    def _no_tensor(self, side: str, column: TypedColumn, tensors: Sequence[ServedTensor], explicit: str | None) -> str:
        """Say that a column has no tensor; of thousands of columns, only the first are compared with all tensors."""
        if len(self._problems) * len(tensors) < MOST_COMPARED:
            return no_tensor(side, column, tensors, explicit)
        return f"{side} column {column.name}: the model has no such tensor"

    def _explicit_tensor(self, side: str, column: TypedColumn) -> str | None:
        """Return what ``tensor.<column>`` names, unless that is for a column of the same name on the other side."""
        explicit = self._explicit.get(column.name.lower())
        sides = {"INPUT": (self._inputs, self._served.inputs), "OUTPUT": (self._outputs, self._served.outputs)}
        columns, tensors = sides["OUTPUT" if side == "INPUT" else "INPUT"]
        theirs = column.name.lower() in columns and explicit in {tensor.name for tensor in tensors}
        ours = explicit in {tensor.name for tensor in sides[side][1]}
        found = None if theirs and not ours else explicit
        return self._implied[side].get(column.name.lower()) if found is None else found

    def _dims(self, tensor: ServedTensor) -> tuple[int, ...]:
        """Return the shape of one row."""
        return tensor.row_dims(batched=self.batched)

    @staticmethod
    def _datatype(tensor: ServedTensor) -> Datatype | None:
        return datatype_of_tensor(tensor.datatype)

    def _unfit(self, side: str, column: TypedColumn, tensor: ServedTensor, *, element: bool = False) -> str | None:
        """Say why a tensor cannot hold a column, or one element of it; None where it can."""
        output, datatype = side == "OUTPUT", self._datatype(tensor)
        dims = () if element else self._dims(tensor)
        if datatype is None:
            return f"{_declared(side, column, tensor)}, a datatype that this version does not support"
        is_count = output and column.type.kind == "INTEGER" and counts_tokens(tensor)
        if not is_count and not fits(column.type, datatype, output=output):
            if output and tensor.name == TEXT_OUTPUT and is_language_model(self._served):
                return (
                    f"{_declared(side, column, tensor)}, a text; declare STRING, or write 'response-format' = 'json' "
                    "for columns that are keys of an answer in JSON"
                )
            return f"{_declared(side, column, tensor)}{_advice(column, datatype, dims, output=output)}"
        return None

    def _column(self, side: str, column: TypedColumn, tensor: ServedTensor) -> TensorSpec | str:
        output, datatype = side == "OUTPUT", self._datatype(tensor)
        unfit = self._unfit(side, column, tensor)
        if unfit is not None or datatype is None:
            return unfit or ""
        shape = bind_shape(column.type, datatype, self._dims(tensor), output=output)
        if isinstance(shape, str):
            return f"{_declared(side, column, tensor)}: {shape.replace('<column>', column.name)}"
        if output:
            trim, trim_to = self._trim(column)
            return TensorSpec(
                column.name, tensor.name, datatype, *shape[:1], column.type, shape[1], trim=trim, trim_to=trim_to
            )
        option, pad = self._pad(column)
        spec = TensorSpec(
            column.name, tensor.name, datatype, *shape[:1], column.type, shape[1], pad, optional=tensor.optional
        )
        if pad is not None and spec.axes:
            try:
                pad_value(spec, column.type.arrow_element)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                return f"{option} is {pad!r}, which is no {column.type.element.name} ({side} column {column.name})"
        return spec

    def _pad(self, column: TypedColumn) -> tuple[str, str | None]:
        """Return what fills a column's rows, and the option that says so."""
        for name, value in self._options.pads.items():
            if name.lower() == column.name.lower():
                return PAD_PREFIX + name, value
        return "pad", self._options.pad

    def _trim(self, column: TypedColumn) -> tuple[bool, str | None]:
        """Return whether an output is cut to the lengths of rows, and to those of which column, if it is said."""
        for name, value in self._options.trims.items():
            if name.lower() == column.name.lower():
                said = value.lower()
                return said != KEPT, None if said in {KEPT, SEEN} else said
        return self._options.trim, None

    def _class_column(self, column: TypedColumn, tensor: ServedTensor) -> TensorSpec | str:
        """Bind a column to its part of the best classes of an output."""
        count = self._options.classification or 0
        name = f"OUTPUT column {column.name}"
        serves = f"the server's {tensor.sentence}"
        dims = self._dims(tensor)
        part = PART_OF_KIND.get(column.type.kind)
        declared = f"{name} is declared {column.sql_type}"
        one_or_more = [(), (None,), (1,)] if count == 1 else [(None,), (count,)]
        wanted = column.type.element.name + ("" if count == 1 else f"[{count}]")
        problems = [
            (
                tensor.datatype not in _CLASSIFIABLE,
                f"{name}: classification is for outputs of numbers, but {serves}; asking for it can end the server",
            ),
            (
                any(size < 1 for size in dims),
                f"{name}: classification needs a fixed number of classes, but {serves}; an empty row ends the server",
            ),
            (
                sum(size != 1 for size in dims) > 1,
                (
                    f"{name}: {serves}: classification ranks all numbers of a row as one list, whatever their axes; "
                    f"declare the numbers ({example(natural_sql_type(tensor.datatype), dims)}) and rank them in SQL"
                ),
            ),
            (
                count > math.prod(dims),
                f"{name}: classification is {count}, but {serves}, which is {math.prod(dims)} class(es)",
            ),
            (
                part is None,
                f"{declared}; a class has a STRING (its label), a FLOAT or DOUBLE (score) and an INT or BIGINT (index)",
            ),
            (
                part == "label" and not tensor.labels,
                f"{name}: {serves} without label_filename, so its classes have no labels; declare INT, the index",
            ),
            (
                column.type.dims not in one_or_more,
                f"{declared}, but classification is {count}, for every OUTPUT; declare {wanted}, or leave it out",
            ),
        ]
        found = [text for wrong, text in problems if wrong]
        if found:
            return found[0]
        axes = (0,) if column.type.dims else ()
        return TensorSpec(column.name, tensor.name, _BYTES, (count,), column.type, axes, None, count, part)

    def _refuse_twice(self, side: str, specs: Sequence[TensorSpec]) -> None:
        names = [spec.name for spec in specs]
        self._problems += [
            f"{side}: two columns are bound to the tensor {shown(name, NAME_LENGTH)}"
            + ("; an output is one column: keep one, and take its elements in SQL" if side == "OUTPUT" else "")
            for name in sorted(set(names))
            if names.count(name) > 1
        ]


def _declared(side: str, column: TypedColumn, tensor: ServedTensor) -> str:
    """Say what is declared and what is served."""
    declared = f"{side} column {column.name} is declared {column.sql_type} ({column.datatype.name})"
    return f"{declared}, but the server's {tensor.sentence}"


def _advice(column: TypedColumn, datatype: Datatype, dims: Sequence[int], *, output: bool) -> str:
    """Say why a type and a datatype do not go together, and which type would."""
    natural = natural_sql_type(datatype.name)
    if natural == "FLOAT16" and output:
        natural = "FLOAT"
    declare = example(natural, dims)
    if datatype.name == "BYTES" or column.datatype.name == "BYTES" or "BOOL" in {datatype.name, column.datatype.name}:
        return f"; declare {declare}"
    holder = "the column" if output else "the tensor"
    rounded = ", which rounds to 16 bits" if natural.endswith("FLOAT16") else ""
    return f": {holder} cannot hold every value exactly; declare {declare}{rounded}"


def _tensor_of(
    column: TypedColumn,
    tensors: Sequence[ServedTensor],
    explicit: str | None,
    *,
    alone: bool,
    made: frozenset[str],
) -> ServedTensor | None:
    if explicit is not None:
        return next((tensor for tensor in tensors if tensor.name == explicit), None)
    named = named_tensor(column.name, tensors)
    return named if named is not None or not alone else only_tensor(tensors, made)


def no_tensor(side: str, column: TypedColumn, tensors: Sequence[ServedTensor], explicit: str | None) -> str:
    """Say that a column has no tensor, with the nearest one or those that it may mean."""
    wanted = explicit or column.name
    alike = [] if explicit else [tensor for tensor in tensors if tensor.name.lower() == column.name.lower()]
    if alike:
        names = [shown(tensor.name, NAME_LENGTH) for tensor in alike]
        ways = " or ".join(f"'tensor.{column.name}' = '{name}'" for name in names)
        return (
            f"{side} column {column.name}: the model has the tensors {' and '.join(names)}, which differ only in case; "
            f"write {ways}"
        )
    names = [tensor.name for tensor in tensors]
    near = difflib.get_close_matches(wanted.upper(), [name.upper() for name in names], n=1, cutoff=0.5)
    hint = next(
        (f"; did you mean {shown(name, NAME_LENGTH)}? It" for name in names if near and name.upper() == near[0]), "; it"
    )
    advice = "" if explicit else f" (or write 'tensor.{column.name}' = 'NAME')"
    return f"{side} column {column.name}: the model has no tensor {wanted}{hint} serves {listed(tensors)}{advice}"
