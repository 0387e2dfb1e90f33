"""Adds up the steps of each sequence; B is 1000 where it is left out."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """A, B INT32 [1, 1] to TOTAL INT32 [1, 1], the sum of both since the start of the sequence."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Begin without a sequence."""
        self.totals: dict[int | str, int] = {}

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each step."""
        responses = []
        for request in requests:
            found = {tensor.name(): int(tensor.as_numpy().ravel()[0]) for tensor in request.inputs()}
            before = 0 if found["START"] else self.totals[request.correlation_id()]
            total = before + found["A"] + found.get("B", 1000)
            self.totals[request.correlation_id()] = total
            output = np.array([[total]], dtype=np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("TOTAL", output)]))
        return responses
