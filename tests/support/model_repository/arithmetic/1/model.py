"""Two inputs and two outputs of different datatypes."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils

LARGE = 100.0


class TritonPythonModel:
    """PRICE FP64 and QUANTITY INT64, [n, 1] each, to TOTAL FP64 and IS_LARGE BOOL."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            price, quantity = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("PRICE", "QUANTITY")
            )
            total = (price * quantity).astype(np.float64)
            tensors = [pb_utils.Tensor("IS_LARGE", total > LARGE), pb_utils.Tensor("TOTAL", total)]
            responses.append(pb_utils.InferenceResponse(tensors))
        return responses
