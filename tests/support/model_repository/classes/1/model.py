"""Scores of classes, for Triton to sort."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """SCORES FP32 [n, 4] to PROBABILITIES FP32, COUNTS INT32, TEXT STRING and ANY_LENGTH FP32, all [n, 4]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Nothing to load."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request with its scores."""
        responses = []
        for request in requests:
            scores = pb_utils.get_input_tensor_by_name(request, "SCORES").as_numpy()
            outputs = [
                pb_utils.Tensor("PROBABILITIES", scores),
                pb_utils.Tensor("COUNTS", np.rint(scores * 10).astype(np.int32)),
                pb_utils.Tensor("TEXT", scores.astype(np.bytes_)),
                pb_utils.Tensor("ANY_LENGTH", scores),
            ]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
