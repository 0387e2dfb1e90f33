"""Answers the first element of each row: the clients are what is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Triton's Python backend makes one instance of this class."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request."""
        return [self._answer(request) for request in requests]

    @staticmethod
    def _answer(request: Any) -> Any:  # noqa: ANN401 - the backend's own classes have no types
        rows = pb_utils.get_input_tensor_by_name(request, "EMBEDDING").as_numpy()
        first = np.ascontiguousarray(rows.reshape(len(rows), -1)[:, :1])
        return pb_utils.InferenceResponse([pb_utils.Tensor("FIRST", first)])
