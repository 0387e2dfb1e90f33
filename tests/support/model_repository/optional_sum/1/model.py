"""Adds up numbers; B is 100 and C is "none" where they are left out."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """A, B INT32 and C BYTES to TOTAL = A + B INT32, and SEEN BYTES, the inputs that were there and C."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        found = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        rows = len(next(iter(found.values())))
        total = found.get("A", np.zeros((rows, 1), np.int32)) + found.get("B", np.full((rows, 1), 100, np.int32))
        texts = found.get("C", np.full((rows, 1), b"none", dtype=object))
        names = "".join(sorted(found)).encode()
        seen = np.array([[names + b":" + text] for (text,) in texts], dtype=object)
        return pb_utils.InferenceResponse([pb_utils.Tensor("TOTAL", total), pb_utils.Tensor("SEEN", seen)])
