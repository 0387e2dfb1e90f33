"""Audio files to samples: one channel, at one rate. What they are like is said in config.pbtxt."""

from __future__ import annotations

import io
import json
from math import gcd

import numpy as np
import soundfile
import triton_python_backend_utils as pb_utils

ANY_LENGTH = -1
# Beyond every recorder; resampling from more would take the memory of the machine.
MAX_RATE = 768_000
# An hour of 48 kHz is 173 million; a file of some kilobytes may hold as much silence.
MAX_SAMPLES = 2**28
# Read at once: a file may have a thousand channels.
BLOCK_SAMPLES = 2**16


class UnreadableAudioError(ValueError):
    """The bytes are not an audio file that can be decoded; the text says why."""


class TritonPythonModel:
    """AUDIO [n, 1], the bytes of an audio file, to SAMPLES FP32 [n, samples], from -1 to 1."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the length of SAMPLES and the rate."""
        config = json.loads(args["model_config"])
        (length,) = config["output"][0]["dims"]
        parameters = {key: int(value["string_value"]) for key, value in config["parameters"].items()}
        self.length, self.rate, self.max_seconds = int(length), parameters["rate"], parameters.get("max_seconds", 3600)
        if self.length == ANY_LENGTH and config["max_batch_size"] > 1:
            raise ValueError("files have unequal lengths: write max_batch_size: 1, or a length in dims of the output")

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request; one with a file that cannot be decoded is refused, and the others are answered."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Answer one request. INVALID_ARG is status 400: the client need not try again."""
        files = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy().ravel()
        try:
            samples = np.stack([self.samples(file) for file in files])
        except UnreadableAudioError as error:
            refused = pb_utils.TritonError(f"AUDIO: {error}", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refused)
        return pb_utils.InferenceResponse([pb_utils.Tensor("SAMPLES", samples)])

    def samples(self, file: bytes) -> np.ndarray:
        """Return the samples of a file, FP32 [samples]."""
        try:
            with soundfile.SoundFile(io.BytesIO(file)) as sound:
                rate = sound.samplerate
                if rate > MAX_RATE or sound.frames > min(rate * self.max_seconds, MAX_SAMPLES):
                    said = f"{sound.frames:,} samples at {rate:,} a second"
                    raise UnreadableAudioError(f"{said} are more than max_seconds = {self.max_seconds:,}, or too fast")
                blocks = sound.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True)
                samples = np.concatenate([np.zeros(0, dtype=np.float32), *(block.mean(axis=1) for block in blocks)])
        except soundfile.LibsndfileError as error:
            reason = error.error_string  # its text has an address in memory
            raise UnreadableAudioError(
                f"{len(file):,} bytes are no audio file that can be decoded: {reason}"
            ) from error
        if rate != self.rate and len(samples):
            from scipy.signal import resample_poly  # noqa: PLC0415 - it takes long to load

            common = gcd(rate, self.rate)
            samples = resample_poly(samples, self.rate // common, rate // common)
        if self.length != ANY_LENGTH:
            samples = np.pad(samples[: self.length], (0, max(self.length - len(samples), 0)))
        return samples.astype(np.float32)
