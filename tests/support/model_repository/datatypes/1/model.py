"""Gives back every input, whatever its datatype."""

from __future__ import annotations

import json

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """IN_<DATATYPE> [n, 1] to OUT_<DATATYPE> [n, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read which datatypes there are."""
        config = json.loads(args["model_config"])
        self.kinds = [tensor["name"].removeprefix("IN_") for tensor in config["input"]]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(f"OUT_{kind}", pb_utils.get_input_tensor_by_name(request, f"IN_{kind}").as_numpy())
                    for kind in self.kinds
                ]
            )
            for request in requests
        ]
