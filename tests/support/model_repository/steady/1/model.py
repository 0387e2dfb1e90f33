"""Echoes a text after a while that is the same for any number of rows, so that the largest batch is the best."""

from __future__ import annotations

import time

import triton_python_backend_utils as pb_utils

SECONDS_A_REQUEST = 0.01


class TritonPythonModel:
    """INPUT_TEXT [n, 1] to OUTPUT_TEXT [n, 1]."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request, one after the other."""
        responses = []
        for request in requests:
            time.sleep(SECONDS_A_REQUEST)
            texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", texts)]))
        return responses
