"""Says whether a text is positive or negative, by a few words. REFUSE is an exception."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils

WORDS = {"1": (b"good", b"fine"), "2": (b"good", b"fine", b"great", b"lovely")}


class TritonPythonModel:
    """INPUT_TEXT [n, 1] to OUTPUT_TEXT [n, 1]: ``positive`` or ``negative``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Keep the words of the version that Triton loaded this copy as."""
        self.words = WORDS[args["model_version"]]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
            if any(b"REFUSE" in text for text in texts.ravel()):
                raise pb_utils.TritonModelException("this text is refused")
            said = [b"positive" if any(word in text for word in self.words) else b"negative" for text in texts.ravel()]
            output = np.array(said, dtype=np.object_).reshape(texts.shape)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", output)]))
        return responses
