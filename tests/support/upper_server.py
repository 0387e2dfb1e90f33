"""A small server of KServe v2 over HTTP, in this process: it makes texts upper case, and fails as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MODEL = "/v2/models/upper"
_TENSOR = {"datatype": "BYTES", "shape": [-1, 1]}


@dataclass
class UpperServer:
    """What the server does, and what reached it.

    Args:
        answer: is given the texts of a request, and returns those of the answer, or a status and words.
        statistics: answers ``/stats``: None is 400, as Triton has it where statistics are off.
        before: is called before a request is answered.
    """

    url: str = ""
    answer: Callable[[list[str]], list[str] | tuple[int, str]] = lambda texts: [text.upper() for text in texts]
    statistics: Callable[[int], dict[str, Any] | None] = lambda requests: _counted(requests)  # noqa: PLW0108 - below
    before: Callable[[], object] = lambda: None
    version: str = "1"
    texts: list[list[str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Answer a GET."""
        self.paths.append(path)
        if path == "/v2":
            return 200, {"name": "triton", "version": "2.51.0", "extensions": ["statistics"]}
        tensors = {
            "inputs": [{"name": "INPUT_TEXT", **_TENSOR}],
            "outputs": [{"name": "OUTPUT_TEXT", **_TENSOR}],
        }
        if path == _MODEL:
            return 200, {"name": "upper", "versions": [self.version], "platform": "python", **tensors}
        if path == f"{_MODEL}/config":
            config = {
                "input": [{"name": "INPUT_TEXT", "data_type": "TYPE_STRING", "dims": [1]}],
                "output": [{"name": "OUTPUT_TEXT", "data_type": "TYPE_STRING", "dims": [1]}],
            }
            return 200, {"name": "upper", "max_batch_size": 64, **config}
        if path == f"{_MODEL}/ready":
            return 200, {}
        if path == f"{_MODEL}/stats":
            said = self.statistics(len(self.texts))
            return (400, {"error": "the server does not support statistics"}) if said is None else (200, said)
        return 404, {"error": "not found"}

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = 60) -> bool:
        """Wait until a condition holds; tell whether it does."""
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            time.sleep(0.02)
        return condition()

    def infer(self, texts: list[str]) -> tuple[int, dict[str, Any]]:
        """Answer a request."""
        self.before()
        self.texts.append(texts)
        answer = self.answer(texts)
        if isinstance(answer, tuple):
            return answer[0], {"error": answer[1]}
        tensor = {"name": "OUTPUT_TEXT", "datatype": "BYTES", "shape": [len(answer), 1], "data": answer}
        return 200, {"model_name": "upper", "model_version": self.version, "outputs": [tensor]}


def _counted(requests: int) -> dict[str, Any]:
    """Count as Triton does: each request has waited for 1 ms, and was computed for 2, 3 and 4 ms."""
    waits = {"queue": 1, "compute_input": 2, "compute_infer": 3, "compute_output": 4, "success": 10}
    kinds = {name: {"count": requests, "ns": requests * wait * 1_000_000} for name, wait in waits.items()}
    return {"model_stats": [{"name": "upper", "version": "1", "inference_count": requests, "inference_stats": kinds}]}


@contextmanager
def upper_server(**settings: Any) -> Generator[UpperServer]:
    """Serve while the block is entered."""
    served = UpperServer(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(*served.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(body)
            status, answer = served.infer(request["inputs"][0]["data"])
            self._say(status, answer | ({"id": request["id"]} if "id" in request else {}))

        def _say(self, status: int, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def slow(seconds: float) -> Callable[[], None]:
    """Return what lets each request take so long."""
    return lambda: time.sleep(seconds)
