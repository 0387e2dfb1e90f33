"""The meaning of a text as a vector, by the sentence model that train_kinds.py puts beside this file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils
from minilm import MiniLM
from threadpoolctl import threadpool_limits
from wordpiece import WordPiece

# The model has learned from texts of no more than this.
LONGEST = 256


class TritonPythonModel:
    """TEXT [n, 1], UTF-8, to EMBEDDING FP32 [n, 384], of length 1."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the vocabulary and the weights."""
        # One thread for each instance: on a busy machine, numpy's threads wait for each other most of the time.
        # It asks for the libraries' paths, and Python within Triton can read no other letters than ASCII in them.
        with suppress(UnicodeError):
            threadpool_limits(1)
        pieces, weights = joblib.load(Path(__file__).with_name("model.joblib"))
        self.tokens = WordPiece(pieces, LONGEST)
        self.model = MiniLM(weights)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
            vectors = [self.model(self.tokens(text.decode(errors="replace"))) for text in texts]
            embedding = pb_utils.Tensor("EMBEDDING", np.stack(vectors))
            responses.append(pb_utils.InferenceResponse([embedding]))
        return responses
