"""Finds things in images: as many as the first pixel of each image says, in one list for all images of a request."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """images FP32 [-1, 2, 2] to output FP32 [-1, 3]: the number of the image in the request, and what it found."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        images = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
        found = [
            (number, image[0, 0], thing) for number, image in enumerate(images) for thing in range(int(image[0, 0]))
        ]
        output = np.array(found, dtype=np.float32).reshape(-1, 3)
        return pb_utils.InferenceResponse([pb_utils.Tensor("output", output)])
