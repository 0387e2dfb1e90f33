"""Answers the number that it is sent: the clients are what is measured."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """NUMBER FP64 [1] to SAME FP64 [1]."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request of one dynamic batch."""
        return [self._answer(request) for request in requests]

    @staticmethod
    def _answer(request: Any) -> Any:  # noqa: ANN401 - the backend's own classes have no types
        numbers = pb_utils.get_input_tensor_by_name(request, "NUMBER").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("SAME", numbers)])
