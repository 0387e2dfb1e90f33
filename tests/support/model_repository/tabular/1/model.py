"""Adds up the features of each row that are no NaN, and counts those that are."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """input__0 FP32 [3] to output__0 FP32 (N,), missing INT32 (N, 1) and seen FP32 (N, 3)."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        features = pb_utils.get_input_tensor_by_name(request, "input__0").as_numpy()
        missing = np.isnan(features).sum(axis=1, keepdims=True).astype(np.int32)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("output__0", np.nansum(features, axis=1, dtype=np.float32)),
                pb_utils.Tensor("missing", missing),
                pb_utils.Tensor("seen", features),
            ]
        )
