"""The sum of the elements of each row."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """TOTAL of whatever was sent."""

    def initialize(self, args: dict[str, str]) -> None:
        """Nothing to load."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [pb_utils.InferenceResponse([total(request.inputs()[0])]) for request in requests]


def total(tensor: pb_utils.Tensor) -> pb_utils.Tensor:
    """Return the sums."""
    rows = tensor.as_numpy()
    return pb_utils.Tensor("TOTAL", rows.reshape(len(rows), -1).sum(axis=1, dtype=np.float64).reshape(-1, 1))
