"""HTTP/1.1 over asyncio for inference requests: one task, one connection, one answer.

A general HTTP client spends four to five times the processor time of this module on each request
(benchmarks/README.md), and the server wants that time. Errors are httpx's.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from dbt_triton.client.connection import Connection, LostServerError, StaleConnectionError
from dbt_triton.client.reply import METADATA_BYTES, Reply

__all__ = ["Http11Transport", "StaleConnectionError"]

_CLOSE_SECONDS = 1.0
#: OpenSSL's codes for a certificate of a CA that is not trusted, or of itself.
_UNKNOWN_CA = frozenset({18, 19, 20, 21})
#: How often overdue answers are looked for; more often where the timeout itself is short.
_SWEEP_SECONDS = 0.1
#: So many heads are kept: requests of texts have many lengths.
_MOST_HEADS = 256


class Http11Transport(httpx.AsyncBaseTransport):
    """A pool of connections to one server; also a transport for a client of httpx's.

    Args:
        base_url: scheme, host and port of the server.
        timeout: seconds for one request as a whole, from the connection to the end of the answer.
        connect_timeout: seconds for a connection, TLS included; by default no more than the request has.
        ssl_context: for https; by default what the system trusts.
        may_repeat: whether a POST that meets a stale connection may be sent once more, though the server may, in rare
            cases, have received it.
        max_bytes: how long the answer to a POST may be.
        address: to connect to, where the host has several. Host and certificate are those of the name all the same.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of the connections to one server
        self,
        base_url: str,
        *,
        timeout: float,
        connect_timeout: float | None = None,
        ssl_context: ssl.SSLContext | None = None,
        may_repeat: bool = True,
        max_bytes: int = 64 * 2**20,
        address: str | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._host = (parts.hostname or "").replace("%25", "%")  # the zone of an address, as RFC 6874 writes it
        self._address = address or self._host
        self._name_of_certificate = self._host if self._secure and address else None
        self._port = parts.port or (443 if self._secure else 80)
        self._authority = parts.netloc
        self._ssl = (ssl_context or ssl.create_default_context()) if self._secure else None
        self._may_repeat = may_repeat
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._connect_timeout = timeout if connect_timeout is None else connect_timeout
        self._sweep_seconds = min(timeout / 10, _SWEEP_SECONDS)
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._clock: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._keeps = True
        self._heads: dict[tuple[Any, ...], bytes] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one POST and return its whole answer.

        Raises:
            httpx.TransportError: no answer came, or it is not HTTP.
            httpx.DecodingError: its Content-Encoding cannot be undone.
            ResponseTooLargeError: it is longer than it may be.
        """
        return await self._send("POST", urlsplit(url).path, headers, body, self._max_bytes)

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Send one GET, whose answer is short; see `post`."""
        return await self._send("GET", urlsplit(url).path, headers, b"", METADATA_BYTES)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of httpx's; the answer is read whole."""
        body = await request.aread()
        skipped = {"host", "content-length", "connection", "transfer-encoding"}
        headers = {name: value for name, value in request.headers.items() if name not in skipped}
        reply = await self._send(request.method, request.url.raw_path.decode("ascii"), headers, body, self._max_bytes)
        given = {} if reply.retry_after is None else {"Retry-After": reply.retry_after}
        return httpx.Response(reply.status, headers=given, content=bytes(reply.content))

    def close_idle(self) -> None:
        """Close the connections that carry no request."""
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()

    async def aclose(self) -> None:
        """Close every connection, and wait until the server can see it."""
        self._closed = True
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        for end in (Connection.close, Connection.abort):
            connections = list(self._connections)
            for connection in connections:
                end(connection)
            if connections:
                await asyncio.wait([connection.closed for connection in connections], timeout=_CLOSE_SECONDS)

    async def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes, max_bytes: int) -> Reply:
        head = self._head(method, target, headers, len(body))
        self._loop = self._loop or asyncio.get_running_loop()
        deadline = self._loop.time() + self._timeout
        may_repeat = self._may_repeat or method != "POST"
        if not may_repeat and self._idle:
            await asyncio.sleep(0)  # a connection that was closed right after its last answer is seen to be
        connection = self._kept() or await self._connect(deadline)
        try:
            reply = await connection.request(head, body, deadline, max_bytes)
        except StaleConnectionError:
            if self._closed or not may_repeat:
                # With a server that closes after each answer, no request but the first would ever be answered.
                self._keeps = False
                self.close_idle()
                raise
            # As RFC 9112, 9.3.1 allows; a new connection cannot be stale, so this happens once.
            try:
                connection = await self._connect(deadline)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise LostServerError(str(error)) from error
            reply = await connection.request(head, body, deadline, max_bytes)
        if connection.usable and self._keeps:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def _head(self, method: str, target: str, headers: Mapping[str, str], length: int) -> bytes:
        """Return the request line and the headers; requests of one length share them."""
        key = (method, target, length, *headers.values(), *headers)
        head = self._heads.get(key)
        if head is None:
            lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            of_body = f"Content-Length: {length}\r\n" if length or method == "POST" else ""
            head = f"{method} {target} HTTP/1.1\r\nHost: {self._authority}\r\n{lines}{of_body}\r\n".encode()
            if len(self._heads) < _MOST_HEADS:
                self._heads[key] = head
        return head

    def _kept(self) -> Connection | None:
        """Return an idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _sweep(self) -> None:
        """Let answers that are overdue fail: one timer for all of them costs less than one for each."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self._connections:
            connection.expire(now)
        self._clock = loop.call_later(self._sweep_seconds, self._sweep)

    async def _connect(self, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        self._check_open()
        if self._clock is None:
            self._sweep()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._connect_timeout)):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._idle),
                    self._address,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._name_of_certificate,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("the time of the attempt is over") from error
        except (OSError, UnicodeError) as error:  # a host name that cannot be one is a UnicodeError
            raise httpx.ConnectError(_innermost(error)) from error
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        try:
            self._check_open()
        except httpx.ConnectError:
            connection.abort()
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise httpx.ConnectError("the client is closed")


def _innermost(error: Exception) -> str:
    """Say why a connection failed in the words of the system; asyncio adds addresses and its own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; tls-ca names the CA to trust" if error.verify_code in _UNKNOWN_CA else ""
        return f"its certificate is not trusted: {error.verify_message}{hint}"
    if isinstance(error, ssl.SSLError):
        return str(error)
    found = re.search(r"\[Errno (\d+)\]", str(error))
    of_connect = "Connect call failed" in str(error) or isinstance(error, ConnectionError)  # asyncio's, and uvloop's
    if isinstance(error, OSError) and (error.errno or found) and of_connect:
        return os.strerror(error.errno or int(found[1] if found else 0)).lower()
    return str(error) or "it was closed at once"
