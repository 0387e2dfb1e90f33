"""What carries the requests: our own HTTP/1.1, or a transport of httpx's where there is a proxy. Errors are httpx's.

httpx's own transport is 10 to 20 times too slow with 32 requests in flight (benchmarks/README.md). Transports are used
without ``httpx.AsyncClient``: it would keep cookies, log what a server calls its statuses, and unpack without a bound.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

import httpx

from dbt_triton.client.http11 import Http11Transport
from dbt_triton.client.open_files import allow_connections
from dbt_triton.client.reply import (
    ERROR_BYTES,
    EVENT_STREAM,
    HEADER_LENGTH,
    METADATA_BYTES,
    Reply,
    ResponseTooLargeError,
    decoded,
    header_length_of,
)
from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import HarmlessRecords, remember_userinfo, shown
from dbt_triton.options import Options

for _name in ("connection", "proxy", "http11", "http2", "socks"):
    logging.getLogger(f"httpcore.{_name}").addFilter(HarmlessRecords())

#: How many requests are in flight is the engine's business: one that waited for a connection would time out.
_NO_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


class Transport(Protocol):
    """What the client needs: requests that return the whole answer, each of a bounded size and time, and a close."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request for inference; raises ``httpx.RequestError`` when no answer came."""
        ...

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Ask for what the server says of itself or a model; raises as `post` does."""
        ...

    def close_idle(self) -> None:
        """Close the connections that carry no request: one of them is out of step."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class HttpxTransportAdapter:
    """Any transport of httpx (its own, ``httpx.MockTransport``, one of the user's), behind the same interface."""

    def __init__(self, transport: httpx.AsyncBaseTransport, options: Options, *, max_bytes: int) -> None:
        self._transport = transport
        self._seconds = options.timeout / 1000
        # The attempt as a whole is timed here.
        self._extensions = {"timeout": httpx.Timeout(None, connect=connect_seconds(options)).as_dict()}
        self._max_bytes = max_bytes

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request; see `Transport.post`."""
        request = httpx.Request("POST", url, headers=dict(headers), content=body, extensions=self._extensions)
        return await self._send(request, self._max_bytes)

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Send one request; see `Transport.get`."""
        request = httpx.Request("GET", url, headers=dict(headers), extensions=self._extensions)
        return await self._send(request, METADATA_BYTES)

    async def _send(self, request: httpx.Request, max_bytes: int) -> Reply:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds

        def check_time() -> None:
            if loop.time() >= deadline:
                raise httpx.ReadTimeout("the time of the attempt is over")

        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.handle_async_request(request)
                content_type = response.headers.get("Content-Type", "").encode()
                is_error = response.status_code != httpx.codes.OK
                limit = min(max_bytes, ERROR_BYTES) if is_error else max_bytes
                try:
                    body, cut = await _body(response, limit, cut=is_error)
                    _refuse_endless(response, content_type)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise httpx.ReadTimeout("the time of the attempt is over") from error
        encoding = response.headers.get("Content-Encoding", "").strip().lower().encode()
        return Reply(
            response.status_code,
            decoded(body, encoding, limit=limit, cut=is_error, check_time=check_time),
            header_length_of(response.headers.get(HEADER_LENGTH, "").encode()),
            response.headers.get("Retry-After"),
            cut,
            content_type,
        )

    def close_idle(self) -> None:
        """Leave it to httpx, which closes a connection on which more comes than was asked for."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


def _refuse_endless(response: httpx.Response, content_type: bytes) -> None:
    """Refuse events whose end nothing tells from a connection that broke.

    Raises:
        httpx.ReadError: they have neither a last chunk nor a length.
    """
    framed = {"transfer-encoding", "content-length"} & {name.lower() for name in response.headers}
    if content_type.lower().startswith(EVENT_STREAM) and not framed and response.http_version != "HTTP/2":
        raise httpx.ReadError("the answer is a stream of events without an end")


async def _body(response: httpx.Response, limit: int, *, cut: bool) -> tuple[bytes, bool]:
    """Read a body as it is on the wire. Returns its beginning, and True, where that is enough.

    Raises:
        ResponseTooLargeError: it is longer, and its beginning is not enough.
    """
    body = bytearray()
    async for piece in cast("httpx.AsyncByteStream", response.stream):
        body += piece
        if len(body) > limit and cut:
            return bytes(body[:limit]), True
        if len(body) > limit:
            raise ResponseTooLargeError(f"it has more than {limit:,} bytes")
    return bytes(body), False


def open_transport(options: Options, max_bytes: int, connections: int = 0, *, address: str | None = None) -> Transport:
    """Make the transport of a client.

    Args:
        options: of the model.
        max_bytes: how long the answer to a request for inference may be.
        connections: how many there may be, where the options do not say.
        address: to connect to, in place of any that the host of the endpoint has.

    Where the environment names a proxy for the endpoint (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``), httpx's own
    transport is used, which can talk to one.

    Raises:
        ConfigurationError: a TLS file cannot be read, or holds no usable certificate or key; or the proxy is of a
            kind that httpx does not know.
    """
    allow_connections(max(options.max_concurrent_operations or 0, connections))
    context = _ssl_context(options) if options.endpoint.startswith("https:") else None
    proxy = proxy_of(options.endpoint)
    if proxy is not None:
        remember_userinfo(proxy)
        try:
            _check_proxy(proxy)
            through = httpx.AsyncHTTPTransport(proxy=proxy, verify=context or True, limits=_NO_LIMITS)
        except (ValueError, ImportError, httpx.InvalidURL):  # whose texts may hold parts of a password
            problem = "the proxy of the environment cannot be used; write http://host:port, or use NO_PROXY"
            raise ConfigurationError([problem], options.endpoint) from None
        return HttpxTransportAdapter(through, options, max_bytes=max_bytes)
    return Http11Transport(
        options.endpoint,
        timeout=options.timeout / 1000,
        connect_timeout=connect_seconds(options),
        ssl_context=context,
        may_repeat=not options.in_sequence,
        max_bytes=max_bytes,
        address=address,
    )


def _check_proxy(proxy: str) -> None:
    """Refuse a proxy whose password, with a slash in it that is not escaped, would be taken for a host and a path.

    Raises:
        ValueError: without its text.
    """
    parts = urlsplit(proxy)
    if parts.path.strip("/") or parts.query or parts.fragment or not parts.hostname:
        raise ValueError("it has more than a host and a port")


def connect_seconds(options: Options) -> float:
    """Return how long a connection may take, TLS included: no longer than the attempt."""
    return min(options.connection_timeout or options.timeout, options.timeout) / 1000


def proxy_of(endpoint: str) -> str | None:
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
            context.load_verify_locations(_path(options.tls_ca))
        if options.tls_cert is not None and options.tls_key is not None:
            context.load_cert_chain(_path(options.tls_cert), _path(options.tls_key))
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError([f"the TLS files cannot be used: {shown(error)}"], options.endpoint) from error
    return context


def _check_readable(path: str, option: str) -> None:
    try:
        with _path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError([f"{option}: {path} cannot be read: {error.strerror}"], "TLS") from error
    except RuntimeError:  # of expanduser
        problem = f"{option}: {path} names the home of a user that this machine does not have; write the whole path"
        raise ConfigurationError([problem], "TLS") from None


def _path(path: str) -> Path:
    return Path(path).expanduser()
