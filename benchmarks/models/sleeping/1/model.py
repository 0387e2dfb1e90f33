"""Answers the number that it is sent after a while, as a model on a GPU does: the client's cores are free meanwhile."""

from __future__ import annotations

import time
from typing import Any

import triton_python_backend_utils as pb_utils

SECONDS_A_REQUEST = 0.02


class TritonPythonModel:
    """NUMBER FP64 [1] to SAME FP64 [1]."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request, one after the other."""
        return [self._answer(request) for request in requests]

    @staticmethod
    def _answer(request: Any) -> Any:  # noqa: ANN401 - the backend's own classes have no types
        time.sleep(SECONDS_A_REQUEST)
        numbers = pb_utils.get_input_tensor_by_name(request, "NUMBER").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("SAME", numbers)])
