"""The tensors of each backend's model, as its config declares them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """The tensors of a model, each as ``name TYPE dims``; an optional input has a ``?`` behind it.

    Args:
        inputs: by name, as the config declares them.
        outputs: the same.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]

    @property
    def config(self) -> str:
        """The lines of config.pbtxt."""
        both = [("input", self.inputs), ("output", self.outputs)]
        return "".join(f"{kind} [ {', '.join(tensors.values())} ]\n" for kind, tensors in both)


def _signature(inputs: str, outputs: str) -> Signature:
    return Signature(
        *({name: text for name, text in map(_tensor, lines.split("\n")) if text} for lines in (inputs, outputs))
    )


def _tensor(line: str) -> tuple[str, str]:
    """Read a line such as ``max_tokens INT32 1 ?``, and return the tensor's name and its config."""
    if not line.strip():
        return "", ""
    name, kind, dims, *marks = line.split()
    more = " optional: true" * ("?" in marks) + " reshape { shape: [ ] }" * ("scalar" in marks)
    more += " allow_ragged_batch: true" * ("ragged" in marks)
    return name, f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ]{more} }}'


_VLLM_INPUTS = """
text_input STRING 1
stream BOOL 1 ?
sampling_parameters STRING 1 ?
exclude_input_in_output BOOL 1 ?
"""
VLLM_24_10 = _signature(_VLLM_INPUTS, "text_output STRING -1")
VLLM_25_12 = _signature(
    _VLLM_INPUTS
    + """
image STRING -1 ?
return_finish_reason BOOL 1 ?
return_cumulative_logprob BOOL 1 ?
return_logprobs BOOL 1 ?
return_num_input_tokens BOOL 1 ?
return_num_output_tokens BOOL 1 ?
embedding_request STRING 1 ?
""",
    """
text_output STRING -1
finish_reason STRING -1
cumulative_logprob FP32 -1
logprobs STRING -1
num_input_tokens UINT32 1
num_output_tokens UINT32 -1
""",
)

_TENSORRT_INPUTS = """
text_input STRING 1
decoder_text_input STRING 1 ?
max_tokens INT32 1
bad_words STRING -1 ?
stop_words STRING -1 ?
exclude_input_in_output BOOL 1 ?
end_id INT32 1 ?
pad_id INT32 1 ?
top_k INT32 1 ?
top_p FP32 1 ?
temperature FP32 1 ?
length_penalty FP32 1 ?
repetition_penalty FP32 1 ?
min_tokens INT32 1 ?
presence_penalty FP32 1 ?
frequency_penalty FP32 1 ?
seed UINT64 1 ?
beam_width INT32 1 ?
stream BOOL 1 ?
prompt_embedding_table FP16 -1,-1 ?
prompt_table_extra_id UINT64 1 ?
prompt_vocab_size INT32 1 ?
embedding_bias_words STRING -1 ?
embedding_bias_weights FP32 -1 ?
lora_weights FP16 -1,-1 ? ragged
lora_config INT32 -1,3 ? ragged
"""
#: Those that the bls model sees without their axis.
_FLAGS = (
    *("return_log_probs BOOL", "return_context_logits BOOL", "return_generation_logits BOOL"),
    *("return_perf_metrics BOOL", "return_num_input_tokens BOOL", "return_num_output_tokens BOOL"),
    *("num_return_sequences INT32", "lora_task_id UINT64"),
)
_TENSORRT_OUTPUTS = """
text_output STRING -1
cum_log_probs FP32 -1
output_log_probs FP32 -1,-1
context_logits FP32 -1,-1
generation_logits FP32 -1,-1,-1
batch_index INT32 1
sequence_index INT32 1
kv_cache_alloc_new_blocks INT32 1
kv_cache_reused_blocks INT32 1
kv_cache_alloc_total_blocks INT32 1
arrival_time_ns INT64 1
first_scheduled_time_ns INT64 1
first_token_time_ns INT64 1
last_token_time_ns INT64 1
acceptance_rate FP32 1
total_accepted_draft_tokens INT32 1
total_draft_tokens INT32 1
num_input_tokens INT32 1
num_output_tokens INT32 1
"""
ENSEMBLE = _signature(
    _TENSORRT_INPUTS
    + "\n".join(f"{flag} 1 ?" for flag in _FLAGS)
    + """
guided_decoding_guide_type STRING 1 ? ragged
guided_decoding_guide STRING 1 ? ragged
""",
    _TENSORRT_OUTPUTS,
)
BLS = _signature(
    _TENSORRT_INPUTS
    + "\n".join(f"{flag} 1 ? scalar" for flag in _FLAGS)
    + """
image_input FP16 -1,3,-1,-1 ?
image_bytes_input UINT8 -1,-1,-1,-1 ?
image_url_input STRING 1 ?
video_bytes_input UINT8 -1,-1,-1,-1 ?
num_draft_tokens INT32 1 ?
use_draft_logits BOOL 1 ? scalar
guided_decoding_guide_type STRING 1 ?
guided_decoding_guide STRING 1 ?
""",
    _TENSORRT_OUTPUTS,
)
LLMAPI = _signature(
    """
text_input STRING -1
image_url STRING -1 ?
streaming BOOL 1 ?
sampling_param_best_of INT32 1 ?
sampling_param_temperature FP32 1 ?
sampling_param_top_k INT32 1 ?
sampling_param_top_p FP32 1 ?
sampling_param_frequency_penalty FP32 1 ?
sampling_param_presence_penalty FP32 1 ?
sampling_param_max_tokens INT32 1 ?
sampling_param_stop STRING -1 ?
sampling_param_seed UINT64 1 ?
sampling_param_exclude_input_from_output BOOL 1 ?
sampling_param_return_perf_metrics BOOL 1 ?
return_finish_reason BOOL 1 ?
return_stop_reason BOOL 1 ?
return_cumulative_logprob BOOL 1 ?
stop BOOL 1 ?
lora_id UINT64 1 ?
lora_name STRING 1 ?
lora_path STRING 1 ?
lora_ckpt_source STRING 1 ?
""",
    """
text_output STRING -1
finish_reason STRING -1
stop_reason STRING -1
cumulative_logprob FP32 -1
kv_cache_reused_block INT32 -1
kv_cache_missed_block INT32 -1
kv_cache_alloc_new_blocks INT32 -1
kv_cache_alloc_total_blocks INT32 -1
kv_cache_hit_rate FP32 -1
arrival_time_ns INT64 1
first_scheduled_time_ns INT64 1
first_token_time_ns INT64 1
last_token_time_ns INT64 1
acceptance_rate FP32 1
total_accepted_draft_tokens INT32 1
total_draft_tokens INT32 1
""",
)
