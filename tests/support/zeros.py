"""A model of any interface: as many zeros as its config says, for each row."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Any inputs to zeros, or to empty texts."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the config."""
        config = json.loads(args["model_config"])
        self.batched = config["max_batch_size"] > 0
        self.outputs = {output["name"]: output for output in config["output"]}

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        rows = [request.inputs()[0].as_numpy().shape[0]] if self.batched else []
        tensors = []
        for name, output in self.outputs.items():
            shape = rows + [max(int(size), 1) for size in output["dims"]]
            dtype = pb_utils.triton_string_to_numpy(output["data_type"])
            values = np.full(shape, b"", dtype=object) if dtype is np.object_ else np.zeros(shape, dtype=dtype)
            tensors.append(pb_utils.Tensor(name, values))
        return pb_utils.InferenceResponse(tensors)
