"""Adds up the amounts of each sequence."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """AMOUNT INT64 [1, 1] to TOTAL INT64 [1, 1], the sum since the start of the sequence."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Begin without a sequence."""
        self.totals: dict[int | str, int] = {}

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each step."""
        responses = []
        for request in requests:
            sequence = request.correlation_id()
            start, end, ready, amount = (
                int(pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0])
                for name in ("START", "END", "READY", "AMOUNT")
            )
            # The direct strategy fills the slots of a batch that have no request, with sequence 0.
            total = amount + (0 if start or not ready else self.totals[sequence])
            if ready:
                self.totals[sequence] = total
            if ready and end:
                del self.totals[sequence]
            output = np.array([[total]], dtype=np.int64)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("TOTAL", output)]))
        return responses
