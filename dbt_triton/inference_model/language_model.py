"""What is known of the interfaces of language models: vLLM's backend, and TensorRT-LLM's three.

A model is one where it takes ``text_input`` and gives ``text_output``, as all of them do, whatever they are called.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from dbt_triton.client.served import ServedModel, ServedTensor

TEXT_INPUT, TEXT_OUTPUT = "text_input", "text_output"
#: The input of vLLM's backend that is the JSON text of all parameters.
PARAMETERS_TEXT = "sampling_parameters"
FINISH_REASON = "finish_reason"
#: The inputs that keep the prompt out of the answer, which has it before the text by default.
EXCLUDE_PROMPT = ("exclude_input_in_output", "sampling_param_exclude_input_from_output")
#: The inputs that let an answer come piece by piece.
STREAM = ("stream", "streaming")
#: The inputs that say how many tokens an answer has at most, where it is an input that says it.
MAX_TOKENS = ("max_tokens", "sampling_param_max_tokens")
#: The inputs of TensorRT-LLM that say which form an answer has, and the word for a JSON schema.
GUIDE_TYPE, GUIDE = "guided_decoding_guide_type", "guided_decoding_guide"
JSON_SCHEMA = "json_schema"
#: The parameters of vLLM for the same, the newer one first. Both are JSON texts within the JSON text.
GUIDING = ("structured_outputs", "guided_decoding")
#: Inputs of vLLM's backend by which its versions can be told apart: the first came with `structured_outputs`, the
#: second with `guided_decoding`.
_SINCE = ("embedding_request", "return_num_input_tokens")
#: Inputs that nobody means a column of a table for.
_INTERNAL = frozenset({*EXCLUDE_PROMPT, *STREAM, PARAMETERS_TEXT, GUIDE_TYPE, GUIDE, "embedding_request"})
_RETURN = "return_"
#: How the flag of an output is called where it is not called after it.
_FLAGS = {
    "cum_log_probs": "return_log_probs",
    "output_log_probs": "return_log_probs",
    "acceptance_rate": "return_perf_metrics",
}
_TOKEN_COUNTS = frozenset({"num_input_tokens", "num_output_tokens"})
_PERFORMANCE = ("return_perf_metrics", "sampling_param_return_perf_metrics")
#: What vLLM calls its parameters, and its backend the adapter. A column of INPUT of such a name is one of them.
SAMPLING_KEYS = frozenset(
    {
        *(
            "allowed_token_ids",
            "bad_words",
            "best_of",
            "detokenize",
            "early_stopping",
            "frequency_penalty",
            "ignore_eos",
        ),
        *("include_stop_str_in_output", "length_penalty", "logit_bias", "logprobs", "lora_name", "max_tokens", "min_p"),
        *(
            "min_tokens",
            "n",
            "presence_penalty",
            "prompt_logprobs",
            "repetition_penalty",
            "seed",
            "skip_special_tokens",
        ),
        *("spaces_between_special_tokens", "stop", "stop_token_ids", "temperature", "top_k", "top_p"),
        *("truncate_prompt_tokens", *GUIDING),
    }
)


#: A word is taken for another one if it is at least so much like it, of 1.
_ALIKE = 0.7


def is_language_model(served: ServedModel) -> bool:
    """Tell whether a model has the interface of a language model."""
    return _has_text(served.inputs, TEXT_INPUT) and _has_text(served.outputs, TEXT_OUTPUT)


def parameters_text(served: ServedModel) -> ServedTensor | None:
    """Return the input that is the JSON text of all parameters; None where there is none."""
    return next((one for one in served.inputs if one.name == PARAMETERS_TEXT and one.datatype == "BYTES"), None)


def flag_of(output: str, served: ServedModel) -> ServedTensor | None:
    """Return the input that asks for an output; None where the output comes in any case, as far as names say."""
    names = [_RETURN + output, _FLAGS.get(output, "")]
    if output.startswith("kv_cache_") or output.endswith(("_time_ns", "draft_tokens")) or output in _FLAGS:
        names += _PERFORMANCE
    return next((flag for name in names if (flag := optional_flag(name, served)) is not None), None)


def counts_tokens(tensor: ServedTensor) -> bool:
    """Tell whether an output counts the tokens of a prompt or an answer: UINT32, but never so many as an INT has not.

    People declare them INT. A count that is no INT would fail its row.
    """
    return tensor.datatype == "UINT32" and tensor.name in _TOKEN_COUNTS


def optional_flag(name: str, served: ServedModel) -> ServedTensor | None:
    """Return an optional BOOL input; None where there is none of the name."""
    return next((one for one in served.inputs if one.name == name and one.datatype == "BOOL" and one.optional), None)


def is_told_anyway(tensor: ServedTensor) -> bool:
    """Tell whether an input of a language model is sent though nobody says it, even where it must be there."""
    if tensor.name == PARAMETERS_TEXT:
        return tensor.datatype == "BYTES"
    return tensor.datatype == "BOOL" and tensor.name in {*EXCLUDE_PROMPT, *STREAM}


def is_setting(tensor: ServedTensor) -> bool:
    """Tell whether an optional input of a language model says how to answer, and is no column of a table."""
    is_flag = tensor.datatype == "BOOL" and (_RETURN in tensor.name or tensor.name == "stop")
    return tensor.optional and (is_flag or tensor.name in _INTERNAL)


def guiding_key(served: ServedModel) -> str | None:
    """Return vLLM's parameter for a schema, as far as its inputs tell the version; None for one that has none."""
    names = {tensor.name for tensor in served.inputs}
    return next((key for key, input_name in zip(GUIDING, _SINCE, strict=True) if input_name in names), None)


def did_you_mean(names: Iterable[str], known: Collection[str]) -> str:
    """Return a question that names what some names are nearly like; an empty text where none is."""
    near = {name: difflib.get_close_matches(name.lower()[:100], known, n=1, cutoff=_ALIKE) for name in names}
    found = [f"{alike[0]} for {name}" for name, alike in near.items() if alike]
    return f"; did you mean {' and '.join(found)}?" if found else ""


def _has_text(tensors: tuple[ServedTensor, ...], name: str) -> bool:
    return any(tensor.name == name and tensor.datatype == "BYTES" for tensor in tensors)
