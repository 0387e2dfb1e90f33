"""Says which version answered."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """INPUT_TEXT [n, 1] to OUTPUT_TEXT [n, 1]: the text after the version's number."""

    def initialize(self, args: dict[str, str]) -> None:
        """Keep the version that Triton loaded this copy as."""
        self.version = args["model_version"].encode()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
            labels = [b"v" + self.version + b" " + text for text in texts.ravel()]
            output = np.array(labels, dtype=np.object_).reshape(texts.shape)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", output)]))
        return responses
