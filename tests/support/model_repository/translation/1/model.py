"""Each target number and the sum of all source numbers; 0 is padding."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """source, target INT32 [-1] to scores INT32 [-1], as long as the target, and cross [-1, -1], target by source."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        source = pb_utils.get_input_tensor_by_name(request, "source").as_numpy()
        target = pb_utils.get_input_tensor_by_name(request, "target").as_numpy()
        scores = (target + source.sum(axis=1, keepdims=True)).astype(np.int32)
        cross = (target[:, :, None] * source[:, None, :]).astype(np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("scores", scores), pb_utils.Tensor("cross", cross)])
