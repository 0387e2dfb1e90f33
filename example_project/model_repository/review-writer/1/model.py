"""What writer.py writes, by the interface of Triton's vLLM backend: decoupled, one prompt a request."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils
from writer import Written, write

# The parameters' default in vLLM.
MAX_TOKENS = 16


class TritonPythonModel:
    """A prompt in text_input to text_output, and what the flags return_... ask for.

    Of sampling_parameters, a JSON text, it reads max_tokens, stop, n, structured_outputs and guided_decoding; the
    others make no difference to it. ``stream`` sends each word in a response of its own.
    """

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        """Answer each request; one with parameters that it cannot read is refused, and the others are answered."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                for response in self.responses(request):
                    sender.send(response)
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                refused = pb_utils.TritonError(f"sampling_parameters: {error}", pb_utils.TritonError.INVALID_ARG)
                sender.send(pb_utils.InferenceResponse(error=refused))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def responses(self, request: pb_utils.InferenceRequest) -> list[pb_utils.InferenceResponse]:
        """Return one response, or one for each word."""
        prompt = _first(request, "text_input", b"").decode(errors="replace")
        parameters = json.loads(_first(request, "sampling_parameters", b"{}"))
        if not isinstance(parameters, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004 - one kind of error for one kind of mistake
        stops = parameters.get("stop") or []
        written = write(
            prompt,
            max_tokens=int(parameters.get("max_tokens", MAX_TOKENS)),
            stops=[stops] if isinstance(stops, str) else stops,
            guide=parameters.get("structured_outputs") or parameters.get("guided_decoding"),
        )
        stream = _first(request, "stream", default=False)
        before = "" if _first(request, "exclude_input_in_output", stream) else prompt
        parts = [Written([word], "None") for word in written.words[:-1]] if stream else []
        last = Written(written.words[-1:], written.finish_reason) if stream else written
        samples = int(parameters.get("n", 1))
        return [self.response(request, part, before, samples) for part in [*parts, last]]

    def response(
        self, request: pb_utils.InferenceRequest, written: Written, before: str, samples: int
    ) -> pb_utils.InferenceResponse:
        """Return a response with the outputs that were asked for; each sample is the same."""
        texts = np.array([(before + "".join(written.words)).encode()] * samples, dtype=np.object_)
        tensors = [pb_utils.Tensor("text_output", texts)]
        if _first(request, "return_finish_reason", default=False):
            reasons = np.array([written.finish_reason.encode()] * samples, dtype=np.object_)
            tensors.append(pb_utils.Tensor("finish_reason", reasons))
        if _first(request, "return_num_input_tokens", default=False):
            read = len(_first(request, "text_input", b"").split())
            tensors.append(pb_utils.Tensor("num_input_tokens", np.array([read], dtype=np.uint32)))
        if _first(request, "return_num_output_tokens", default=False):
            counts = np.full(samples, len(written.words), dtype=np.uint32)
            tensors.append(pb_utils.Tensor("num_output_tokens", counts))
        return pb_utils.InferenceResponse(tensors)


def _first(request: pb_utils.InferenceRequest, name: str, default: object) -> object:
    """Return the first element of an input, or the default where it is left out."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().ravel()[0]
