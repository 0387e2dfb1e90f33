"""What each token is, and what all tokens are together that the mask does not hide."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """input_ids and attention_mask INT64 [-1], perhaps token_type_ids, to an answer by token and one by text."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request; ids, mask and types must be of one shape, as an encoder demands."""
        found = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        ids, mask = found["input_ids"], found["attention_mask"]
        types = found.get("token_type_ids", np.full_like(ids, 7))
        kept = ids * mask + types * mask
        count, total = mask.sum(axis=1), kept.sum(axis=1)
        logits = np.stack([ids, np.broadcast_to(total[:, None], ids.shape)], axis=2)
        pairs = kept[:, :, None] * kept[:, None, :]
        words = np.array([[str(number).encode() for number in row] for row in ids], dtype=object).reshape(ids.shape)
        outputs = {
            "logits": logits.astype(np.float32),
            "attentions": np.stack([pairs, 2 * pairs], axis=1).astype(np.float32),
            "pooled": np.stack([total, count], axis=1).astype(np.float32),
            "words": words,
            "best": np.stack([total, count, total * 2], axis=1).astype(np.int64),
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in outputs.items()])
