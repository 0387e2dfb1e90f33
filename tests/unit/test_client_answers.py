import asyncio
import gzip
import zlib
from typing import Any

import pytest
from unit.http_server import Answer, RecordingServer

from dbt_triton.client import TritonClient
from dbt_triton.errors import InferenceError
from dbt_triton.options import parse_options

HEAD = b"HTTP/1.1 200 OK\r\n"
SERVER = b'{"name":"triton","version":"2.51.0","extensions":["binary_tensor_data"]}'
METADATA = (
    b'{"name":"m","versions":["2","10"],"inputs":[{"name":"X","datatype":"BYTES","shape":[-1,1]},'
    b'{"name":"O","datatype":"FP32","shape":[-1,1]}],"outputs":[{"name":"Y","datatype":"BYTES","shape":[-1,1]}]}'
)
CONFIG = b'{"max_batch_size":64,"input":[{"name":"X"},{"name":"O","optional":true}],"dynamic_batching":{}}'


def infer(*answers: Answer, requests: int = 1, **given_options: Any) -> list[bytes]:
    """Send requests one after the other, and return the contents of their answers."""

    async def run() -> list[bytes]:
        async with RecordingServer(*answers) as server:
            raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "max-retries": 0}
            async with TritonClient(parse_options(raw | given_options, "m")) as client:
                contents = [bytes((await client.infer(b"{}", None)).content) for _ in range(requests)]
            await server.all_closed()
            return contents

    return asyncio.run(run())


@pytest.mark.parametrize(
    "raw",
    [
        (HEAD + b"Content-Length: 4\r\n\r\nabcd",),
        (HEAD[:7], HEAD[7:] + b"content-LENGTH:  4 \r\n", b"\r", b"\na", b"bc", b"d"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"1;x=y\r\nd\r\n0\r\n\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\nX-Trailer: 1\r\n\r\n",),
        (HEAD + b"\r\nab", b"cd"),
        (b"HTTP/1.0 200 OK\r\n\r\nabcd",),
        (b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"Content-Length: 4\r\n\r\nabcd"),
        (HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nabcd",),
    ],
)
def test_every_form_of_answer(raw: tuple[bytes, ...]) -> None:
    """An answer is read whole in every form that HTTP/1.1 has, however a network cuts it."""
    # The server closes each connection, which a second request may learn too late.
    assert infer(Answer(raw=raw), requests=2, **{"max-retries": 1}) == [b"abcd", b"abcd"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(b"abcd", mtime=0)), ("deflate", zlib.compress(b"abcd")), ("identity", b"abcd")],
)
def test_compressed_answer(encoding: str, body: bytes) -> None:
    """An answer that a gateway compressed, though nobody asked for it, is unpacked."""
    assert infer(Answer(body=body, headers={"Content-Encoding": encoding})) == [b"abcd"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=(HEAD + b"Content-Length: 9\r\n\r\nabcd",)),
        Answer(raw=(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",)),
        Answer(raw=(b"SSH-2.0-OpenSSH_9.6\r\n",)),
        Answer(raw=(HEAD + b"Content-Length: 4\r\n",)),
        Answer(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
        Answer(body=b"abcd", headers={"Content-Encoding": "br"}),
        Answer(reset=True),
    ],
)
def test_broken_answers(answer: Answer) -> None:
    """Half an answer, or one that is not HTTP, is an error that names the endpoint, never a short answer."""
    with pytest.raises(InferenceError, match=r"the connection to Triton at http://127.0.0.1:\d+ broke: ") as caught:
        infer(answer)
    assert caught.value.status is None


def test_large_answer() -> None:
    """An answer of many megabytes arrives as it was sent."""
    body = bytes(range(256)) * 40_000
    assert infer(Answer(body=body), requests=2) == [body, body]


def test_connection_closed_between_requests() -> None:
    """A server that closes a connection after its answer costs no request."""
    answer = Answer(raw=(HEAD + b"Content-Length: 2\r\n\r\n{}",))
    assert infer(answer, requests=4, **{"max-retries": 1}) == [b"{}"] * 4


def metadata(*answers: Answer, **given_options: Any) -> Any:
    """Ask a server about its model."""

    async def run() -> Any:
        async with RecordingServer(*answers) as server:
            raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "max-retries": 1}
            async with TritonClient(parse_options(raw | given_options, "m")) as client:
                try:
                    return await client.served_model()
                finally:
                    await client.aclose()
                    await server.all_closed()

    return asyncio.run(run())


def test_served_model() -> None:
    """What the server says is put together: versions by number, the batch dimension, what is optional."""
    served = metadata(Answer(body=SERVER), Answer(body=METADATA), Answer(body=CONFIG), Answer(body=b""))
    assert (served.name, served.version, served.server_version) == ("m", "10", "2.51.0")
    assert (served.max_batch_size, served.batched, served.dynamic_batching) == (64, True, True)
    assert (served.decoupled, served.sequence_batching, served.binary_data) == (False, False, True)
    assert [(tensor.name, tensor.datatype, tensor.shape, tensor.optional) for tensor in served.inputs] == [
        ("X", "BYTES", (-1, 1), False),
        ("O", "FP32", (-1, 1), True),
    ]


def test_metadata_is_retried() -> None:
    """A hiccup while the model is checked is no failure."""
    ready = [Answer(body=SERVER), Answer(body=METADATA), Answer(body=CONFIG), Answer(body=b"")]
    assert metadata(Answer(503), ready[0], Answer(reset=True), *ready[1:]).version == "10"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            [Answer(404, b'{"error":"Request for unknown model"}')],
            "Triton at http://.* says: Request for unknown model",
        ),
        ([Answer(body=SERVER), Answer(401, b"who are you?")], "says: who are you"),
        ([Answer(body=b"<html>It works!</html>")], "is not JSON; is this a Triton server. It says: It works!"),
        ([Answer(body=b"[]")], "is this a Triton server"),
        ([Answer(503, b"starting")], "starting"),
        ([Answer(body=SERVER), Answer(body=METADATA), Answer(body=CONFIG), Answer(400, b"not ready")], "not ready"),
    ],
)
def test_metadata_errors(answers: list[Answer], words: str) -> None:
    """A server that does not know the model or the caller, or that is something else, is an error in its words."""
    with pytest.raises(InferenceError, match=words):
        metadata(*answers)
