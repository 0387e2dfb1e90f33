"""Handwritten digits from pixels, by the classifier that train_kinds.py writes beside this file."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """PIXELS FP32 [n, 3, 32, 32] to PROBABILITIES FP32 [n, 10]."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the classifier."""
        self.classifier = joblib.load(Path(__file__).with_name("model.joblib"))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy()
            # In double precision, so that a score does not depend on the other images of the batch.
            probabilities = self.classifier.predict_proba(pixels.reshape(len(pixels), -1).astype(np.float64))
            tensor = pb_utils.Tensor("PROBABILITIES", probabilities.astype(np.float32))
            responses.append(pb_utils.InferenceResponse([tensor]))
        return responses
