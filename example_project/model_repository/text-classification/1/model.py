"""Sentiment of Chinese text, by the model that snownlp ships, which learned from shopping reviews."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils

# The score is the probability that a text is positive. Its range is cut into three equal parts.
NEGATIVE_BELOW = 1 / 3
POSITIVE_ABOVE = 2 / 3


class TritonPythonModel:
    """INPUT_TEXT [n, 1], UTF-8, to OUTPUT_TEXT [n, 1]: positive, neutral or negative."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the model: importing it does that."""
        from snownlp import sentiment

        self.score = sentiment.classify

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request; snownlp reads one text at a time, so there is no batch to make."""
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
            labels = [self.label(text.decode("utf-8", errors="replace")) for text in texts.ravel()]
            output = np.array(labels, dtype=np.bytes_).reshape(texts.shape)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", output)]))
        return responses

    def label(self, text: str) -> str:
        """Return the label of one text."""
        score = self.score(text)
        if score < NEGATIVE_BELOW:
            return "negative"
        return "positive" if score > POSITIVE_ABOVE else "neutral"
