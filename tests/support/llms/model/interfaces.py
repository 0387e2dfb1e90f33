"""How each backend reads a request, and what it makes of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from commands import Asked, ModelError, Said

_CASTS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("n", "seed", "max_tokens", "min_tokens", "top_k", "logprobs", "prompt_logprobs"), int),
    **dict.fromkeys(("temperature", "top_p", "min_p"), float),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "repetition_penalty"), float),
    **dict.fromkeys(("ignore_eos", "skip_special_tokens", "include_stop_str_in_output"), bool),
    **dict.fromkeys(("stop", "stop_token_ids", "bad_words", "logit_bias"), lambda value: value),
}
_GUIDING = "structured_outputs"
_RANGES = {
    "temperature": (0, None),
    "top_p": (0, 1),
    "max_tokens": (1, None),
    "n": (1, None),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}


@dataclass(frozen=True)
class Interface:
    """A backend.

    Args:
        asked: reads a request; raises ModelError for one that it refuses.
        outputs: the tensors of one row.
        check: raises what would come of the whole execution, not of this request alone.
    """

    asked: Callable[[Mapping[str, Any]], Asked]
    outputs: Callable[[Said], dict[str, np.ndarray]]
    check: Callable[[Mapping[str, Any]], None]


def _anything_goes(came: Mapping[str, Any]) -> None:
    """Refuse nothing at once."""


def _vllm_parameters(came: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters: the tensor's text alone where there is one, else those of the request."""
    text = came["inputs"].get("sampling_parameters")
    parameters: dict[str, Any] = came["parameters"] if text is None else json.loads(text)
    return parameters


def _vllm_check(came: Mapping[str, Any]) -> None:
    if "lora_name" in _vllm_parameters(came):
        return  # its own error
    if not isinstance(_vllm_parameters(came), dict):
        raise TypeError("parameters are no object")


def _vllm_asked(came: Mapping[str, Any], *, new: bool) -> Asked:
    inputs, parameters = came["inputs"], _vllm_parameters(came)
    if "lora_name" in parameters:
        raise ModelError("LoRA feature is not enabled.")
    try:
        chosen = _vllm_cast(parameters, new=new)
    except (TypeError, ValueError) as error:
        # The new ones tell their own log what it was, and stumble over it.
        words = "'NoneType' object has no attribute 'lora_name'" if new else str(error)
        raise ModelError(f"Error generating stream: {words}") from None
    in_pieces = bool(inputs.get("stream", False))
    with_prompt = not inputs.get("exclude_input_in_output", in_pieces)
    if with_prompt and in_pieces:
        raise ModelError("Error generating stream: When streaming, `exclude_input_in_output` = False is not allowed.")
    stop = chosen.get("stop") or []
    guide = json.loads(chosen[_GUIDING]) if _GUIDING in chosen else {}
    return Asked(
        came,
        max_tokens=chosen.get("max_tokens", 16),
        stop=[stop] if isinstance(stop, str) else stop,
        n=chosen.get("n", 1),
        with_prompt=with_prompt,
        in_pieces=in_pieces,
        flags=_flags(inputs),
        schema=guide.get("json"),
        choice=guide.get("choice", ()),
    )


def _vllm_cast(parameters: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    chosen = {}
    for name, value in parameters.items():
        if new and name == _GUIDING:
            chosen[name] = value
        elif name not in _CASTS:
            raise TypeError(f"Unexpected keyword argument '{name}'")
        else:
            chosen[name] = _CASTS[name](value)
            least, most = _RANGES.get(name, (None, None))
            if (least is not None and chosen[name] < least) or (most is not None and chosen[name] > most):
                raise ValueError(f"{name} is out of range, got {value}.")
    return chosen


def _vllm_outputs(said: Said) -> dict[str, np.ndarray]:
    if said.bare:
        return {}
    count = len(said.texts)
    outputs = {"text_output": np.array(said.texts, dtype=object)}
    others = {
        "finish_reason": lambda: np.array([said.finish_reason.encode()] * count, dtype=object),
        "cumulative_logprob": lambda: np.full(count, said.logprob, np.float32),
        "logprobs": lambda: np.array([b"null"] * count, dtype=object),
        "num_input_tokens": lambda: np.array(said.input_tokens, np.uint32),
        "num_output_tokens": lambda: np.full(count, said.output_tokens, np.uint32),
    }
    return outputs | {name: make() for name, make in others.items() if f"return_{name}" in said.flags}


def _tensorrt_asked(came: Mapping[str, Any]) -> Asked:
    inputs = came["inputs"]
    guide = inputs.get("guided_decoding_guide")
    if guide is not None and inputs.get("guided_decoding_guide_type") != "json_schema":
        raise ModelError("guided_decoding_guide_type must be one of json, json_schema, regex, ebnf_grammar")
    if inputs["max_tokens"] < 1:
        raise ModelError("Encountered an error when fetching new request: maxTokens must be positive")
    words = inputs.get("stop_words", [])
    return Asked(
        came,
        max_tokens=inputs["max_tokens"],
        stop=[words] if isinstance(words, str) else words,
        n=inputs.get("num_return_sequences", 1),
        with_prompt=not inputs.get("exclude_input_in_output", False),
        in_pieces=bool(inputs.get("stream", False)),
        flags=_flags(inputs),
        schema=None if guide is None else json.loads(guide),
    )


def _tensorrt_outputs(said: Said) -> dict[str, np.ndarray]:
    """Return the outputs of one row: logarithms and logits come whether they are asked for or not."""
    if said.bare:
        return {}
    count = len(said.texts)
    asked = "return_log_probs" in said.flags
    outputs = {
        "text_output": np.array(said.texts, dtype=object),
        "cum_log_probs": np.full(count, said.logprob if asked else 0, np.float32),
        "output_log_probs": np.zeros((count, max(said.output_tokens, 1)), np.float32),
        "context_logits": np.zeros((1, 1), np.float32),
        "generation_logits": np.zeros((1, 1, 1), np.float32),
        "batch_index": np.zeros(1, np.int32),
        "sequence_index": np.zeros(1, np.int32),
    }
    if "return_num_input_tokens" in said.flags:
        outputs["num_input_tokens"] = np.array([said.input_tokens], np.int32)
    if "return_num_output_tokens" in said.flags:
        outputs["num_output_tokens"] = np.array([said.output_tokens], np.int32)
    return outputs


def _llmapi_asked(came: Mapping[str, Any]) -> Asked:
    inputs = came["inputs"]
    words = inputs.get("sampling_param_stop", [])
    return Asked(
        came,
        max_tokens=inputs.get("sampling_param_max_tokens", 32),
        stop=[words] if isinstance(words, str) else words,
        with_prompt=not inputs.get("sampling_param_exclude_input_from_output", False),
        in_pieces=bool(inputs.get("streaming", False)),
        flags=_flags(inputs),
    )


def _llmapi_outputs(said: Said) -> dict[str, np.ndarray]:
    """Return the outputs of one row, all of them as texts, whatever the config declares."""
    if said.bare:
        return {}
    texts = {"text_output": np.array(said.texts, dtype=object)}
    others = {
        "return_finish_reason": {"finish_reason": said.finish_reason},
        "return_stop_reason": {"stop_reason": "None"},
        "return_cumulative_logprob": {"cumulative_logprob": str(said.logprob)},
        "sampling_param_return_perf_metrics": {
            "kv_cache_reused_block": str(said.output_tokens),
            "kv_cache_hit_rate": "0.0",
            "arrival_time_ns": "1700000000000000000",
        },
    }
    found = {name: text for flag, named in others.items() if flag in said.flags for name, text in named.items()}
    return texts | {name: np.array([text.encode()], dtype=object) for name, text in found.items()}


def _flags(inputs: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name, value in inputs.items() if "return_" in name and value is True)


_TENSORRT = Interface(_tensorrt_asked, _tensorrt_outputs, _anything_goes)
INTERFACES = {
    "vllm_24_10": Interface(lambda came: _vllm_asked(came, new=False), _vllm_outputs, _vllm_check),
    "vllm_25_12": Interface(lambda came: _vllm_asked(came, new=True), _vllm_outputs, _vllm_check),
    "tensorrt_llm": _TENSORRT,
    "llmapi": Interface(_llmapi_asked, _llmapi_outputs, _anything_goes),
}
