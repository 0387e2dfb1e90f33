"""Sends one answer, but says that it may send more."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """INPUT_TEXT to OUTPUT_TEXT."""

    def initialize(self, args: dict[str, str]) -> None:
        """Nothing to load."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        """Answer each request through its sender."""
        for request in requests:
            tensor = pb_utils.Tensor("OUTPUT_TEXT", pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy())
            request.get_response_sender().send(
                pb_utils.InferenceResponse([tensor]), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            )
