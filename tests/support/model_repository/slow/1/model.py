"""Upper-cases a text, and takes its time."""

from __future__ import annotations

import time

import numpy as np
import triton_python_backend_utils as pb_utils

SECONDS_A_REQUEST = 0.1


class TritonPythonModel:
    """INPUT_TEXT [n, 1] to OUTPUT_TEXT [n, 1]."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request, a tenth of a second for each."""
        responses = []
        for request in requests:
            time.sleep(SECONDS_A_REQUEST)
            texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
            output = np.array([text.upper() for text in texts.ravel()], dtype=np.object_).reshape(texts.shape)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", output)]))
        return responses
