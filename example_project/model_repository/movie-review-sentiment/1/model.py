"""Sentiment of English movie reviews, by the pipeline that train.py writes beside this file."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """INPUT_TEXT [n, 1], UTF-8, to OUTPUT_TEXT [n, 1]: positive or negative."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the pipeline."""
        self.pipeline = joblib.load(Path(__file__).with_name("model.joblib"))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer all requests with one prediction: a call costs as much as about twenty rows."""
        inputs = [pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy() for request in requests]
        # The vectorizer decodes the bytes itself.
        labels = self.pipeline.predict(np.concatenate(inputs).ravel()).astype(np.bytes_).reshape(-1, 1)
        first_rows = np.cumsum([len(texts) for texts in inputs])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT_TEXT", output)])
            for output in np.split(labels, first_rows)
        ]
