"""Every output is its input, whatever its datatype and shape."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """IN_X to OUT_X, for those that were sent."""

    def initialize(self, args: dict[str, str]) -> None:
        """Nothing to load."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request with what it holds."""
        return [pb_utils.InferenceResponse([echo(tensor) for tensor in request.inputs()]) for request in requests]


def echo(tensor: pb_utils.Tensor) -> pb_utils.Tensor:
    """Return the tensor under the name of its output; BF16 has no numpy form, but it can be passed on."""
    name = tensor.name().replace("IN_", "OUT_", 1)
    if tensor.name() == "IN_BF16":
        return pb_utils.Tensor.from_dlpack(name, tensor.to_dlpack())
    return pb_utils.Tensor(name, tensor.as_numpy())
