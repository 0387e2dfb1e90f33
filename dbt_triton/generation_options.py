"""The options of language models: by which route they are asked, with which parameters, and what an answer holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dbt_triton import generation_values
from dbt_triton import option_values as read

#: Milliseconds of one attempt where ``timeout`` says nothing. An answer of a language model takes its time, and a
#: request that is given up is computed to its end all the same (measured): giving up early makes more work.
TIMEOUT, GENERATE_TIMEOUT = 30_000.0, 120_000.0

#: What Flink's names for OpenAI's parameters are called by the models that Triton serves: by TensorRT-LLM's interfaces,
#: and in the end in vLLM's text. An input that is served under a name wins, in this order.
ALIASES: dict[str, tuple[str, ...]] = {
    "temperature": ("sampling_param_temperature", "temperature"),
    "top-p": ("sampling_param_top_p", "top_p"),
    "max-tokens": ("sampling_param_max_tokens", "max_tokens"),
    "stop": ("sampling_param_stop", "stop_words", "stop"),
    "seed": ("sampling_param_seed", "random_seed", "seed"),
    "n": ("num_return_sequences", "n"),
    "presence-penalty": ("sampling_param_presence_penalty", "presence_penalty"),
}
#: Options that are maps, whose keys are merged where several places say some of them.
MERGED = ("parameters", "request-parameters")


class GenerationOptions(BaseModel):
    """The options of language models.

    ``parameters`` are JSON values by name. The fields of `ALIASES` are Flink's names for some of them, None where they
    are not set.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        protected_namespaces=(),  # pydantic before 2.10 warns of every field that begins with model_
    )

    route: Annotated[Literal["auto", "infer", "generate"], BeforeValidator(read.lower)] = "auto"
    parameters: Annotated[dict[str, Any], BeforeValidator(generation_values.parameters)] = Field(default_factory=dict)
    request_parameters: Annotated[
        dict[str, str | int | float | bool], BeforeValidator(generation_values.request_parameters)
    ] = Field(default_factory=dict)
    responses: Annotated[Literal["one", "concat"], BeforeValidator(read.lower)] = "one"
    response_format: Annotated[Literal["text", "json"], BeforeValidator(generation_values.response_format)] = "text"
    guided: Annotated[
        Literal["auto", "false", "structured_outputs", "guided_decoding"], BeforeValidator(generation_values.guided)
    ] = "auto"
    temperature: Annotated[float, BeforeValidator(generation_values.decimal), Field(ge=0)] | None = None
    top_p: Annotated[float, BeforeValidator(generation_values.decimal), Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, BeforeValidator(read.integer), Field(ge=1, lt=2**31)] | None = None
    stop: Annotated[list[str], BeforeValidator(generation_values.stop_words)] | None = None
    seed: Annotated[int, BeforeValidator(read.integer), Field(ge=0)] | None = None
    n: Annotated[int, BeforeValidator(read.integer), Field(ge=1, le=10_000)] | None = None
    presence_penalty: Annotated[float, BeforeValidator(generation_values.decimal), Field(ge=-2, le=2)] | None = None

    @property
    def aliases(self) -> dict[str, Any]:
        """Those of `ALIASES` that are set, by their names."""
        said = {name: getattr(self, name.replace("-", "_")) for name in ALIASES}
        return {name: value for name, value in said.items() if value is not None}

    def said_twice(self) -> list[tuple[bool, str]]:
        """Return a sentence on each parameter that is said under two names."""
        return [
            (name in self.parameters, f"{alias} and {name} of parameters are one thing; leave one of them out")
            for alias in self.aliases
            for name in ALIASES[alias]
        ]


def layered(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of two places together. What the stronger one says wins; of maps, key by key.

    A parameter that one place says under Flink's name and the other one within ``parameters`` is one parameter, too.
    """
    options = {**weaker, **stronger}
    for option in MERGED:
        below, above = _as_map(weaker.get(option)), _as_map(stronger.get(option))
        if below is None and weaker.get(option) is not None:
            options[option] = weaker[option]  # it is no map, which is said where all options are read
        elif below is not None and (above is not None or option not in stronger):
            overridden = {name for alias in ALIASES if alias in stronger for name in ALIASES[alias]}
            kept = {name: value for name, value in below.items() if option != "parameters" or name not in overridden}
            if above is not None or kept != below:
                options[option] = kept | (above or {})
    for alias, names in ALIASES.items():
        if alias in weaker and alias not in stronger and set(names) & set(_as_map(stronger.get("parameters")) or ()):
            del options[alias]
    return options


def _as_map(value: object) -> dict[str, Any] | None:
    """Read a map; None where there is none."""
    if isinstance(value, str):
        try:
            value = read.json_value(value)
        except ValueError:
            return None
    return dict(value) if isinstance(value, Mapping) and not read.is_too_deep(value) else None
