"""Says what each row came as."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Any inputs to SAID [n, 1]: of each input that a row has, its shape and the bytes of its elements."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        rows = len(next(iter(inputs.values())))
        said = [json.dumps({name: shown(values[row]) for name, values in inputs.items()}) for row in range(rows)]
        output = np.array([text.encode() for text in said], dtype=object).reshape(rows, 1)
        return pb_utils.InferenceResponse([pb_utils.Tensor("SAID", output)])


def shown(values: np.ndarray) -> list[object]:
    """Return a row's shape and its elements in hexadecimal digits."""
    if values.dtype == object:
        return [list(values.shape), b"\0".join(values.ravel()).hex()]
    return [list(values.shape), np.ascontiguousarray(values).tobytes().hex()]
