"""Which column is which tensor, and whether the server serves what was declared."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model.model import InferenceModel, TypedColumn
from dbt_triton.tensors import TensorSpec, datatype_of_tensor

#: Hexadecimal digits. It tells the few versions of one model apart, and DuckDB keeps texts up to 12 bytes in place.
FINGERPRINT_LENGTH = 12


@dataclass(frozen=True)
class Binding:
    """An inference model joined with what the server serves.

    Args:
        inputs: the tensors to send, in the order of INPUT.
        outputs: the tensors to ask for, in the order of OUTPUT.
        batched: whether tensors have a batch dimension.
        batch_size: rows a request.
        binary: binary tensor data, or JSON.
        shared_batches: whether the server may run several requests as one batch (dynamic batching).
        version: the version that the server serves under the name.
        fingerprint: of everything that changes an answer.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool
    batch_size: int
    binary: bool
    shared_batches: bool
    version: str
    fingerprint: str


def bind(model: InferenceModel, served: ServedModel) -> Binding:
    """Join a model with what the server serves.

    Columns bind to tensors by name, whatever its case; a single input or output binds by position;
    ``tensor.<column>`` names the tensor.

    Raises:
        ConfigurationError: with every mismatch, declared and served side by side.
    """
    problems: list[str] = []
    options = model.options
    if served.decoupled:
        problems.append("the model is decoupled (it may send any number of answers), which HTTP inference cannot do")
    binder = _Binder(model, served, problems)
    inputs = binder.bind("INPUT", model.inputs, served.inputs)
    outputs = binder.bind("OUTPUT", model.outputs, served.outputs)
    bound = {spec.name for spec in inputs}
    if len(inputs) == len(model.inputs):
        problems += [
            f"input {tensor.name} {tensor.datatype}{list(tensor.shape)} of the model is not declared in INPUT"
            for tensor in served.inputs
            if tensor.name not in bound and not tensor.optional
        ]
    limit = served.max_batch_size if served.batched else 1
    if options.batch_size is not None and options.batch_size > limit:
        said = f"max_batch_size {served.max_batch_size}" + ("" if served.batched else " (no batching)")
        problems.append(f"batch-size is {options.batch_size}, but the server's model has {said}")
    if served.sequence_batching and options.sequence_id is None:
        problems.append("the model keeps sequences (sequence_batching), so it needs a sequence-id")
    if options.binary_data and not served.binary_data:
        problems.append("binary-data is true, but the server has no binary tensor data extension")
    if problems:
        raise ConfigurationError(problems, f'inference model "{model.name}" and {_title(model, served)}')
    sequence = options.sequence_id is not None
    return Binding(
        inputs=inputs,
        outputs=outputs,
        batched=served.batched,
        batch_size=1 if sequence else options.batch_size or limit,
        binary=served.binary_data if options.binary_data is None else options.binary_data,
        shared_batches=served.dynamic_batching,
        version=served.version,
        fingerprint=fingerprint(model, served.version),
    )


def fingerprint(model: InferenceModel, version: str) -> str:
    """Hash everything that changes an answer: the model, its version, the schema, and the options that matter.

    Not the endpoint, nor the batch size: moving the server costs nothing.
    """
    options = model.options
    parts = {
        "model": options.model_name,
        "version": version,
        "inputs": [(column.name.lower(), column.duckdb_type) for column in model.inputs],
        "outputs": [(column.name.lower(), column.duckdb_type) for column in model.outputs],
        "tensors": sorted((column.lower(), name) for column, name in options.tensors.items()),
        "sequence": [options.sequence_id, options.sequence_start, options.sequence_end],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _title(model: InferenceModel, served: ServedModel) -> str:
    return f'model "{served.name}" version {served.version} at {model.options.endpoint} do not fit'


class _Binder:
    """Binds the columns of one side after the other, and collects what does not fit."""

    def __init__(self, model: InferenceModel, served: ServedModel, problems: list[str]) -> None:
        self._explicit = {column.lower(): name for column, name in model.options.tensors.items()}
        self._served = served
        self._problems = problems

    def bind(
        self, side: str, columns: Sequence[TypedColumn], tensors: Sequence[ServedTensor]
    ) -> tuple[TensorSpec, ...]:
        """Bind INPUT or OUTPUT; a column that does not fit is left out and said among the problems."""
        specs = []
        for column in columns:
            explicit = self._explicit.get(column.name.lower())
            tensor = _tensor_of(column, columns, tensors, explicit)
            problem = (
                _no_tensor(side, column, tensors, explicit)
                if tensor is None
                else _mismatch(side, column, tensor, self._served)
            )
            if tensor is None or problem:
                self._problems.append(str(problem))
                continue
            row_shape = tensor.shape[1:] if self._served.batched else tensor.shape
            # A dimension of any size is sent as 1: one value a row.
            specs.append(
                TensorSpec(column.name, tensor.name, column.datatype, tuple(max(size, 1) for size in row_shape))
            )
        names = [spec.name for spec in specs]
        self._problems += [
            f"{side}: two columns are bound to the tensor {name}"
            for name in sorted(set(names))
            if names.count(name) > 1
        ]
        return tuple(specs)


def _tensor_of(
    column: TypedColumn, columns: Sequence[TypedColumn], tensors: Sequence[ServedTensor], explicit: str | None
) -> ServedTensor | None:
    if explicit is not None:
        return next((tensor for tensor in tensors if tensor.name == explicit), None)
    exact = [tensor for tensor in tensors if tensor.name == column.name]
    folded = [tensor for tensor in tensors if tensor.name.lower() == column.name.lower()]
    if exact or len(folded) == 1:
        return (exact or folded)[0]
    required = [tensor for tensor in tensors if not tensor.optional]
    if len(columns) == 1 and len(required) == 1:
        return required[0]
    return None


def _no_tensor(side: str, column: TypedColumn, tensors: Sequence[ServedTensor], explicit: str | None) -> str:
    wanted = explicit or column.name
    names = [tensor.name for tensor in tensors]
    near = difflib.get_close_matches(wanted.upper(), [name.upper() for name in names], n=1, cutoff=0.5)
    hint = next((f"; did you mean {name}?" for name in names if near and name.upper() == near[0]), "")
    known = ", ".join(f"{tensor.name} {tensor.datatype}{list(tensor.shape)}" for tensor in tensors)
    advice = "" if explicit else f" (or write 'tensor.{column.name}' = 'NAME')"
    return f"{side} column {column.name}: the model has no tensor {wanted}{hint} It serves {known}{advice}"


def _mismatch(side: str, column: TypedColumn, tensor: ServedTensor, served: ServedModel) -> str | None:
    declared = f"{side} column {column.name} is declared {column.sql_type} ({column.datatype.name})"
    serves = f"the server's {tensor.name} is {tensor.datatype}{list(tensor.shape)}"
    if datatype_of_tensor(tensor.datatype) is None:
        return f"{declared}, but {serves}, a datatype that this version does not support"
    if tensor.datatype != column.datatype.name:
        return f"{declared}, but {serves}"
    row_shape = tensor.shape[1:] if served.batched else tensor.shape
    if any(size not in {1, -1} for size in row_shape):
        return f"{declared}, one value a row, but {serves}; arrays are not in this version"
    return None
