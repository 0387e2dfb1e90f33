"""Binding INPUT: a column to a tensor, several columns to one, a BLOB with the columns that say its lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dbt_triton.client.served import ServedModel, ServedTensor, listed
from dbt_triton.inference_model.columns import Binder
from dbt_triton.inference_model.input_columns import InputGroup, combined, groups_of_columns, sent_as_nan
from dbt_triton.inference_model.language_model import (
    SAMPLING_KEYS,
    TEXT_INPUT,
    did_you_mean,
    is_language_model,
    parameters_text,
)
from dbt_triton.inference_model.model import InferenceModel, TypedColumn
from dbt_triton.tensors import Datatype, SqlType, TensorSpec
from dbt_triton.tensors.generation import ParameterColumn
from dbt_triton.tensors.shapes import told_lengths
from dbt_triton.tensors.spec import Part
from dbt_triton.tensors.sql_types import INTEGER_BITS

#: Types that are no value of JSON, or one that no parameter is.
_NO_PARAMETERS = {"BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}
#: Datatypes that have a NaN.
_FLOATING = {"FP16", "BF16", "FP32", "FP64"}


class InputBinder(Binder):
    """Binds INPUT, and OUTPUT as a `Binder` does.

    Args:
        model: the definition.
        served: what the server says.
        batched: whether the first axis of every tensor is the batch.
        problems: takes a sentence on each column that does not fit.
    """

    def __init__(self, model: InferenceModel, served: ServedModel, *, batched: bool, problems: list[str]) -> None:
        super().__init__(model, served, batched=batched, problems=problems)
        #: The columns of INPUT, by their places, whose NULL is sent as NaN.
        self.nan_columns: set[int] = set()
        #: The columns that are keys of the text of all parameters.
        self.parameter_columns: list[ParameterColumn] = []
        self._shapes = {column.lower(): lengths for column, lengths in model.options.shapes.items()}
        self._input_columns = {column.name.lower(): column for column in model.inputs}
        self._positions = {column.name.lower(): position for position, column in enumerate(model.inputs)}

    def inputs(self, columns: Sequence[TypedColumn]) -> tuple[TensorSpec, ...]:
        """Bind INPUT; a column that does not fit is left out and said among the problems."""
        known = len(self._problems)
        lengths = self._length_columns()
        if is_language_model(self._served):
            columns = self._of_language_model(columns, lengths)
        groups = groups_of_columns(
            columns,
            self._served.inputs,
            dims_of=self._dims,
            explicit_of=lambda column: self._explicit_tensor("INPUT", column),
            lengths=lengths,
            made=self._made,
        )
        self.wanted["INPUT"] = len(groups)
        specs = []
        for group in groups:
            bound = self._group(group)
            if isinstance(bound, TensorSpec):
                specs.append(bound)
            else:
                self._problems += [bound] if isinstance(bound, str) else bound
        if self._options.null_as is not None and not self.nan_columns and len(self._problems) == known:
            self._problems.append(
                f"null-as is {self._options.null_as}, but only floating-point numbers have a NaN, and no column goes "
                f"into such an input; the model has {listed(self._served.inputs)}"
            )
        return tuple(specs)

    def _of_language_model(self, columns: Sequence[TypedColumn], lengths: frozenset[str]) -> Sequence[TypedColumn]:
        """Return the columns that are tensors. One that says no tensor is the prompt, others are parameters."""
        text, served = parameters_text(self._served), {tensor.name for tensor in self._served.inputs}
        said = {column.name: self._tensor_said("INPUT", column) for column in columns}
        #: By the name of a column, the key of the text that ``tensor.<column>`` names.
        named = {name: key for name, key in said.items() if key in SAMPLING_KEYS - served and text is not None}
        unnamed = [column for column in columns if said[column.name] is None and column.name.lower() not in lengths]
        if text is None or text.name in said.values():
            self._imply("INPUT", TEXT_INPUT, columns, unnamed)
            return columns
        others = [column for column in unnamed if column.name.lower() not in SAMPLING_KEYS]
        prompt = self._imply("INPUT", TEXT_INPUT, columns, others)
        if prompt is None and TEXT_INPUT not in said.values() and len(columns) > 1 and others:
            near = did_you_mean([column.name for column in others], SAMPLING_KEYS)
            self._problems.append(
                f"{' and '.join(column.name for column in others)} of INPUT are no inputs of the model, and one of "
                f"them is the prompt{near + ' Otherwise' if near else ':'} write "
                f"'tensor.<column>' = '{TEXT_INPUT}'; the others are keys of {text.name} then"
            )
            return [column for column in columns if column not in unnamed]
        keys = [column for column in unnamed if column is not prompt and (TEXT_INPUT in said.values() or prompt)]
        keys += [column for column in columns if column.name in named]
        keys.sort(key=lambda column: self._positions[column.name.lower()])
        found = [self._parameter(column, named.get(column.name)) for column in keys]
        self.parameter_columns = [one for one in found if one is not None]
        return [column for column in columns if column not in keys]

    def _parameter(self, column: TypedColumn, key: str | None) -> ParameterColumn | None:
        """Return a column as a key of the text of all parameters."""
        if column.type.kind in _NO_PARAMETERS:
            self._problems.append(
                f"INPUT column {column.name} is a key of the model's parameters, which are JSON, and is declared "
                f"{column.sql_type}; declare a number, BOOLEAN, STRING, JSON or an array of these"
            )
            return None
        folded = column.name.lower()
        name = folded if folded in SAMPLING_KEYS else column.name
        return ParameterColumn(self._positions[folded], column.name, key or name, column.type)

    def _length_columns(self) -> frozenset[str]:
        """Return the names, in lower case, of the columns that say lengths."""
        found = set()
        for blob, lengths in self._shapes.items():
            for name in lengths:
                if not isinstance(name, str):
                    continue
                column = self._input_columns.get(name.lower())
                if column is None or column.type.dims or column.type.kind not in INTEGER_BITS:
                    self._problems.append(
                        f"shape.{blob} names {name}, which is no column of INPUT with a whole number; write a number, "
                        "or declare the column as INT"
                    )
                else:
                    found.add(name.lower())
        return frozenset(found)

    def _group(self, group: InputGroup) -> TensorSpec | str | list[str]:
        """Bind the columns of one tensor."""
        first, tensor = group.columns[0], group.tensor
        if tensor is None:
            return self._no_tensor("INPUT", first, self._served.inputs, self._explicit_tensor("INPUT", first))
        if len(group.columns) == 1:
            told = self._shapes.get(first.name.lower())
            bound = self._column("INPUT", first, tensor) if told is None else self._shaped(first, tensor, told)
            return bound if isinstance(bound, str) else self._as_sent(first, bound)
        found = [self._part(column, tensor) for column in group.columns]
        parts, datatype = [part for part in found if isinstance(part, Part)], self._datatype(tensor)
        if len(parts) < len(found) or datatype is None:
            return [part for part in found if isinstance(part, str)]
        return combined(group, parts, datatype, self._dims(tensor), self._served.inputs)

    def _as_sent(self, column: TypedColumn, spec: TensorSpec) -> TensorSpec:
        """Say where the column of a tensor stands, and what it comes as."""
        if spec.parts:
            return spec
        sent = self._sent(column, spec.datatype)
        if self._positions[column.name.lower()] in self.nan_columns and not column.type.dims:
            spec = replace(spec, optional=False)  # its NULL is a value; that of an array has no length
        if sent.dims:
            return replace(spec, declared=sent, parts=(self._as_part(column, sent, sent),))
        return replace(spec, parts=(self._as_part(column, column.type, sent),))

    def _as_part(self, column: TypedColumn, sql: SqlType, sent: SqlType, elements: int = 1) -> Part:
        return Part(self._positions[column.name.lower()], column.name, sql, sent, elements)

    def _sent(self, column: TypedColumn, datatype: Datatype) -> SqlType:
        """Return the type that a column comes as: with ``null-as`` one that has NaN, for a tensor that has it, too."""
        sent = sent_as_nan(column.type)
        if self._options.null_as is None or sent is None or datatype.name not in _FLOATING:
            return column.type
        self.nan_columns.add(self._positions[column.name.lower()])
        return sent

    def _part(self, column: TypedColumn, tensor: ServedTensor) -> Part | str:
        """Bind a column as some of the elements of a tensor."""
        name, dims, datatype = f"INPUT column {column.name}", column.type.dims, self._datatype(tensor)
        unfit = self._unfit("INPUT", column, tensor, element=True)
        if unfit is not None or datatype is None:
            return unfit or name
        if column.type.kind == "BLOB" and datatype.numpy is not None:
            return f"{name}: a BLOB is the whole of the server's {tensor}, and no element of it"
        if len(dims) > 1 or None in dims:
            return (
                f"{name} is declared {column.sql_type}, so that it is not known how many elements of the server's "
                f"{tensor} it is; declare {column.type.element.name}[n]"
            )
        return self._as_part(column, column.type, self._sent(column, datatype), (dims[0] or 1) if dims else 1)

    def _shaped(self, column: TypedColumn, tensor: ServedTensor, told: Sequence[int | str]) -> TensorSpec | str:
        """Bind a BLOB whose lengths are told."""
        datatype = self._datatype(tensor)
        if column.type != SqlType("BLOB") or datatype is None or datatype.numpy is None:
            return (
                f"shape.{column.name} is for a BLOB that is the elements of a tensor, but INPUT column {column.name} "
                f"is declared {column.sql_type}, and the server's {tensor.sentence}"
            )
        dims = self._dims(tensor)
        lengths = told_lengths(told, dims)
        if isinstance(lengths, str):
            return f"INPUT column {column.name}, the server's {tensor.sentence}: {lengths}"
        row_shape = tuple(
            served if isinstance(length, str) else length for served, length in zip(dims, lengths, strict=True)
        )
        spec = TensorSpec(column.name, tensor.name, datatype, row_shape, column.type, optional=tensor.optional)
        named = list(dict.fromkeys(length.lower() for length in lengths if isinstance(length, str)))
        if not named or any(name not in self._input_columns for name in named):
            return spec
        columns = [column, *(self._input_columns[name] for name in named)]
        parts = tuple(self._as_part(one, one.type, one.type) for one in columns)
        names = tuple(
            self._input_columns[length.lower()].name if isinstance(length, str) else length for length in lengths
        )
        # Without its lengths it is not known, so that all of them must be there.
        return replace(spec, parts=parts, lengths=names, optional=False)
