"""Which key of a telephone was pressed: each key sounds two frequencies at once (ITU-T Q.23)."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477)
KEYS = np.array(list("123456789*0#"), dtype=np.object_)


class TritonPythonModel:
    """SAMPLES FP32 [n, samples] to KEY [n, 1], and SHARE FP32 [n, 1] of the sound's energy that the key explains."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the rate."""
        self.rate = int(json.loads(args["model_config"])["parameters"]["rate"]["string_value"])

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request."""
        responses = []
        for request in requests:
            samples = pb_utils.get_input_tensor_by_name(request, "SAMPLES").as_numpy()
            rows, columns = self.energies(samples, ROWS), self.energies(samples, COLUMNS)
            keys = KEYS[rows.argmax(axis=1) * len(COLUMNS) + columns.argmax(axis=1)]
            total = np.maximum(np.square(samples).sum(axis=1), 1e-12)
            shares = ((rows.max(axis=1) + columns.max(axis=1)) / total).astype(np.float32)
            outputs = [pb_utils.Tensor("KEY", keys.reshape(-1, 1)), pb_utils.Tensor("SHARE", shares.reshape(-1, 1))]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses

    def energies(self, samples: np.ndarray, frequencies: tuple[int, ...]) -> np.ndarray:
        """Return the energy [n, frequencies] of each sound at each frequency."""
        count = samples.shape[1]
        waves = np.exp(-2j * np.pi * np.outer(np.arange(count), frequencies) / self.rate)
        return 2 / max(count, 1) * np.square(np.abs(samples @ waves))
