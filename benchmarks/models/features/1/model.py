"""Answers the first of 29 numbers: the least that a model of tabular data can do."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """input__0 FP32 [29] to output__0 FP32 [1]."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        features = pb_utils.get_input_tensor_by_name(request, "input__0").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("output__0", np.ascontiguousarray(features[:, :1]))])
