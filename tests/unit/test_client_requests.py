import asyncio
import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from unit.http_server import Answer, Received, RecordingServer

from dbt_triton.client import TritonClient
from dbt_triton.credentials import request_headers
from dbt_triton.engine import Engine, FailedRows
from dbt_triton.errors import ConfigurationError
from dbt_triton.options import Options, parse_options
from dbt_triton.tensors import RequestFormat, TensorSpec, datatype_of_sql

BODY = json.dumps({"inputs": [{"name": "X", "shape": [1], "datatype": "BYTES", "data": ["好 " * 400]}]}).encode()


def options_for(endpoint: str, **given_options: Any) -> Options:
    """Parse options written with underscores, added to the required ones."""
    required = {"provider": "triton", "endpoint": endpoint, "model-name": "text-classification"}
    return parse_options(required | {key.replace("_", "-"): value for key, value in given_options.items()}, "m")


def sent(body: bytes = BODY, header_length: int | None = None, **given_options: Any) -> Received:
    """Send one inference request to a real server, and return what arrived there."""

    async def run() -> Received:
        async with RecordingServer() as server:
            options = options_for(server.url + given_options.pop("prefix", ""), **given_options)
            async with TritonClient(options, request_headers(options, "m")) as client:
                await client.infer(body, header_length)
            await server.all_closed()
            (received,) = server.received
            return received

    return asyncio.run(run())


def test_plain_request() -> None:
    """A request is one POST with the body as it was made, its length, and no coding that was not asked for."""
    received = sent()
    assert (received.method, received.body) == ("POST", BODY)
    assert received.headers("Content-Length") == [str(len(BODY))]
    assert received.headers("Accept-Encoding") == ["identity"]
    assert received.headers("Content-Encoding") == received.headers("Authorization") == []
    assert received.headers("Inference-Header-Content-Length") == []


@pytest.mark.parametrize(
    ("given_options", "path"),
    [
        ({}, "/v2/models/text-classification/infer"),
        ({"model_version": "latest"}, "/v2/models/text-classification/infer"),
        ({"model_version": "7"}, "/v2/models/text-classification/versions/7/infer"),
        ({"prefix": "/v2/models/"}, "/v2/models/text-classification/infer"),
        ({"prefix": "/team/v2"}, "/team/v2/models/text-classification/infer"),
        ({"model_name": "a.b~!$&'()*+,;=:@1"}, "/v2/models/a.b~!$&'()*+,;=:@1/infer"),
    ],
)
def test_url(given_options: dict[str, Any], path: str) -> None:
    """`latest` is the URL without a version, a number is /versions/N, and a name is sent as it is."""
    assert sent(**given_options).path == path


def test_gzip() -> None:
    """With gzip the body is gzip, shorter, and says so; unpacked it is the same request."""
    received = sent(compression="gzip")
    assert received.headers("Content-Encoding") == ["gzip"]
    assert received.headers("Content-Length") == [str(len(received.body))]
    assert len(received.body) < len(BODY) / 2
    assert gzip.decompress(received.body) == BODY


def test_deflate() -> None:
    """With deflate the body has zlib's frame, as RFC 9110 wants and Triton reads; unpacked it is the same request."""
    received = sent(compression="deflate")
    assert received.headers("Content-Encoding") == ["deflate"]
    assert len(received.body) < len(BODY) / 2
    assert zlib.decompress(received.body, wbits=15) == BODY


def test_binary_header_length() -> None:
    """A binary request says how long its JSON header is, before it was compressed too."""
    for compression in ("none", "gzip"):
        received = sent(b'{"inputs":[]}\x00\x01', 13, compression=compression)
        assert received.headers("Inference-Header-Content-Length") == ["13"]


@pytest.mark.parametrize("token", ["x1", "Bearer x1", "${DBT_TRITON_TEST}"])
def test_token(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """The Authorization header is sent once, with Bearer once."""
    monkeypatch.setenv("DBT_TRITON_TEST", "Bearer x1")
    assert sent(auth_token=token).headers("Authorization") == ["Bearer x1"]


def test_custom_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every custom header arrives once, as it was written, with variables read."""
    monkeypatch.setenv("DBT_TRITON_TEST", "from the environment")
    headers = {"X-Team": "reviews", "X-Env": "${DBT_TRITON_TEST}", "Authorization": "Basic abc", "Accept": "x/y"}
    received = sent(custom_headers=json.dumps(headers))
    expected = [["reviews"], ["from the environment"], ["Basic abc"], ["x/y"]]
    assert [received.headers(name) for name in headers] == expected


def test_headers_of_metadata_requests() -> None:
    """Metadata requests carry the token and the headers as well: a gateway asks for them everywhere."""

    async def run() -> list[Received]:
        async with RecordingServer() as server:
            options = options_for(server.url, auth_token="x1", custom_headers={"X-Team": "reviews"}, model_version=2)  # noqa: S106
            async with TritonClient(options, request_headers(options, "m")) as client:
                await client.served_model()
            await server.all_closed()
            return server.received

    received = asyncio.run(run())
    model = "/v2/models/text-classification/versions/2"
    assert [request.path for request in received] == ["/v2", model, f"{model}/config", f"{model}/ready"]
    for request in received:
        assert (request.headers("Authorization"), request.headers("X-Team")) == (["Bearer x1"], ["reviews"])


class _Nowhere:
    """A sink that keeps nothing."""

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
        pass

    def failures(self, failed: Sequence[FailedRows]) -> None:
        pass


def _wire_parameters(rows: int, parameters: dict[str, Any] | None = None, **given_options: Any) -> list[Any]:
    """Send rows one by one through an engine, and return each request's `parameters` in the order of arrival."""
    found = datatype_of_sql("STRING")
    assert found is not None
    tensor = TensorSpec("x", "X", found[0], (1,))

    def answer(_: Received) -> Answer:
        output = {"name": "X", "datatype": "BYTES", "shape": [1, 1], "data": ["y"]}
        return Answer(body=json.dumps({"outputs": [output]}).encode())

    async def run() -> list[Any]:
        async with RecordingServer(answer) as server:
            async with TritonClient(options_for(server.url, **given_options)) as client:
                form = RequestFormat([tensor], [tensor], binary=False, batched=True, parameters=parameters)
                engine = Engine(client, form, batch_size=1, key_columns=1, sink=_Nowhere())
                texts = [str(number) for number in range(rows)]
                await engine.run([pa.record_batch({"key": range(rows), "x": texts})])
            await server.all_closed()
            bodies = [json.loads(request.body) for request in server.received]
            if given_options.get("sequence_id"):
                assert [body["inputs"][0]["data"] for body in bodies] == [[text] for text in texts]
            return [body.get("parameters") for body in bodies]

    return asyncio.run(run())


def test_priority() -> None:
    """A priority stands in the body's `parameters`, as a number; without one there are no parameters."""
    assert _wire_parameters(2, {"priority": 1}) == [{"priority": 1}] * 2
    assert _wire_parameters(1) == [None]


@pytest.mark.parametrize(("written", "wire"), [("seq-1", "seq-1"), ("42", 42)])
def test_sequence(written: str, wire: object) -> None:
    """The rows of a sequence go in order under one id, with start on the first and end on the last."""
    parameters = _wire_parameters(3, sequence_id=written, sequence_start="true", sequence_end="true")
    assert [found["sequence_id"] for found in parameters] == [wire] * 3
    assert [found["sequence_start"] for found in parameters] == [True, False, False]
    assert [found["sequence_end"] for found in parameters] == [False, False, True]


def test_open_ended_sequence() -> None:
    """Without sequence-start and sequence-end, a run goes on with a sequence and leaves it open."""
    parameters = _wire_parameters(2, sequence_id="s")
    assert {(found["sequence_start"], found["sequence_end"]) for found in parameters} == {(False, False)}


def test_connections_are_kept() -> None:
    """Requests one after the other use one connection."""

    async def run() -> int:
        async with RecordingServer() as server, TritonClient(options_for(server.url)) as client:
            for _ in range(5):
                await client.infer(BODY, None)
            return server.connections

    assert asyncio.run(run()) == 1


def test_transport_of_the_caller() -> None:
    """Any httpx transport can carry the requests; httpx.MockTransport needs no server at all."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"abcd", headers={"Inference-Header-Content-Length": "2"})

    async def run() -> None:
        options = options_for("http://nowhere.invalid", compression="gzip")
        async with TritonClient(options, {"X-Key": "k"}, httpx.MockTransport(handle)) as client:
            reply = await client.infer(BODY, 5)
            assert (reply.status, bytes(reply.content), reply.header_length) == (200, b"abcd", 2)
            assert (client.stats.requests, client.stats.retries, client.stats.bytes_received) == (1, 0, 4)

    asyncio.run(run())
    (request,) = seen
    assert gzip.decompress(request.content) == BODY
    assert request.headers["X-Key"] == "k"
    assert request.headers["Inference-Header-Content-Length"] == "5"


def test_unusable_tls_files(tmp_path: Path) -> None:
    """A TLS file that is missing or holds something else is an error that names the option or the file."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("this is no certificate")
    with pytest.raises(ConfigurationError, match=r"tls-ca: .*missing\.pem cannot be read"):
        TritonClient(options_for("https://h", tls_ca=str(tmp_path / "missing.pem")))
    with pytest.raises(ConfigurationError, match="TLS files cannot be used"):
        TritonClient(options_for("https://h", tls_cert=str(wrong), tls_key=str(wrong)))
