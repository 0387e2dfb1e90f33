"""Handwritten digits from image files, by the classifier that train_kinds.py writes beside this file."""

from __future__ import annotations

import io
from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils
from PIL import Image

SIZE = (8, 8)
SHADES = 16
WHITE = 255


class TritonPythonModel:
    """IMAGE [n, 1], the bytes of an image file, to DIGIT UINT8 [n, 1] and PIXELS UINT8 [n, 8, 8]."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the classifier."""
        self.classifier = joblib.load(Path(__file__).with_name("model.joblib"))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            files = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().ravel()
            pixels = np.stack([self.pixels(file) for file in files])
            shades = np.rint(pixels.reshape(len(files), -1) * (SHADES / WHITE))
            digits = self.classifier.predict(shades).astype(np.uint8).reshape(-1, 1)
            outputs = [pb_utils.Tensor("DIGIT", digits), pb_utils.Tensor("PIXELS", pixels)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses

    def pixels(self, file: bytes) -> np.ndarray:
        """Return an image in grey, 8 by 8 pixels."""
        return np.asarray(Image.open(io.BytesIO(file)).convert("L").resize(SIZE), dtype=np.uint8)
