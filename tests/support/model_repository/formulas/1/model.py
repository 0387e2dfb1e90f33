"""A model of any interface: each output is a formula of the inputs, which stands in the parameters of its config."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Each output is what the parameter of its name evaluates to.

    A formula sees each input under its name, and in the dict ``inputs``, as an array with the batch first, or None
    where it was left out; numpy as ``np``; and ``call``, which asks another model of the server.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the interface and the formulas."""
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.formulas = {}
        self.dtypes = {}
        for tensor in config["output"]:
            name = tensor["name"]
            self.formulas[name] = compile(config["parameters"][name]["string_value"], name, "eval")
            self.dtypes[name] = pb_utils.triton_string_to_numpy(tensor["data_type"])

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request with the outputs that it asks for."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request."""
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs}
        inputs = {name: None if tensor is None else tensor.as_numpy() for name, tensor in tensors.items()}
        seen = {**inputs, "inputs": inputs, "np": np, "call": call}
        outputs = []
        for name in request.requested_output_names():
            value = eval(self.formulas[name], seen)  # noqa: S307 - the test's own config
            outputs.append(pb_utils.Tensor(name, np.asarray(value, dtype=self.dtypes[name])))
        return pb_utils.InferenceResponse(outputs)


def call(model: str, output: str, **inputs: np.ndarray) -> np.ndarray:
    """Return one output of another model of the server."""
    tensors = [pb_utils.Tensor(name, value) for name, value in inputs.items()]
    answer = pb_utils.InferenceRequest(model_name=model, requested_output_names=[output], inputs=tensors).exec()
    if answer.has_error():
        raise pb_utils.TritonModelException(answer.error().message())
    return pb_utils.get_output_tensor_by_name(answer, output).as_numpy()
