"""The mean of what a sequence has brought so far."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """VALUE FP64 [1, 1] to MEAN FP64 [1, 1] and COUNT INT64 [1, 1], of the sequence since its start."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Begin without a sequence."""
        self.sums: dict[int, tuple[float, int]] = {}

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each step; those of several sequences may come together."""
        responses = []
        for request in requests:
            start, end, sequence, value = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]
                for name in ("START", "END", "SEQUENCE", "VALUE")
            )
            total, count = (0.0, 0) if start else self.sums[int(sequence)]
            total, count = total + float(value), count + 1
            self.sums[int(sequence)] = (total, count)
            if end:
                del self.sums[int(sequence)]
            outputs = [
                pb_utils.Tensor("MEAN", np.array([[total / count]], dtype=np.float64)),
                pb_utils.Tensor("COUNT", np.array([[count]], dtype=np.int64)),
            ]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
