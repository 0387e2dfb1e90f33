import asyncio
import base64
import logging
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
import trustme
from unit.http_proxy import proxying
from unit.http_server import Answer, RecordingServer
from unit.raw_server import PATIENCE_SECONDS, Peer, answer, echo, serving

from dbt_triton.client import TritonClient
from dbt_triton.errors import ConfigurationError, InferenceError
from dbt_triton.options import parse_options


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the machine's own environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def client_for(endpoint: str, **more: Any) -> TritonClient:
    """Open a client."""
    raw = {"provider": "triton", "endpoint": endpoint, "model-name": "m", "max-retries": 0}
    return TritonClient(parse_options(raw | {key.replace("_", "-"): value for key, value in more.items()}, "m"))


@pytest.mark.parametrize(
    ("no_proxy", "is_used"),
    [(None, True), ("other.example", True), ("127.0.0.1", False), ("other.example, 127.0.0.1", False), ("*", False)],
)
def test_http_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str | None, *, is_used: bool) -> None:
    """HTTP_PROXY carries every request to the endpoint, unless NO_PROXY names its host."""

    async def run() -> None:
        async with RecordingServer(Answer(body=b'{"name":"x"}')) as server, proxying() as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
            if no_proxy is not None:
                monkeypatch.setenv("NO_PROXY", no_proxy)
            async with client_for(server.url) as client:
                assert bytes((await client.infer(b"abc", 3)).content) == b'{"name":"x"}'
                await client.served_model()
            infer, *others = server.received
            assert (infer.path, infer.body, len(others)) == ("/v2/models/m/infer", b"abc", 4)
            assert infer.headers("Inference-Header-Content-Length") == ["3"]
            asked = [head.split(b"\r\n")[0] for peer in proxy.peers for head in peer.heads]
            assert bool(asked) is is_used
            if is_used:
                assert asked[0] == f"POST {server.url}/v2/models/m/infer HTTP/1.1".encode()
                assert b"Proxy-Authorization: Basic" in proxy.peers[0].heads[0]

    asyncio.run(run())


def test_https_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HTTPS_PROXY carries https as a tunnel: the proxy sees the host, and nothing of the requests."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def run() -> None:
        async with serving(echo, context=context) as server, proxying() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
            async with client_for(f"https://localhost:{server.port}", tls_ca=str(tmp_path / "ca.pem")) as client:
                assert bytes((await client.infer(b"abc", None)).content) == b"abc"
            (head,) = [head for peer in proxy.peers for head in peer.heads]
            assert head.startswith(f"CONNECT localhost:{server.port} HTTP/1.1".encode())
            assert b"infer" not in head

    asyncio.run(run())


def test_many_requests_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is no limit on the requests in flight: 150 are with the server at once."""
    arrived = 0
    everyone = asyncio.Event()

    async def together(peer: Peer) -> None:
        nonlocal arrived
        await peer.request()
        arrived += 1
        if arrived == 150:
            everyone.set()
        await everyone.wait()
        await peer.send(answer(b"ok"))
        await peer.until_closed()

    async def run() -> None:
        async with serving(together) as server, proxying() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            async with client_for(server.url, timeout=f"{PATIENCE_SECONDS}s") as client:
                replies = await asyncio.gather(*(client.infer(b"{}", None) for _ in range(150)))
        assert {bytes(reply.content) for reply in replies} == {b"ok"}

    asyncio.run(run())


@pytest.mark.parametrize(
    "proxy",
    [
        "ftp://127.0.0.1:1",
        "http://127.0.0.1:s3cret",
        "http://u:1234/s3cret@host",
        "http://u:1?s3cret@host",
        "u:1/s3cret@h",
    ],
)
def test_unusable_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy that cannot be used is an error of the configuration that says so."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="the proxy of the environment cannot be used") as caught:
        client_for("http://triton.example:8000")
    assert "s3cret" not in str(caught.value)


def test_words_of_a_proxy(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What a proxy says, in its status or in a header, shows no password of it, in errors as in logs of any level."""
    caplog.set_level(logging.DEBUG)

    async def refuse(peer: Peer) -> None:
        head = (await peer.head()).decode()
        credential = head.partition("Basic ")[2].partition("\r\n")[0]
        status = (
            f"HTTP/1.1 407 {credential} is user:s3cret-pass\r\nX-Sent: {credential}\r\nbad header {credential}\r\n\r\n"
        )
        await peer.send(status.encode())

    async def run(scheme: str) -> str:
        async with serving(refuse) as proxy:
            monkeypatch.setenv(f"{scheme}_proxy", f"http://user:s3cret-pass@127.0.0.1:{proxy.port}")
            async with client_for(f"{scheme}://triton.example") as client:
                with pytest.raises(InferenceError) as caught:
                    await client.infer(b"{}", None)
            return "".join(traceback.format_exception(caught.value))

    for scheme in ("http", "https"):
        said = asyncio.run(run(scheme)) + caplog.text
        assert "s3cret-pass" not in said
        assert base64.b64encode(b"user:s3cret-pass").decode() not in said
