"""The cultivar of a wine, by the pipeline that train_kinds.py writes beside this file."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils

INPUTS = ("ALCOHOL", "MALIC_ACID", "FLAVANOIDS", "COLOR_INTENSITY", "PROLINE")


class TritonPythonModel:
    """Five measurements, each [n, 1], to PROBABILITIES FP32 [n, 3]."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the pipeline."""
        self.pipeline = joblib.load(Path(__file__).with_name("model.joblib"))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            columns = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS]
            probabilities = self.pipeline.predict_proba(np.hstack(columns).astype(np.float64))
            tensor = pb_utils.Tensor("PROBABILITIES", probabilities.astype(np.float32))
            responses.append(pb_utils.InferenceResponse([tensor]))
        return responses
