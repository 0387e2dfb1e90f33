"""JPEG and PNG files to the tensor that a classifier or a detector wants; what it is like is said in config.pbtxt."""

from __future__ import annotations

import json

import triton_python_backend_utils as pb_utils
from images import Preprocessing, UnreadableImageError


class TritonPythonModel:
    """IMAGE [n, 1], the bytes of an image file, to PIXELS FP32 [n, channels, height, width]."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the dims of PIXELS and the parameters."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.preprocessing = Preprocessing.of_config(
            [int(length) for length in config["output"][0]["dims"]], parameters
        )

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request; one with a file that cannot be decoded is refused, and the others are answered."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request. INVALID_ARG is status 400: the client need not try again."""
        files = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()
        try:
            pixels = self.preprocessing(files)
        except UnreadableImageError as error:
            refused = pb_utils.TritonError(f"IMAGE: {error}", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refused)
        return pb_utils.InferenceResponse([pb_utils.Tensor("PIXELS", pixels)])
