"""Where each of ``parameters`` goes: into an input that no column is, or into the text of all parameters."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dbt_triton.client.served import ServedModel, ServedTensor, listed
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.generation_options import ALIASES
from dbt_triton.inference_model.constants import constant_of
from dbt_triton.inference_model.input_columns import named_tensor
from dbt_triton.inference_model.language_model import (
    GUIDING,
    PARAMETERS_TEXT,
    SAMPLING_KEYS,
    guiding_key,
    parameters_text,
)
from dbt_triton.options import Options
from dbt_triton.tensors.generation import Constant, Json

#: Names that interfaces have had for one thing: newer ones and older ones, and those of other servers.
_ALSO_CALLED = (
    ("seed", "random_seed"),
    ("min_tokens", "min_length"),
    ("stop_words", "stop"),
    ("num_return_sequences", "n"),
    ("max_tokens", "max_new_tokens", "request_output_len", "max_output_len"),
    ("top_k", "runtime_top_k"),
    ("top_p", "runtime_top_p"),
)
_LLM_API_PREFIX = "sampling_param_"
#: Words of other interfaces, and of vLLM's own server, for what vLLM's text takes.
_IN_VLLM = {
    **dict.fromkeys(
        ("max_new_tokens", "max_completion_tokens", "max_output_tokens", "request_output_len"), "max_tokens"
    ),
    **dict.fromkeys(("min_length", "min_new_tokens"), "min_tokens"),
    **dict.fromkeys(("stop_words", "stop_sequences"), "stop"),
    "random_seed": "seed",
}
#: The words of vLLM's own server, older and newer, for what an answer must be.
_GUIDES = {"guided_json", "guided_choice", "guided_regex", "guided_grammar", "response_format"}
#: Further keys that are no mistakes, of which no column is one.
_MORE_KEYS = ("extra_args", "flat_logprobs", "logits_processors", "output_kind", "use_beam_search")


class _Target(NamedTuple):
    """One parameter: what an error calls it, the input that it is or the key of the text, and its value."""

    label: str
    tensor: ServedTensor | None
    key: str
    value: Json


@dataclass(frozen=True)
class Taken:
    """What columns of INPUT are, which win over a parameter.

    Args:
        inputs: the names of the inputs.
        keys: the keys of the text of all parameters.
    """

    inputs: Collection[str]
    keys: Collection[str]


@dataclass
class Sent:
    """What is sent beside the columns.

    Args:
        taken: what columns are.
        batched: whether the first axis of every tensor is the batch.
        problems: takes a sentence on whatever does not fit.
        constants: by the name of the input.
        text: the keys of the text of all parameters.
        warnings: what is said, and has no effect.
    """

    taken: Taken
    batched: bool
    problems: list[str]
    constants: dict[str, Constant] = field(default_factory=dict)
    text: dict[str, Json] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The inputs and keys of which something is said, by a column or for all rows."""
        return {*self.constants, *self.text, *self.taken.inputs, *self.taken.keys}

    def value(self, names: Collection[str]) -> Json:
        """Return what is said for all rows under one of some names; None where nothing is."""
        said = {name: constant.value for name, constant in self.constants.items()} | self.text
        return next((said[name] for name in names if name in said), None)

    def put(self, tensor: ServedTensor, value: Json, label: str) -> None:
        """Send a value; null leaves an input out."""
        if value is None:
            if not tensor.optional:
                self.problems.append(f"{label} is null, but the model needs the input {_name(tensor)}")
            return
        constant = constant_of(tensor, value, batched=self.batched)
        if isinstance(constant, str):
            self.problems.append(f"{label}: {constant}")
        else:
            self.constants[tensor.name] = constant


def names_of_parameters(options: Options, served: ServedModel) -> frozenset[str]:
    """Return the names of the inputs that need no column, since a parameter is each of them."""
    return frozenset(
        one.tensor.name for one in _targets(options, served) if one.tensor is not None and one.value is not None
    )


def routed(options: Options, served: ServedModel, taken: Taken, problems: list[str], *, batched: bool) -> Sent:
    """Route the parameters.

    Args:
        options: of the model.
        served: what the server says.
        taken: what columns are.
        problems: takes a sentence on each parameter that goes nowhere, or is none that its input can hold.
        batched: whether the first axis of every tensor is the batch.
    """
    sent = Sent(taken, batched, problems)
    text = parameters_text(served)
    for label, tensor, key, value in _targets(options, served):
        if key == PARAMETERS_TEXT and tensor is not None:
            problems.append(f"{label}: it is the text of all parameters; write its keys into parameters themselves")
        elif tensor is not None and tensor.name in taken.inputs:
            sent.warnings.append(f"{label} is not used: INPUT says it for each row")
        elif tensor is not None:
            sent.put(tensor, value, label)
        elif text is None:
            problems.append(f"{label}: the model has no input {shown(key, NAME_LENGTH)}{_hint(key, served.inputs)}")
        elif text.name in taken.inputs:
            problems.append(
                f"{label}: a column of INPUT is {PARAMETERS_TEXT}, which is the text of all parameters; leave one of "
                "the two out"
            )
        elif key in taken.keys:
            sent.warnings.append(f"{label} is not used: INPUT says it for each row")
        elif value is not None:
            sent.text[key] = json.dumps(value, ensure_ascii=False) if _is_guide(key, value) else value
            sent.warnings += [f"{label}{warning}" for warning in _warnings_of_vllm(key, served)]
    return sent


def _targets(options: Options, served: ServedModel) -> Iterator[_Target]:
    """Yield each parameter with the input that it is, if it is one."""
    in_text = parameters_text(served) is not None
    by_name = {tensor.name: tensor for tensor in served.inputs}
    for key, value in options.parameters.items():
        # Beside a text, what differs by its case is a key of the text.
        tensor = by_name.get(key) if in_text else named_tensor(key, served.inputs)
        yield _Target(f"{shown(key, NAME_LENGTH)} of parameters", tensor, key, value)
    for alias, value in options.aliases.items():
        names = ALIASES[alias]
        tensor = next((by_name[name] for name in names if name in by_name and _can_be(alias, by_name[name])), None)
        yield _Target(alias, tensor, names[-1] if tensor is None else tensor.name, value)


def _can_be(alias: str, tensor: ServedTensor) -> bool:
    """Tell whether an input is what an alias means: one called stop may be a flag that ends another request."""
    return (alias == "stop") == (tensor.datatype == "BYTES")


def _is_guide(key: str, value: Json) -> bool:
    """Tell whether a parameter is a text that holds JSON, and is written as JSON."""
    return key in GUIDING and isinstance(value, Mapping)


def _name(tensor: ServedTensor) -> str:
    return shown(tensor.name, NAME_LENGTH)


def _warnings_of_vllm(key: str, served: ServedModel) -> Iterator[str]:
    """Yield what is to be said of a key of the text: vLLM tells its own log alone why it refuses one."""
    guide = guiding_key(served)
    if key in GUIDING and guide not in {None, key}:
        yield f" is {guide} in the vLLM that is served, as its inputs tell its version"
    if key in SAMPLING_KEYS or key in _MORE_KEYS:
        return
    alike = difflib.get_close_matches(key.lower()[:100], sorted(SAMPLING_KEYS), n=1, cutoff=0.6)
    near = _IN_VLLM.get(key.lower()) or "".join(alike)
    near = guide or " or ".join(GUIDING) if key.lower() in _GUIDES else near
    meant = f"; did you mean {near}?" if near else ""
    said = ": vLLM has not been known to take it, and refuses every prompt with a parameter that it does not know"
    yield f"{said}{meant}"


def _hint(key: str, tensors: Sequence[ServedTensor]) -> str:
    """Name the input that is meant, or else all of them."""
    names = {tensor.name: _name(tensor) for tensor in tensors}
    alike = [name for called in _ALSO_CALLED if key in called for name in called if name != key]
    alike.append(_LLM_API_PREFIX + key)
    alike += difflib.get_close_matches(key.lower()[:100], names, n=1, cutoff=0.5)
    near = next((names[name] for name in alike if name in names), None)
    return f"{f'; did you mean {near}? It' if near else '; it'} serves {listed(tensors)}"
