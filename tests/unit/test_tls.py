import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from unit.raw_server import Peer, answer, echo, serving

from dbt_triton.client import TritonClient
from dbt_triton.errors import InferenceError
from dbt_triton.options import parse_options


@dataclass(frozen=True)
class Certificates:
    """A CA of this run, a context for a server with its certificate, and the files of the options."""

    authority: trustme.CA
    tls_ca: str
    tls_cert: str
    tls_key: str

    def server(self, *, name: str = "localhost", wants_client: bool = False) -> ssl.SSLContext:
        """Make a server that proves to be ``name``."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(name).configure_cert(context)
        if wants_client:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make a CA and a client's certificate."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    client = authority.issue_cert("dbt@example.org")
    paths = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    authority.cert_pem.write_to_path(str(paths[0]))
    client.cert_chain_pems[0].write_to_path(str(paths[1]))
    client.private_key_pem.write_to_path(str(paths[2]))
    return Certificates(authority, *(str(path) for path in paths))


def infer(
    context: ssl.SSLContext, handle: Callable[[Peer], Awaitable[object]] = echo, body: bytes = b"abc", **files: str
) -> bytes:
    """Send one request over TLS, and return the content of its answer."""

    async def run() -> bytes:
        async with serving(handle, context=context) as server:
            raw: dict[str, Any] = {"provider": "triton", "endpoint": f"https://localhost:{server.port}"}
            raw |= {"model-name": "m", "max-retries": 0} | {key.replace("_", "-"): path for key, path in files.items()}
            async with TritonClient(parse_options(raw, "m")) as client:
                content = bytes((await client.infer(body, None)).content)
            for peer in server.peers:
                await peer.has_ended()
            return content

    return asyncio.run(run())


@pytest.mark.parametrize("size", [3, 20_000_000])
def test_ca_that_is_named(certificates: Certificates, size: int) -> None:
    """A server whose certificate is of the CA in tls-ca is trusted, and 20 MB go both ways."""
    body = bytes(size)
    assert infer(certificates.server(), body=body, tls_ca=certificates.tls_ca) == body


def test_ca_that_is_not_known(certificates: Certificates) -> None:
    """A server of an unknown CA is refused, and the error says which option names the CA."""
    with pytest.raises(
        InferenceError,
        match=r"cannot connect to Triton at https://localhost:\d+: its certificate is not trusted: .*tls-ca",
    ):
        infer(certificates.server())


def test_certificate_of_another_host(certificates: Certificates) -> None:
    """A certificate for another host is refused, though its CA is known; no CA would help."""
    with pytest.raises(InferenceError, match="certificate is not trusted: Hostname mismatch") as caught:
        infer(certificates.server(name="other.example"), tls_ca=certificates.tls_ca)
    assert "tls-ca" not in str(caught.value)


def test_certificate_of_the_client(certificates: Certificates) -> None:
    """tls-cert is shown to a server that asks for it."""

    async def who(peer: Peer) -> None:
        await peer.request()
        subject = peer.writer.get_extra_info("peercert")["subjectAltName"]
        await peer.send(answer(repr(subject).encode()))
        await peer.until_closed()

    context = certificates.server(wants_client=True)
    ca, cert, key = certificates.tls_ca, certificates.tls_cert, certificates.tls_key
    assert infer(context, who, tls_ca=ca, tls_cert=cert, tls_key=key) == b"(('email', 'dbt@example.org'),)"


def test_no_certificate_of_the_client(certificates: Certificates) -> None:
    """A server that asks for a certificate and gets none ends the connection, which is an error, not a hang."""
    with pytest.raises(InferenceError, match=r"Triton at https://localhost:\d+"):
        infer(certificates.server(wants_client=True), tls_ca=certificates.tls_ca)


def test_plain_server(certificates: Certificates) -> None:
    """An https endpoint whose server speaks plain HTTP is an error that speaks of TLS; nothing is sent in the clear."""
    seen: list[bytes] = []

    async def plain(peer: Peer) -> None:
        seen.append(await peer.reader.read(65_536))
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async def run() -> None:
        async with serving(plain) as server:
            raw = {"provider": "triton", "endpoint": f"https://localhost:{server.port}", "model-name": "m"}
            raw |= {"max-retries": "0", "tls-ca": certificates.tls_ca}
            async with TritonClient(parse_options(raw, "m"), {"Authorization": "Bearer s3cret"}) as client:
                with pytest.raises(InferenceError, match=r"cannot connect to Triton at https://.*SSL"):
                    await client.infer(b"{}", None)

    asyncio.run(run())
    assert seen
    assert not [data for data in seen if b"s3cret" in data]
