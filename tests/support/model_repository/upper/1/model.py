"""Upper-cases a text; a text can ask for an error."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """INPUT_TEXT [n, 1], UTF-8, to OUTPUT_TEXT [n, 1].

    A text that begins with RAISE makes the model raise an exception, which fails the whole batch; one that begins
    with REFUSE makes it answer its own request with the error code INVALID_ARG.
    """

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [answer(request) for request in requests]


def answer(request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
    """Answer one request."""
    values = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
    texts = [value.decode("utf-8", errors="replace") for value in values.ravel()]
    for text in texts:
        if text.startswith("RAISE"):
            raise ValueError(f"no answer for {text}")
        if text.startswith("REFUSE"):
            error = pb_utils.TritonError(f"the model refuses {text}", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
    output = np.array([text.upper().encode() for text in texts], dtype=np.object_).reshape(values.shape)
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", output)])
