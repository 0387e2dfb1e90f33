"""Answers with too few rows, another datatype, or another output than it promised; Triton lets all of them pass."""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """INPUT_TEXT [n, 1] to what the model's folder is called after."""

    def initialize(self, args: dict[str, str]) -> None:
        """Take the kind of mistake from the folder: the model's name is one of a test's own."""
        repository = args["model_repository"]
        self.mistake = next(kind for kind in ("rows", "datatype", "output") if f"wrong_{kind}" in repository)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request wrongly."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request wrongly."""
        texts = pb_utils.get_input_tensor_by_name(request, "INPUT_TEXT").as_numpy()
        output = {
            "rows": pb_utils.Tensor("OUTPUT_TEXT", texts[:-1]),
            "datatype": pb_utils.Tensor("OUTPUT_TEXT", np.ones(texts.shape, dtype=np.int32)),
            "output": pb_utils.Tensor("SOMETHING_ELSE", texts),
        }[self.mistake]
        return pb_utils.InferenceResponse([output])
