"""Answers 84 x 8400 numbers a row, as a detector does: all are the row's own number, so that clients can be checked."""

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
        numbers = pb_utils.get_input_tensor_by_name(request, "NUMBER").as_numpy()
        boxes = np.repeat(numbers.astype(np.float32), 84 * 8400, axis=1).reshape(-1, 84, 8400)
        return pb_utils.InferenceResponse([pb_utils.Tensor("BOXES", boxes)])
