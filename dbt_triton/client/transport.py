"""What carries the requests: httpx's interface, over our own HTTP/1.1 for inference.

httpx's own transport is 10 to 20 times too slow with 32 requests in flight (benchmarks/README.md), and building httpx's
request and response objects costs as much again, so inference requests go to the transport directly. Errors are httpx's
everywhere.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from dbt_triton.client.http11 import Http11Transport
from dbt_triton.client.reply import HEADER_LENGTH, Reply
from dbt_triton.errors import ConfigurationError
from dbt_triton.options import Options

#: How many requests are in flight is the engine's business: one that waited for a connection would time out.
_NO_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


class Transport(Protocol):
    """What the client needs for inference: one POST that returns the whole answer, and a close."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request; raises ``httpx.RequestError`` when no answer came."""
        ...

    def close_idle(self) -> None:
        """Close the connections that carry no request: one of them is out of step."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class HttpxTransportAdapter:
    """Any other httpx transport (``httpx.MockTransport``, one of the user's own), behind the same interface."""

    def __init__(self, transport: httpx.AsyncBaseTransport, options: Options) -> None:
        # The attempt as a whole is timed here.
        timeout = httpx.Timeout(None, connect=connect_seconds(options))
        self._client = httpx.AsyncClient(transport=transport, timeout=timeout)
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

    def close_idle(self) -> None:
        """Leave it to httpx, which closes a connection on which more comes than was asked for."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def open_transport(options: Options) -> tuple[httpx.AsyncBaseTransport, Transport]:
    """Make the transport of a client: for httpx, and for inference.

    Where the environment names a proxy for the endpoint (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``), httpx's own
    transport is used, which can talk to one.

    Raises:
        ConfigurationError: a TLS file cannot be read, or holds no usable certificate or key; or the proxy is of a
            kind that httpx does not know.
    """
    context = _ssl_context(options) if options.endpoint.startswith("https:") else None
    proxy = _proxy_of(options.endpoint)
    if proxy is not None:
        try:
            through = httpx.AsyncHTTPTransport(proxy=proxy, verify=context or True, limits=_NO_LIMITS)
        except (ValueError, ImportError, httpx.InvalidURL):  # whose texts may hold parts of a password
            problem = "the proxy of the environment cannot be used; write http://host:port, or use NO_PROXY"
            raise ConfigurationError([problem], options.endpoint) from None
        return through, HttpxTransportAdapter(through, options)
    own = Http11Transport(
        options.endpoint,
        timeout=options.timeout / 1000,
        connect_timeout=connect_seconds(options),
        ssl_context=context,
        may_repeat=not options.in_sequence,
    )
    return own, own


def connect_seconds(options: Options) -> float:
    """Return how long a connection may take, TLS included: no longer than the attempt."""
    return min(options.connection_timeout or options.timeout, options.timeout) / 1000


def _proxy_of(endpoint: str) -> str | None:
    """Return the proxy that the environment names for an endpoint."""
    parts = urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _ssl_context(options: Options) -> ssl.SSLContext:
    """Trust what the system and certifi trust, and ``tls-ca``; show ``tls-cert``."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    for path, option in ((options.tls_ca, "tls-ca"), (options.tls_cert, "tls-cert"), (options.tls_key, "tls-key")):
        if path is not None:
            _check_readable(path, option)
    try:
        if options.tls_ca is not None:
            context.load_verify_locations(Path(options.tls_ca).expanduser())
        if options.tls_cert is not None and options.tls_key is not None:
            context.load_cert_chain(Path(options.tls_cert).expanduser(), Path(options.tls_key).expanduser())
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError([f"the TLS files cannot be used: {error}"], options.endpoint) from error
    return context


def _check_readable(path: str, option: str) -> None:
    try:
        with Path(path).expanduser().open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError([f"{option}: {path} cannot be read: {error.strerror}"], "TLS") from error
