"""What is to be written of one served model: its columns, its options, and what a reader should know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.ddl import ModelDefinition
from dbt_triton.errors import DbtTritonError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.generation_options import ALIASES
from dbt_triton.inference_model import InferenceModel, bind, with_served_schema
from dbt_triton.inference_model.binding import route_of
from dbt_triton.inference_model.generate_route import why_no_answer_has
from dbt_triton.inference_model.language_model import FINISH_REASON, is_language_model, parameters_text
from dbt_triton.inference_model.model import RESERVED_OUTPUTS
from dbt_triton.inference_model.served_columns import ServedColumn
from dbt_triton.init.names import can_be_column, plain_name
from dbt_triton.step.run import asked_all
from dbt_triton.tensors import datatype_of_tensor

#: What docs/language-models.md begins with: answers that can be had again, and an end that is not vLLM's own.
_OF_LANGUAGE_MODELS = {"temperature": "0", "max-tokens": "64"}
#: The outputs of language models that people ask for.
_MORE_OUTPUTS = (FINISH_REASON, "num_input_tokens", "num_output_tokens", "cumulative_logprob")
_OF_SEQUENCES = {"sequence-by": "sequence_key", "order-by": "step_number"}


@dataclass(frozen=True)
class Draft:
    """An inference model as it is to be written.

    Args:
        name: in dbt.
        options: of WITH, in the order in which they are written.
        inputs: the columns of INPUT.
        outputs: the columns of OUTPUT.
        optional: inputs that are not declared, for whoever wants them.
        more_outputs: outputs that are not declared, for whoever wants them.
        model: the definition, valid, which fits what is served.
        served: what the server says.
        notes: a sentence each.
    """

    name: str
    options: Mapping[str, str]
    inputs: tuple[ServedColumn, ...]
    outputs: tuple[ServedColumn, ...]
    optional: tuple[ServedColumn, ...]
    more_outputs: tuple[ServedColumn, ...]
    model: InferenceModel
    served: ServedModel
    notes: tuple[str, ...]

    def tensor_of(self, column: ServedColumn) -> str:
        """Return the name of a column's tensor."""
        return self.options.get(f"tensor.{column.name}", column.name)


def asked_draft(name: str, said: Mapping[str, str]) -> Draft:
    """Ask the server of a model what it serves, and decide what is to be written.

    Args:
        name: of the model in dbt.
        said: the options, as a user has given them.

    Raises:
        DbtTritonError: the options are wrong, the server does not serve the model, or it serves something that has no
            CREATE MODEL.
    """
    fleet = asyncio.run(asked_all(_defined(name, said)))
    return draft_of(name, said, fleet.served, fleet.notes)


def draft_of(name: str, said: Mapping[str, str], served: ServedModel, notes: Sequence[str] = ()) -> Draft:
    """Decide what is to be written of a served model.

    Args:
        name: of the model in dbt.
        said: the options, as a user has given them.
        served: what the server says.
        notes: what is known besides.

    Raises:
        DbtTritonError: see `asked_draft`.
    """
    known, left_out = _that_can_be_columns(served, route_of(_defined(name, said).options, served))
    options = {**said, **_needed_options(said, known)}
    options |= _tensor_options(options, known)
    taken = with_served_schema(_defined(name, options), known)
    required = tuple(column for column in taken.served_inputs if not column.optional)
    # A request without any input is refused.
    inputs = required or taken.served_inputs
    is_language = is_language_model(served)
    definition = ModelDefinition(
        (name,),
        tuple(column.declared for column in inputs),
        tuple(column.declared for column in taken.served_outputs),
        dict(options),
    )
    model = InferenceModel.from_definition(definition)
    binding = bind(model, served)
    return Draft(
        name,
        options,
        inputs,
        taken.served_outputs,
        () if is_language else tuple(column for column in taken.served_inputs if column not in inputs),
        _more_outputs(known, taken.served_outputs) if is_language else (),
        model,
        served,
        (*notes, *left_out, *_notes(model, served), *binding.warnings),
    )


def _defined(name: str, options: Mapping[str, str]) -> InferenceModel:
    return InferenceModel.from_definition(ModelDefinition((name,), (), (), dict(options)))


def _that_can_be_columns(served: ServedModel, route: str) -> tuple[ServedModel, list[str]]:
    """Return the model with the tensors that can be columns, and a sentence on each output that cannot.

    Raises:
        DbtTritonError: an input that must be there cannot be one.
    """
    # Of a language model only the answer is declared.
    by_generate = route == "generate" and not is_language_model(served)
    unfit_outputs = {
        tensor: _unfit(tensor) or (_not_answered(tensor, served) if by_generate else None) for tensor in served.outputs
    }
    inputs = tuple(tensor for tensor in served.inputs if not tensor.optional or _unfit(tensor) is None)
    unfit = [f"{_called(tensor)}: {_unfit(tensor)}" for tensor in inputs if _unfit(tensor) is not None]
    outputs = tuple(tensor for tensor, why in unfit_outputs.items() if why is None)
    left_out = [
        f"not declared is the output {_called(tensor)}: {why}"
        for tensor, why in unfit_outputs.items()
        if why is not None
    ]
    if unfit:
        raise DbtTritonError(f"the model needs an input that no column can be: {'; '.join(unfit)}")
    if not outputs:
        raise DbtTritonError("; ".join(left_out) or "the model has no output")
    return replace(served, inputs=inputs, outputs=outputs), left_out


def _not_answered(tensor: ServedTensor, served: ServedModel) -> str | None:
    return why_no_answer_has(tensor, batched=served.batched)


def _called(tensor: ServedTensor) -> str:
    return shown(tensor.name, NAME_LENGTH)


def _unfit(tensor: ServedTensor) -> str | None:
    if datatype_of_tensor(tensor.datatype) is None:
        return f"its datatype {shown(tensor.datatype, NAME_LENGTH)} has no SQL type"
    return None if tensor.name.isprintable() else "its name holds characters that no file should"


def _needed_options(said: Mapping[str, str], served: ServedModel) -> dict[str, str]:
    """Return the options without which the model does not answer, or not as people expect, and that nobody has said."""
    if served.sequence_batching and not any(key.startswith("sequence-") for key in said):
        return _OF_SEQUENCES
    if not is_language_model(served):
        return {}
    in_parameters = said.get("parameters", "")
    inputs = {tensor.name for tensor in served.inputs}
    return {
        option: value
        for option, value in _OF_LANGUAGE_MODELS.items()
        if option not in said
        and not any(f'"{name}"' in in_parameters for name in ALIASES[option])
        and (parameters_text(served) is not None or inputs & set(ALIASES[option]))
    }


def _tensor_options(said: Mapping[str, str], served: ServedModel) -> dict[str, str]:
    """Return ``tensor.<column>`` for each tensor whose name cannot be a column's, or is one's already."""
    named = {value for key, value in said.items() if key.startswith("tensor.")}
    columns = {key.removeprefix("tensor.").lower() for key in said if key.startswith("tensor.")}
    columns |= {tensor.name.lower() for tensor in (*served.inputs, *served.outputs)}
    renamed: dict[str, str] = {}
    for tensors in (served.inputs, served.outputs):
        taken: set[str] = set()
        for tensor in tensors:
            name = tensor.name.lower()
            fits = can_be_column(tensor.name) and name not in taken
            taken.add(name)
            fits = fits and not (tensors is served.outputs and name in RESERVED_OUTPUTS)
            if fits or tensor.name in named or tensor.name in renamed:
                continue
            renamed[tensor.name] = plain_name(tensor.name, columns | RESERVED_OUTPUTS)
            columns.add(renamed[tensor.name].lower())
    return {f"tensor.{column}": name for name, column in renamed.items()}


def _more_outputs(served: ServedModel, declared: Sequence[ServedColumn]) -> tuple[ServedColumn, ...]:
    names = {column.name for column in declared}
    wanted = (one for one in served.outputs if one.name in _MORE_OUTPUTS and one.name not in names)
    return tuple(ServedColumn(one.name, one.datatype, (), output=True) for one in wanted)


def _notes(model: InferenceModel, served: ServedModel) -> list[str]:
    """Return what a reader should know of the model, a sentence each."""
    shapes = [_called(tensor) for tensor in served.inputs if tensor.shape_tensor]
    labelled = [_called(tensor) for tensor in served.outputs if tensor.labels]
    every = (*served.inputs, *served.outputs)
    may_be_batch = not served.batched and not model.options.batch_dim and not is_language_model(served)
    notes = [
        (
            route_of(model.options, served) == "generate",
            "it is decoupled, so that 'route' is generate by itself: one row a request, and one answer a row",
        ),
        (
            served.sequence_batching,
            "it keeps sequences: rows with one key go to it one after the other, in their order",
        ),
        (
            bool(shapes),
            f"the values of {', '.join(shapes)} are a shape (is_shape_tensor): dbt-triton has not been tried with such",
        ),
        (
            bool(labelled),
            f"the classes of {', '.join(labelled)} have labels, which 'classification' asks for (docs/types.md)",
        ),
        (
            may_be_batch and all(tensor.shape[:1] == (-1,) for tensor in every),
            (
                "where the first axis of every tensor is the batch, write 'batch-dim' = 'true' without that axis: "
                "many rows are then one request"
            ),
        ),
        (
            is_language_model(served),
            "a column of INPUT that is called like a parameter (temperature, max_tokens) is that parameter",
        ),
    ]
    return [text for holds, text in notes if holds]
