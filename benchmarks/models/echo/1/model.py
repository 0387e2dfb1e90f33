"""Answers a prompt with itself, so that the server's own work is as small as it can be."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """text_input to text_output."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        """Answer each request through its sender."""
        for request in requests:
            prompts = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy()
            request.get_response_sender().send(
                pb_utils.InferenceResponse([pb_utils.Tensor("text_output", prompts)]),
                pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL,
            )
