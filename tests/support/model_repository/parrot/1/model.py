"""Repeats its prompt, but for prompts that say what to do: "answers 2", "error", "sleep 0.1", "say ..."."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
#: By the first word of a prompt, the parts of the answer; an exception is an error.
SCRIPTS: dict[str, Any] = {
    "none": [],
    "two": ["one ", "two"],
    "late": ["one ", RuntimeError("in the middle")],
    "error": [RuntimeError("a bad prompt")],
    "expired": [RuntimeError("Request timeout expired")],
    "cut": ['{"mood": "go'],
}


def text_of(request: pb_utils.InferenceRequest, name: str) -> list[str]:
    """Return the texts of an input; none where it was left out."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return [] if tensor is None else [element.decode() for element in tensor.as_numpy().reshape(-1)]


class TritonPythonModel:
    """text_input to text_output, by a thread for each request that sleeps."""

    def initialize(self, args: dict[str, str]) -> None:
        """Nothing to load."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        """Answer each request through its sender."""
        for request in requests:
            prompt = text_of(request, "text_input")[0]
            word, _, rest = prompt.partition(" ")
            if word == "sleep":
                threading.Thread(target=self._answer, args=(request, prompt, float(rest.split()[0]))).start()
            else:
                self._answer(request, prompt)

    def _answer(self, request: pb_utils.InferenceRequest, prompt: str, seconds: float = 0.0) -> None:
        time.sleep(seconds)
        sender = request.get_response_sender()
        word, _, rest = prompt.partition(" ")
        said = [rest] if word == "say" else SCRIPTS.get(word, [f"{prompt}{''.join(text_of(request, 'words'))}"])
        if word == "parameters":
            said = ["".join(text_of(request, "sampling_parameters")) + "|" + request.parameters()]
        for part in said:
            if isinstance(part, Exception):
                sender.send(pb_utils.InferenceResponse([], pb_utils.TritonError(str(part))))
                continue
            sender.send(pb_utils.InferenceResponse(self._outputs(request, word, part)))
        sender.send(flags=FINAL)

    def _outputs(self, request: pb_utils.InferenceRequest, word: str, part: str) -> list[pb_utils.Tensor]:
        texts = [part, part.upper()] if word == "twice" else [part]
        reason = "length" if word == "cut" else "stop"
        score = {"nan": np.nan, "infinity": np.inf}.get(word, 0.5)
        outputs = [
            pb_utils.Tensor("text_output", np.array([text.encode() for text in texts], dtype=np.object_)),
            pb_utils.Tensor("finish_reason", np.array([reason.encode()] * len(texts), dtype=np.object_)),
            pb_utils.Tensor("score", np.array([score], dtype=np.float32)),
        ]
        if pb_utils.get_input_tensor_by_name(request, "return_num_output_tokens") is not None:
            counts = np.array([len(text.split()) for text in texts], dtype=np.uint32)
            outputs.append(pb_utils.Tensor("num_output_tokens", counts))
        return outputs
