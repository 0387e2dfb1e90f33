"""What servers say of the interfaces of language models, as their backends declare them."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.web_server import listening

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.ddl import parse_create_model
from dbt_triton.inference_model import InferenceModel

OPTIONS = {"provider": "triton", "endpoint": "http://h:8000", "model-name": "llm"}


def optional(names: str, datatype: str, *dims: int) -> list[ServedTensor]:
    """Describe inputs that may be left out."""
    return [ServedTensor(name, datatype, dims or (1,), optional=True) for name in names.split()]


def interface(inputs: list[ServedTensor], outputs: list[ServedTensor], *, batch: int = 0) -> ServedModel:
    """Describe a model; with a batch size, its tensors have a batch dimension, and it is not decoupled."""
    front = (-1,) if batch else ()
    return ServedModel(
        name="llm",
        version="1",
        inputs=tuple(ServedTensor(one.name, one.datatype, (*front, *one.shape), one.optional) for one in inputs),
        outputs=tuple(ServedTensor(one.name, one.datatype, (*front, *one.shape)) for one in outputs),
        max_batch_size=batch,
        decoupled=not batch,
        sequence_batching=False,
        dynamic_batching=bool(batch),
        server_version="2.51.0",
        binary_data=True,
    )


TEXT_INPUT, TEXT_OUTPUT = ServedTensor("text_input", "BYTES", (1,)), ServedTensor("text_output", "BYTES", (-1,))
_VLLM_FIRST = [
    TEXT_INPUT,
    *optional("stream", "BOOL"),
    *optional("sampling_parameters", "BYTES"),
    *optional("exclude_input_in_output", "BOOL"),
]
_VLLM_FLAGS = "return_finish_reason return_cumulative_logprob return_num_output_tokens return_num_input_tokens"
_VLLM_OUTPUTS = [
    TEXT_OUTPUT,
    ServedTensor("finish_reason", "BYTES", (-1,)),
    ServedTensor("cumulative_logprob", "FP32", (-1,)),
    ServedTensor("logprobs", "BYTES", (-1,)),
    ServedTensor("num_input_tokens", "UINT32", (1,)),
    ServedTensor("num_output_tokens", "UINT32", (-1,)),
]
#: vLLM's backend of October 2024, of spring 2025 and of December 2025.
VLLM_24_10 = interface(_VLLM_FIRST, [TEXT_OUTPUT])
VLLM_25_03 = interface(
    [*_VLLM_FIRST, *optional("image", "BYTES", -1), *optional(f"{_VLLM_FLAGS} return_logprobs", "BOOL")], _VLLM_OUTPUTS
)
VLLM_25_12 = interface([*VLLM_25_03.inputs, *optional("embedding_request", "BYTES")], _VLLM_OUTPUTS)


def ensemble(*, decoupled: bool = False, seed: str = "seed") -> ServedModel:
    """Describe TensorRT-LLM's ensemble; an older one calls its seed otherwise."""
    inputs = [
        TEXT_INPUT,
        ServedTensor("max_tokens", "INT32", (1,)),
        *optional("bad_words stop_words", "BYTES", -1),
        *optional("exclude_input_in_output stream return_log_probs return_context_logits", "BOOL"),
        *optional("return_num_output_tokens return_perf_metrics", "BOOL"),
        *optional("end_id top_k min_tokens num_return_sequences", "INT32"),
        *optional("top_p temperature presence_penalty", "FP32"),
        *optional(seed, "UINT64"),
        *optional("guided_decoding_guide_type guided_decoding_guide", "BYTES"),
    ]
    outputs = [
        TEXT_OUTPUT,
        ServedTensor("cum_log_probs", "FP32", (-1,)),
        ServedTensor("context_logits", "FP32", (-1, -1)),
        ServedTensor("batch_index", "INT32", (1,)),
        ServedTensor("num_output_tokens", "INT32", (1,)),
        ServedTensor("kv_cache_reused_block", "INT32", (1,)),
    ]
    served = interface(inputs, outputs, batch=64)
    return ServedModel(**{**vars(served), "decoupled": decoupled})


ENSEMBLE, ENSEMBLE_DECOUPLED, ENSEMBLE_OLD = ensemble(), ensemble(decoupled=True), ensemble(seed="random_seed")
#: TensorRT-LLM's API for language models.
LLMAPI = interface(
    [
        ServedTensor("text_input", "BYTES", (-1,)),
        *optional("streaming stop return_finish_reason return_stop_reason return_cumulative_logprob", "BOOL"),
        *optional("sampling_param_temperature sampling_param_top_p sampling_param_presence_penalty", "FP32"),
        *optional("sampling_param_max_tokens sampling_param_top_k", "INT32"),
        *optional("sampling_param_stop", "BYTES", -1),
        *optional("sampling_param_seed", "UINT64"),
        *optional("sampling_param_exclude_input_from_output sampling_param_return_perf_metrics", "BOOL"),
    ],
    [
        TEXT_OUTPUT,
        *(ServedTensor(name, "BYTES", (-1,)) for name in ("finish_reason", "stop_reason")),
        ServedTensor("cumulative_logprob", "FP32", (-1,)),
        ServedTensor("kv_cache_hit_rate", "FP32", (1,)),
    ],
    batch=8,
)
INTERFACES = {
    "vllm 24.10": VLLM_24_10,
    "vllm 25.03": VLLM_25_03,
    "vllm 25.12": VLLM_25_12,
    "ensemble": ENSEMBLE,
    "ensemble, decoupled": ENSEMBLE_DECOUPLED,
    "ensemble, old": ENSEMBLE_OLD,
    "llmapi": LLMAPI,
}


def prompted(columns: str = "INPUT (prompt STRING) OUTPUT (answer STRING)", **options: str) -> InferenceModel:
    """Read a CREATE MODEL statement with options written with underscores."""
    given = OPTIONS | {key.replace("_", "-").replace("tensor-", "tensor."): value for key, value in options.items()}
    pairs = ", ".join(f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in given.items())
    return InferenceModel.from_definition(parse_create_model(f"CREATE MODEL m {columns} WITH ({pairs})"))


def _said(tensors: tuple[ServedTensor, ...]) -> list[dict[str, Any]]:
    return [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in tensors]


@contextmanager
def serving(served: ServedModel) -> Generator[str, None, None]:
    """Say what a server says of a model, and answer no prompt. Yields the endpoint."""
    optional = [{"name": one.name, "optional": one.optional} for one in served.inputs]
    answers: dict[str, dict[str, Any]] = {
        "v2": {"name": "triton", "version": "2.51.0", "extensions": []},
        "llm": {"name": "llm", "versions": ["1"], "inputs": _said(served.inputs), "outputs": _said(served.outputs)},
        "config": {"input": optional, "model_transaction_policy": {"decoupled": served.decoupled}},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path.rpartition("/")[2], {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        yield url
