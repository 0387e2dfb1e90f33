"""Upper-cases texts, and fails in the ways that a text, or a file in the folder FAULTS_FOLDER, asks for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """TEXT [n, 1] to UPPER, LENGTH (in bytes) and SCORE (half of it; other versions have others), each [n, 1].

    A text that begins with RAISE, REFUSE, HANG, LATIN or NAN makes the model raise, refuse the request, never answer,
    answer bytes that are not UTF-8, or score NaN. The files `slow` (holds seconds), `busy`, `garbled` and `die` in
    FAULTS_FOLDER make it slow, turn requests away (503), answer no UTF-8, or end its process; there it keeps a ledger
    of the rows that it has run, which outlives the server.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Find the folder."""
        folder = os.environ.get("FAULTS_FOLDER")
        self.folder = Path(folder) if folder else None
        self.divisor = 1 + int(args["model_version"])

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse | None]:
        """Answer each request."""
        if self.folder is not None:
            self.obey(self.folder)
        return [self.answer(request) for request in requests]

    def obey(self, folder: Path) -> None:
        """Do what the files in the folder ask for."""
        if (folder / "die").exists():
            os._exit(1)
        if (folder / "slow").exists():
            time.sleep(float((folder / "slow").read_text()))

    def is_asked_to(self, fault: str) -> bool:
        """Tell whether a file in the folder asks for a fault."""
        return self.folder is not None and (self.folder / fault).exists()

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse | None:
        """Answer one request."""
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        words = [text[:6] for text in texts.ravel()]
        if any(word.startswith(b"RAISE") for word in words):
            raise ValueError("a text asked the model to raise")
        if self.is_asked_to("busy"):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("busy", pb_utils.TritonError.UNAVAILABLE))
        if b"REFUSE" in words:
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError("a text asked to be refused", pb_utils.TritonError.INVALID_ARG)
            )
        if any(word.startswith(b"HANG") for word in words):
            return None
        garbled = self.is_asked_to("garbled")
        upper = [
            text.upper() + (b"\xff\xfe" if garbled or text.startswith(b"LATIN") else b"") for text in texts.ravel()
        ]
        lengths = np.array([len(text) for text in texts.ravel()], dtype=np.int64).reshape(texts.shape)
        scores = lengths / self.divisor
        scores[np.array([word.startswith(b"NAN") for word in words]).reshape(texts.shape)] = np.nan
        if self.folder is not None:
            with (self.folder / "ledger").open("a") as ledger:
                ledger.write(f"{len(words)}\n")
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("UPPER", np.array(upper, dtype=np.object_).reshape(texts.shape)),
                pb_utils.Tensor("LENGTH", lengths),
                pb_utils.Tensor("SCORE", scores),
            ]
        )
