"""A language model that computes its text from the prompt, behind the interface that its config names.

What reaches it stands in ``prompts.jsonl`` beside its versions, one line a prompt. ``commands.py`` says what a prompt
can ask for. The number in a file ``seconds`` beside them is how long each answer takes; where there is a file ``die``,
the next prompt ends the process.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import interfaces
import numpy as np
import triton_python_backend_utils as pb_utils
from commands import Said

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Any of the interfaces of ``interfaces.py``, decoupled or not."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the config."""
        config = json.loads(args["model_config"])
        said = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.interface: interfaces.Interface = interfaces.INTERFACES[said["interface"]]
        self.blocks = said.get("blocks") == "true"
        self.decoupled = pb_utils.using_decoupled_model_transaction_policy(config)
        self.batched = config["max_batch_size"] > 0
        self.folder = Path(args["model_repository"])
        self.lock = threading.Lock()

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer each request."""
        if not self.decoupled:
            return [self.answer_at_once(request) for request in requests]
        for request in requests:
            self.begin(request)
        return None

    def rows_of(self, request: Any) -> list[dict[str, Any]]:
        """Return the inputs of each row: an element where the input has one, else a list."""
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        count = len(tensors["text_input"]) if self.batched else 1
        return [
            {name: _plain(values[row] if self.batched else values, name) for name, values in tensors.items()}
            for row in range(count)
        ]

    def record(self, inputs: dict[str, Any], request: Any) -> dict[str, Any]:
        """Write down what came, and return it."""
        rest = {name: value for name, value in inputs.items() if name != "text_input"}
        came = {"prompt": inputs["text_input"], "inputs": rest, "parameters": json.loads(request.parameters())}
        with self.lock, (self.folder / "prompts.jsonl").open("a") as file:
            file.write(json.dumps(came) + "\n")
        return came

    def seconds(self, prompt: str) -> float:
        """Return how long the answer takes."""
        file = self.folder / "seconds"
        return commands.seconds(prompt) or (float(file.read_text()) if file.exists() else 0.0)

    def answer_at_once(self, request: Any) -> Any:
        """Answer a request that has one response, with all of its rows."""
        answers = []
        for inputs in self.rows_of(request):
            came = self.record(inputs, request)
            time.sleep(self.seconds(came["prompt"]))
            try:
                said = self.said(came)
            except commands.ModelError as error:
                return _error(error)
            answers.append(said[0] if said else Said())
        outputs = [self.interface.outputs(answer) for answer in answers]
        tensors = [
            _tensor(name, _stacked([row[name] for row in outputs]) if self.batched else outputs[0][name])
            for name in outputs[0]
        ]
        return pb_utils.InferenceResponse(tensors)

    def begin(self, request: Any) -> None:
        """Begin to answer a request in its own time; others do not wait for it, unless the model is one that blocks."""
        sender = request.get_response_sender()
        rows = [self.record(inputs, request) for inputs in self.rows_of(request)]
        if (self.folder / "die").exists():
            os._exit(1)
        for came in rows:
            if came["prompt"].startswith("/raise"):
                raise ValueError("boom in execute")
            self.interface.check(came)
        seconds = max(self.seconds(came["prompt"]) for came in rows)

        def work() -> None:
            self.answer(rows, sender.send)

        if seconds and not self.blocks:
            timer = threading.Timer(seconds, work)
            timer.daemon = True
            timer.start()
            return
        time.sleep(seconds)
        work()

    def answer(self, rows: list[dict[str, Any]], send: Callable[..., None]) -> None:
        """Send what there is to say, and the end."""
        try:
            for came in rows:
                for said in self.said(came):
                    send(self.response(said))
        except commands.ModelError as error:
            send(_error(error), flags=FINAL)
        else:
            send(flags=FINAL)

    def said(self, came: dict[str, Any]) -> list[Said]:
        """Return the answers to a prompt, each of which is a response."""
        asked = self.interface.asked(came)
        return commands.answers(came["prompt"], asked)

    def response(self, said: Said) -> Any:
        """Make a response of one row."""
        if said.error is not None:
            return _error(said.error)
        outputs = self.interface.outputs(said)
        return pb_utils.InferenceResponse(
            [_tensor(name, values[np.newaxis] if self.batched else values) for name, values in outputs.items()]
        )


def _plain(values: np.ndarray, name: str) -> Any:
    """Return the elements of a tensor as JSON has them."""
    found = [
        value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
        for value in values.ravel().tolist()
    ]
    return found[0] if values.shape in {(), (1,)} or name == "text_input" else found


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Put the rows of a batch together; an answer of fewer tokens than others has zeros at the end."""
    if rows[0].dtype == object:
        return np.stack(rows)
    longest = np.max([row.shape for row in rows], axis=0)
    return np.stack(
        [np.pad(row, [(0, most - size) for most, size in zip(longest, row.shape, strict=True)]) for row in rows]
    )


def _tensor(name: str, values: np.ndarray) -> Any:
    return pb_utils.Tensor(name, values)


def _error(error: commands.ModelError) -> Any:
    code = getattr(pb_utils.TritonError, error.code)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
