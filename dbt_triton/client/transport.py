"""What carries the requests: httpx's interface, over the Rust client pyreqwest.

httpx's own transport is 10 to 20 times too slow with 32 requests in flight (benchmarks/README.md), and building
httpx's request and response objects costs as much again, so inference requests go to the transport directly.
Errors are httpx's everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import httpx
from pyreqwest.client import ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from pyreqwest.exceptions import (
    ConnectError,
    ConnectTimeoutError,
    DecodeError,
    PyreqwestError,
    ReadError,
    RequestTimeoutError,
    TransportError,
    WriteError,
)

from dbt_triton.errors import ConfigurationError
from dbt_triton.options import Options

HEADER_LENGTH = "Inference-Header-Content-Length"
_HTTPX_ERRORS: tuple[tuple[type[PyreqwestError], type[httpx.RequestError]], ...] = (
    (ConnectTimeoutError, httpx.ConnectTimeout),
    (ConnectError, httpx.ConnectError),
    (RequestTimeoutError, httpx.ReadTimeout),
    (WriteError, httpx.WriteError),
    (ReadError, httpx.ReadError),
    (DecodeError, httpx.DecodingError),
    (TransportError, httpx.NetworkError),
)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, whatever its status. ``header_length`` is that of a binary inference answer."""

    status: int
    content: bytes | memoryview
    header_length: int | None
    retry_after: str | None


class Transport(Protocol):
    """What the client needs for inference: one POST that returns the whole answer, and a close."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request; raises ``httpx.RequestError`` when no answer came."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class PyreqwestTransport(HttpxTransport):
    """An httpx transport with a direct way for inference requests.

    Args:
        options: the timeout of an attempt and the TLS files are taken from it.
        connections: how many connections are kept open.
    """

    def __init__(self, options: Options, *, connections: int = 256) -> None:
        self.timeout = timedelta(milliseconds=options.timeout)
        builder = (
            ClientBuilder()
            .timeout(self.timeout)
            .follow_redirects(enable=False)
            .pool_max_idle_per_host(connections)
            .user_agent("dbt-triton")
        )
        if options.tls_ca is not None:
            builder = builder.add_root_certificate_pem(_read(options.tls_ca, "tls-ca"))
        if options.tls_cert is not None and options.tls_key is not None:
            identity = _read(options.tls_cert, "tls-cert") + b"\n" + _read(options.tls_key, "tls-key")
            builder = builder.identity_pem(identity)
        try:
            client = builder.build()
        except (PyreqwestError, ValueError) as error:
            raise ConfigurationError([f"the TLS files cannot be used: {error}"], options.endpoint) from error
        super().__init__(client)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request; see `Transport.post`."""
        try:
            response = await self._client.post(url).headers(headers).body_bytes(body).build().send()
            content = await response.bytes()
        except PyreqwestError as error:
            raise _httpx_error(error, url) from error
        length = response.get_header(HEADER_LENGTH)
        return Reply(
            response.status,
            memoryview(content),
            int(length) if length is not None and length.isdigit() else None,
            response.get_header("Retry-After"),
        )


class HttpxTransportAdapter:
    """Any other httpx transport (``httpx.MockTransport``, one of the user's own), behind the same interface."""

    def __init__(self, transport: httpx.AsyncBaseTransport, options: Options) -> None:
        self._client = httpx.AsyncClient(transport=transport, timeout=None)  # noqa: S113 - the whole attempt is timed
        self._seconds = options.timeout / 1000

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request; see `Transport.post`."""
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._client.post(url, headers=dict(headers), content=body)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the time of the attempt is over") from error
        length = response.headers.get(HEADER_LENGTH, "")
        return Reply(
            response.status_code,
            response.content,
            int(length) if length.isdigit() else None,
            response.headers.get("Retry-After"),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _read(path: str, option: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{option}: {path} cannot be read: {error.strerror}"], "TLS") from error


def _httpx_error(error: PyreqwestError, url: str) -> httpx.RequestError:
    """Name the failure as httpx does, with the innermost cause as its text."""
    kind = next((ours for theirs, ours in _HTTPX_ERRORS if isinstance(error, theirs)), httpx.NetworkError)
    details = getattr(error, "details", None) or {}
    causes = details.get("causes") or []
    text = str(causes[-1].get("message", error)) if causes else str(error)
    return kind(text, request=httpx.Request("POST", url))
