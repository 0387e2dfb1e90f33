"""What is sent to a model beside its columns: parameters, flags of the outputs that are wanted, a schema, defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.generation_options import ALIASES
from dbt_triton.inference_model.constants import constant_of
from dbt_triton.inference_model.language_model import (
    EXCLUDE_PROMPT,
    GUIDE,
    GUIDE_TYPE,
    GUIDING,
    JSON_SCHEMA,
    MAX_TOKENS,
    SAMPLING_KEYS,
    STREAM,
    did_you_mean,
    flag_of,
    guiding_key,
    is_language_model,
    parameters_text,
)
from dbt_triton.inference_model.model import InferenceModel, TypedColumn
from dbt_triton.inference_model.parameters import Sent, Taken, routed
from dbt_triton.inference_model.structured import schema_of
from dbt_triton.options import Options
from dbt_triton.tensors import TensorSpec
from dbt_triton.tensors.generation import Constant, Json, ParameterColumn, TextParameters

#: What vLLM takes for an answer's length where nobody says it (its documentation).
_VLLM_TOKENS = 16


@dataclass(frozen=True)
class Generation:
    """What is sent beside the columns.

    Args:
        constants: tensors that every row has.
        text: the text of all parameters, where the model has one.
        warnings: what a user is to know.
        parts: what of it changes an answer, for the fingerprint.
    """

    constants: tuple[Constant, ...]
    text: TextParameters | None
    warnings: tuple[str, ...]
    parts: Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """What the columns of a model are.

    Args:
        inputs: the names of the inputs.
        parameters: the columns that are keys of the text of all parameters.
        outputs: the outputs that are asked for.
        schema: the columns that are keys of the JSON which an answer is.
    """

    inputs: Collection[str]
    parameters: Sequence[ParameterColumn]
    outputs: Sequence[TensorSpec]
    schema: Sequence[TypedColumn]


def bind_generation(
    model: InferenceModel, served: ServedModel, columns: Columns, problems: list[str], *, batched: bool
) -> Generation:
    """Bind what is no column.

    Args:
        model: the definition.
        served: what the server says.
        columns: what its columns are.
        problems: takes a sentence on whatever does not fit.
        batched: whether the first axis of every tensor is the batch.
    """
    options, tensor = model.options, parameters_text(served)
    taken = Taken(columns.inputs, {column.key for column in columns.parameters})
    sent = routed(options, served, taken, problems, batched=batched)
    binder = _Binder(options, served, sent)
    binder.guide(columns.schema)
    binder.ask_for_the_answer()
    said = {name: constant.value for name, constant in sent.constants.items()}
    flags = binder.flags(columns.outputs)
    problems += _several_answers(options, sent, columns)
    text = None
    if tensor is not None and tensor.name not in columns.inputs:
        text = TextParameters(tensor.name, dict(sorted(sent.text.items())), tuple(columns.parameters))
    parts: dict[str, Any] = {"constants": sorted(said.items())} if said else {}
    if text is not None:
        parts["text"] = _canonical(text.fixed)
    if options.request_parameters:
        parts["request_parameters"] = dict(options.request_parameters)
    if options.response_format == "json":
        parts["response_format"] = [column.name.lower() for column in columns.schema]
    if options.responses != "one":
        parts["responses"] = options.responses
    warnings = (*sent.warnings, *(binder.warnings(columns.outputs) if is_language_model(served) else ()))
    return Generation((*sent.constants.values(), *flags), text, warnings, parts)


class _Binder:
    """Adds to what the user says what follows from it.

    Args:
        options: of the model.
        served: what the server says.
        sent: what the user says; it is added to.
    """

    def __init__(self, options: Options, served: ServedModel, sent: Sent) -> None:
        self._options = options
        self._served = served
        self._sent = sent
        text = parameters_text(served)
        #: Whether parameters can be keys of a text.
        self._has_text = text is not None and text.name not in sent.taken.inputs

    def guide(self, schema: Sequence[TypedColumn]) -> None:
        """Send the schema of the columns that are keys, where the model has a place for it."""
        guided, sent = self._options.guided, self._sent
        if guided in GUIDING and not self._has_text:
            sent.problems.append(f"guided is {guided}, but the model takes no such parameter; write auto, or false")
        own = {GUIDE, GUIDE_TYPE, *GUIDING} & {*self._options.parameters, *sent.taken.inputs, *sent.taken.keys}
        if not schema or guided == "false" or own:
            return
        words = json.dumps(schema_of(schema), ensure_ascii=False)
        inputs = {tensor.name: tensor for tensor in self._served.inputs}
        key = guided if guided in GUIDING else guiding_key(self._served)
        if GUIDE in inputs and GUIDE_TYPE in inputs:
            sent.put(inputs[GUIDE_TYPE], JSON_SCHEMA, GUIDE_TYPE)
            sent.put(inputs[GUIDE], words, GUIDE)
        elif self._has_text and key is not None:
            sent.text[key] = f'{{"json": {words}}}'

    def ask_for_the_answer(self) -> None:
        """Ask for the answer alone, where the model can be asked, and for a whole one, where it must be told.

        What is said wins.
        """
        for tensor in self._served.inputs if is_language_model(self._served) else ():
            if tensor.datatype != "BOOL" or not self._is_free(tensor):
                continue
            if tensor.name in EXCLUDE_PROMPT:
                self._sent.put(tensor, True, tensor.name)  # noqa: FBT003 - the value of a tensor
            elif tensor.name in STREAM and not tensor.optional:
                self._sent.put(tensor, False, tensor.name)  # noqa: FBT003 - the value of a tensor

    def flags(self, outputs: Sequence[TensorSpec]) -> list[Constant]:
        """Return the inputs that ask for the outputs."""
        flags: dict[str, Constant] = {}
        for spec in outputs:
            flag = flag_of(spec.name, self._served)
            if flag is None:
                continue
            if self._sent.value((flag.name,)) is False:
                self._sent.problems.append(
                    f"{flag.name} of parameters is false, but OUTPUT has {spec.column}, which is not sent then"
                )
            constant = constant_of(flag, True, batched=self._sent.batched)  # noqa: FBT003 - the value of a tensor
            if isinstance(constant, Constant) and self._is_free(flag):
                flags[flag.name] = constant
        return list(flags.values())

    def warnings(self, outputs: Sequence[TensorSpec]) -> Iterator[str]:
        """Yield what a user of a language model is to know."""
        said = self._sent.names
        served = {tensor.name for tensor in self._served.inputs}
        if self._has_text and not said & {"max_tokens"}:
            yield (
                f"max_tokens is not set, and vLLM ends an answer after {_VLLM_TOKENS} tokens then: write "
                "'max-tokens' = '256', say"
            )
        elif not self._has_text and served & set(MAX_TOKENS) and not said & set(MAX_TOKENS):
            yield "max_tokens is not set, so that the server says where an answer ends: write 'max-tokens' = '256', say"
        if self._has_text and "logprobs" in {spec.name for spec in outputs} and "logprobs" not in said:
            yield 'OUTPUT has logprobs, which are null unless parameters say how many: {"logprobs": 1}'
        yield from self._misspelt()
        temperatures, seeds = set(ALIASES["temperature"]), set(ALIASES["seed"])
        by_row = temperatures & {*self._sent.taken.inputs, *self._sent.taken.keys}
        is_drawn = self._sent.value(temperatures) != 0 and not by_row and not seeds & said
        if self._options.cache == "persistent" and is_drawn:
            yield (
                "cache is persistent, so that the first answer to a prompt is kept, but answers are drawn at random: "
                "write 'temperature' = '0', or a 'seed', for one that can be had again"
            )

    def _misspelt(self) -> Iterator[str]:
        """Yield what is taken as it is written, and is seldom meant."""
        if any(re.search(r"\\[nrt]", word) for word in self._options.stop or ()):
            yield (
                "stop has a backslash and a letter, of which SQL does not make one character: write the texts as "
                "JSON, '[\"\\n\"]'"
            )
        if not self._has_text:
            return
        keys = sorted(key for key in self._sent.taken.keys if key not in SAMPLING_KEYS)
        near = did_you_mean(keys, SAMPLING_KEYS)
        if near:
            yield f"a parameter is none of vLLM's that are known here{near} It is sent as it is"

    def _is_free(self, tensor: ServedTensor) -> bool:
        """Tell whether nothing is said of an input: not even null, which leaves it out."""
        return tensor.name not in {*self._sent.constants, *self._sent.taken.inputs, *self._options.parameters}


def _several_answers(options: Options, sent: Sent, columns: Columns) -> Iterator[str]:
    """Say what does not go with several answers to a row."""
    count = sent.value(ALIASES["n"])
    if isinstance(count, int | float) and count > 1:
        if columns.schema:
            yield f"response-format is json, which is for one answer, but n is {count}"
        for spec in () if columns.schema else columns.outputs:
            if not spec.axes and not spec.raw and spec.row_shape:
                yield f"n is {count}, but OUTPUT column {spec.column} holds one value: declare {spec.sql.name}[]"
    if options.responses == "one" and any(sent.value((name,)) is True for name in STREAM):
        yield "stream is true, so that an answer comes in pieces: leave it out, or write 'responses' = 'concat'"


def _canonical(value: Json) -> Json:
    """Return a value in which numbers that are equal look alike."""
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
