"""Which column is which tensor, and whether the server serves what was declared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.endpoint_value import SEPARATOR
from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.inference_model.generate_route import route_problems, tensor_problems
from dbt_triton.inference_model.generation import Columns, bind_generation
from dbt_triton.inference_model.inputs import InputBinder
from dbt_triton.inference_model.language_model import MAX_TOKENS, is_language_model
from dbt_triton.inference_model.made_tensors import made_tensors, names_of_made
from dbt_triton.inference_model.model import InferenceModel
from dbt_triton.inference_model.parameters import names_of_parameters
from dbt_triton.inference_model.served_schema import served_clauses
from dbt_triton.inference_model.structured import bind_structured, keys_of
from dbt_triton.options import Options
from dbt_triton.tensors import REQUEST_BYTES, TensorSpec
from dbt_triton.tensors.generation import Constant, Structured, TextParameters
from dbt_triton.tensors.made import MadeTensor

#: Hexadecimal digits. It tells the few versions of one model apart, and DuckDB keeps texts up to 12 bytes in place.
FINGERPRINT_LENGTH = 12
#: Rows a request where batch-size is auto and the server has no limit, since the batch is one of the model's own dims.
AUTO_BATCH_DIM_ROWS = 64
#: Whatever a server says, rows of `auto`: more make a request no faster, and would let the server decide on our memory.
MOST_AUTO_ROWS = 4096
#: What an error repeats of a schema, in characters.
_LONGEST_CLAUSES = 1000


@dataclass(frozen=True)
class Binding:
    """An inference model joined with what the server serves.

    Args:
        inputs: the tensors to send, in the order of INPUT.
        made: those that are made of the lengths of a column.
        outputs: the tensors to ask for, in the order of OUTPUT; with `structured`, what its columns are read from.
        batched: whether tensors have a batch dimension.
        batch_size: rows a request.
        binary: binary tensor data, or JSON.
        shared_batches: whether the server may run several requests as one batch (dynamic batching).
        version: the version that the server serves under the name.
        fingerprint: of everything that changes an answer.
        correlation_id: the data type by which the model is told the id of a sequence; empty where it is not told.
        nan_columns: the columns of INPUT, by their places, whose NULL is sent as NaN.
        route: by which requests go: ``infer``, or ``generate_stream`` with one row a request.
        constants: tensors that every row has, with one value.
        text_parameters: the tensor whose text has parameters in it.
        request_parameters: ``parameters`` of each request, Triton's own extension.
        responses: whether a row has one answer, or several that are joined.
        structured: which columns are keys of the text of an answer.
        warnings: what a user is to know, a sentence each.
        served: what every server of the model serves.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool
    batch_size: int
    binary: bool
    shared_batches: bool
    version: str
    fingerprint: str
    correlation_id: str = ""
    nan_columns: frozenset[int] = frozenset()
    made: tuple[MadeTensor, ...] = ()
    route: Literal["infer", "generate"] = "infer"
    constants: tuple[Constant, ...] = ()
    text_parameters: TextParameters | None = None
    request_parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    responses: Literal["one", "concat"] = "one"
    structured: Structured | None = None
    warnings: tuple[str, ...] = ()
    served: ServedModel | None = None


def bind(model: InferenceModel, served: ServedModel) -> Binding:
    """Join a model with what the server serves.

    Columns bind to tensors by name, whatever its case; a single input or output binds by position;
    ``tensor.<column>`` names the tensor. Several columns of INPUT are the elements of one tensor, in their order.

    Raises:
        ConfigurationError: with every mismatch, declared and served side by side.
    """
    options = model.options
    batched = served.batched or options.batch_dim
    problems = [text for found, text in _model_problems(model, served) if found]
    binder = InputBinder(model, served, batched=batched, problems=problems)
    known = len(problems)
    inputs = binder.inputs(model.inputs)
    every_column_is_bound = len(problems) == known
    structured: Structured | None = None
    if options.response_format == "json":
        outputs, structured = bind_structured(binder, model.outputs, served, problems)
    else:
        outputs = binder.outputs(model.outputs)
    made = made_tensors(options, served.inputs, inputs, problems, batched=batched)
    inputs = _with_sources(inputs, made)
    bound = {spec.name for spec in inputs} | names_of_made(options, served.inputs)
    schema = keys_of(structured, model.outputs) if structured is not None else ()
    columns = Columns(bound, binder.parameter_columns, outputs, schema)
    generation = bind_generation(model, served, columns, problems, batched=batched)
    tensors = (*inputs, *(one.spec for one in made), *(one.spec for one in generation.constants))
    # Of a parameter that its input cannot hold, its own problem says everything.
    bound |= {one.spec.name for one in generation.constants} | names_of_parameters(options, served)
    bound |= set() if generation.text is None else {generation.text.tensor}
    if every_column_is_bound:
        problems += [
            f"input {tensor} of the model is not declared in INPUT{_or_parameter(tensor, served)}"
            for tensor in served.inputs
            if tensor.name not in bound and not tensor.optional
        ]
    route = route_of(options, served)
    binary = served.binary_data if options.binary_data is None else options.binary_data
    if route == "generate":
        problems += [*route_problems(options, served), *tensor_problems(tensors, outputs, served, batched=batched)]
        binary = False
        problems += ["null-as is nan, which has no JSON form; leave it out"] * bool(options.null_as)
    elif not binary:
        problems += [
            f"{shown(spec.name, NAME_LENGTH)} is {spec.datatype.name}, which has no JSON form, but "
            + ("binary-data is false" if served.binary_data else "the server has no binary tensor data extension")
            for spec in (*tensors, *outputs)
            if not spec.datatype.has_json_form
        ]
        problems += ["null-as is nan, which has no JSON form; use 'binary-data' = 'true'"] * bool(options.null_as)
    # Of what is for one tensor, its own problem says everything.
    if any(binder.wanted[side] > 1 and not specs for side, specs in (("INPUT", inputs), ("OUTPUT", outputs))):
        clauses = served_clauses(model, served)
        problems += [f"what is served is {clauses}"] if 0 < len(clauses) <= _LONGEST_CLAUSES else []
    if problems:
        raise ConfigurationError(problems, f'inference model "{model.name}" and {_title(model, served)}')
    return Binding(
        inputs=inputs,
        outputs=outputs,
        batched=batched,
        batch_size=1
        if options.in_sequence or route == "generate"
        else options.batch_size or _auto_rows(model, served, tensors, outputs),
        binary=binary,
        shared_batches=served.dynamic_batching,
        version=served.version,
        fingerprint=fingerprint(model, served.version, generation.parts),
        correlation_id=served.correlation_id,
        nan_columns=frozenset(binder.nan_columns),
        made=made,
        route=route,
        constants=generation.constants,
        text_parameters=generation.text,
        request_parameters=options.request_parameters,
        responses=options.responses,
        structured=structured,
        warnings=generation.warnings,
        served=served,
    )


def route_of(options: Options, served: ServedModel) -> Literal["infer", "generate"]:
    """Return the route by which a model is asked: a decoupled one answers to the generate route only."""
    if options.route == "auto":
        return "generate" if served.decoupled else "infer"
    return options.route


def _or_parameter(tensor: ServedTensor, served: ServedModel) -> str:
    """Say what to write where a required input of a language model is one value for all rows."""
    if not is_language_model(served) or tensor.name not in MAX_TOKENS:
        return ""
    return ": the model needs to know how many tokens an answer has at most; write 'max-tokens' = '256', say"


def _with_sources(inputs: Sequence[TensorSpec], made: Sequence[MadeTensor]) -> tuple[TensorSpec, ...]:
    """Let no input be left out of which a tensor is made that must be there."""
    needed = {one.source for one in made if not one.spec.optional}
    return tuple(replace(spec, optional=spec.optional and place not in needed) for place, spec in enumerate(inputs))


def _limit(model: InferenceModel, served: ServedModel) -> int | None:
    """Return how many rows a request may have; None where the server does not say."""
    if served.batched:
        return served.max_batch_size
    return None if model.options.batch_dim else 1


def _auto_rows(
    model: InferenceModel, served: ServedModel, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> int:
    """Return the rows of a request where batch-size is auto: as many as the server takes, within bounds."""
    row_bytes = max(sum(spec.row_bytes for spec in specs) for specs in (inputs, outputs))
    fitting = max(REQUEST_BYTES // row_bytes, 1) if row_bytes else MOST_AUTO_ROWS
    return min(_limit(model, served) or AUTO_BATCH_DIM_ROWS, MOST_AUTO_ROWS, fitting)


def _model_problems(model: InferenceModel, served: ServedModel) -> list[tuple[bool, str]]:
    """Return what may be wrong with the model as a whole, whatever its tensors."""
    options, limit = model.options, _limit(model, served)
    text_id = options.sequence_id is not None and not isinstance(options.wire_sequence_id, int)
    said = f"max_batch_size {served.max_batch_size}" + ("" if served.batched else " (no batching)")
    generates = route_of(options, served) == "generate"
    return [
        (
            served.decoupled and not generates,
            (
                "the model is decoupled (it may send any number of answers), which the infer route cannot do; "
                "leave route out"
            ),
        ),
        (
            options.responses == "concat" and not generates,
            "responses is concat, but by the infer route a row has one answer; leave it out",
        ),
        (
            limit is not None and (options.batch_size or 1) > limit and not generates,
            f"batch-size is {options.batch_size}, but the server's model has {said}",
        ),
        (
            options.batch_dim and served.batched,
            f"batch-dim is for a model whose own dims begin with the batch, but this one has {said}",
        ),
        (
            options.batch_dim and any(tensor.shape[:1] != (-1,) for tensor in (*served.inputs, *served.outputs)),
            "batch-dim needs tensors whose first dimension is -1",
        ),
        (
            options.batch_dim and options.classification is not None,
            "classification needs a max_batch_size: without one Triton takes the whole batch for one row",
        ),
        (
            served.sequence_batching and not options.in_sequence,
            "the model keeps sequences (sequence_batching), so it needs a sequence-id, or sequence-by and order-by",
        ),
        (
            bool(options.sequence_by) and not served.sequence_batching,
            "sequence-by is for a model that keeps sequences, but this one has no sequence_batching",
        ),
        (
            options.in_sequence and served.correlation_id == "TYPE_STRING",
            "the model wants its CORRID as TYPE_STRING, which Triton 2.51 cannot give it: any id is answered with 400",
        ),
        (
            text_id and served.correlation_id not in {"", "TYPE_STRING"},
            f"sequence-id must be a number: the model has a CORRID of {served.correlation_id}, the same for many texts",
        ),
        (
            bool(options.binary_data) and not served.binary_data,
            "binary-data is true, but the server has no binary tensor data extension",
        ),
    ]


def fingerprint(model: InferenceModel, version: str, sent: Mapping[str, object] | None = None) -> str:
    """Hash everything that changes an answer: the server, the model, its version, the schema, the options that matter.

    Not the batch size. The headers are part of it as they are written, with ``${NAME}`` unread, since a gateway may
    choose a tenant by them. With ``cache-scope`` = ``model``, server and headers are not: moving it costs nothing.

    Args:
        model: the definition.
        version: the version that is served.
        sent: what is sent beside the columns; nothing where that is nothing, so that keys stay.
    """
    options = model.options
    parts: dict[str, object] = {
        "model": options.model_name,
        "version": version,
        "inputs": [(column.name.lower(), column.type.kind, column.type.in_tables.name) for column in model.inputs],
        "outputs": [(column.name.lower(), column.type.in_tables.name) for column in model.outputs],
        "tensors": sorted((column.lower(), name) for column, name in options.tensors.items()),
        "sequence": [options.sequence_id, options.sequence_start, options.sequence_end]
        + ["each"] * options.sequence_id_auto_increment,
        "pad": options.pad,
        "classification": options.classification,
    }
    if options.cache_scope == "endpoint":
        headers = {name.lower(): value for name, value in options.custom_headers.items()}
        parts |= {
            "endpoint": SEPARATOR.join(sorted(options.endpoints)),
            "headers": headers,
            "token": options.auth_token,
        }
    if options.null_as is not None:
        parts["null_as"] = options.null_as
    if options.shapes:
        parts["shapes"] = sorted((column.lower(), lengths) for column, lengths in options.shapes.items())
    if options.cache_version is not None:
        parts["cache_version"] = options.cache_version
    parts |= _lengths_of_rows(options) | dict(sent or {})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _lengths_of_rows(options: Options) -> dict[str, object]:
    """Return what changes an answer by the lengths of rows; nothing where it is left alone, so that keys stay."""
    said: dict[str, object] = {
        field: sorted((name.lower(), value) for name, value in getattr(options, field).items())
        for field in ("pads", "masks", "zeros")
    }
    if options.pad is not None or options.pads:
        trims = sorted((name.lower(), value.lower()) for name, value in options.trims.items())
        said["trim"] = [options.trim, trims] if options.trim or trims else None
    return {name: value for name, value in said.items() if value}


def _title(model: InferenceModel, served: ServedModel) -> str:
    return f'model "{served.name}" version {served.shown_version} at {model.options.endpoint} do not fit'
