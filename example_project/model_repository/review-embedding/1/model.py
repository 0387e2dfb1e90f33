"""A vector for a text, and the terms that weigh most in it, by what train_kinds.py writes beside this file."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """INPUT_TEXT [n, 1], UTF-8, to EMBEDDING FP32 [n, 128], KNOWN_TERMS INT32 [n, 1] and TOP_TERMS STRING [n, 3]."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the vectorizer and the projection."""
        self.terms, self.projection = joblib.load(Path(__file__).with_name("model.joblib"))
        # A text with fewer known terms has empty ones in the end.
        self.names = np.append(self.terms.get_feature_names_out(), "").astype(np.object_)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request with those outputs that it asks for."""
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy().ravel()
            weights = self.terms.transform(texts)
            wanted = set(request.requested_output_names())
            outputs = [
                pb_utils.Tensor(name, make(weights))
                for name, make in (
                    ("EMBEDDING", self.embedding),
                    ("KNOWN_TERMS", self.known_terms),
                    ("TOP_TERMS", self.top_terms),
                )
                if name in wanted
            ]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses

    def embedding(self, weights: object) -> np.ndarray:
        """Return the vectors, of length 1 but for texts without a known term."""
        vectors = self.projection.transform(weights).astype(np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def known_terms(self, weights: object) -> np.ndarray:
        """Return how many terms of each text are known."""
        return np.diff(weights.indptr).astype(np.int32).reshape(-1, 1)

    def top_terms(self, weights: object) -> np.ndarray:
        """Return the three terms of each text that weigh most."""
        top = np.full((weights.shape[0], 3), len(self.names) - 1)
        for row, (start, end) in enumerate(zip(weights.indptr[:-1], weights.indptr[1:], strict=True)):
            best = weights.indices[start:end][np.argsort(-weights.data[start:end], kind="stable")[:3]]
            top[row, : len(best)] = best
        return self.names[top]
