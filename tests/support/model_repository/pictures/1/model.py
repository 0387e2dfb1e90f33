"""Says the size of pictures and their last pixel."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """image FP32 [h, w, 3] to size INT64 [3], last FP32 [3] and the image itself."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
        sizes = np.array([image.shape for image in images], dtype=np.int64)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("size", sizes),
                pb_utils.Tensor("last", np.ascontiguousarray(images[:, -1, -1, :])),
                pb_utils.Tensor("same", images),
            ]
        )
