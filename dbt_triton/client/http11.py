"""HTTP/1.1 over asyncio for inference requests: one task, one connection, one answer.

A general HTTP client spends four to five times the processor time of this module on each request
(benchmarks/README.md), and the server wants that time. Responses are parsed by httptools (llhttp, the parser of
Node.js); errors are httpx's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
import httpx

from dbt_triton.client.reply import HEADER_LENGTH, Reply, decoded

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
_INFORMATIONAL = range(100, 200)
_NO_BODY = frozenset({204, 304})
_CLOSE_SECONDS = 1.0
#: OpenSSL's codes for a certificate of a CA that is not trusted, or of itself.
_UNKNOWN_CA = frozenset({18, 19, 20, 21})
#: How often overdue answers are looked for; more often where the timeout itself is short.
_SWEEP_SECONDS = 0.1
#: A longer body is written by itself, rather than copied behind its head.
_COPIED_BYTES = 65_536


class StaleConnectionError(httpx.ReadError):
    """A kept connection ended before a byte of an answer: the server most likely had closed it while it was idle."""


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, idle: list[Connection]) -> None:
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._deadline = 0.0
        self._was_used = False
        # Kept, since asking for the running loop is a system call on Python 3.11 (getpid).
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        # It goes on from one answer to the next by itself.
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    def _reset(self) -> None:
        self._body: list[bytes] = []
        self._header_length: int | None = None
        self._retry_after: str | None = None
        self._encoding = b""
        self._until_close = False
        self._has_length = False
        self._started = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent over it."""
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, head: bytes, body: bytes, deadline: float) -> Reply:
        """Send a request and wait for its whole answer.

        Args:
            head: request line and headers.
            body: the body, as long as the headers say.
            deadline: on the loop's clock, when the answer must be whole.

        Raises:
            StaleConnectionError: the connection carried a request before, and broke before an answer to this one.
            httpx.TransportError: the connection broke, the answer is not HTTP, or the time is over.
        """
        if self._transport is None:
            raise httpx.WriteError("the connection is closed")
        self._answer = self._loop.create_future()
        self._deadline = deadline
        if len(body) <= _COPIED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        try:
            return await self._answer
        except BaseException:
            # Also when the attempt is over or the task is cancelled: a late answer must not meet the next request.
            self.abort()
            raise
        finally:
            self._answer = None

    def expire(self, now: float) -> None:
        """Give up waiting if the deadline has passed."""
        if self._answer is not None and now >= self._deadline:
            self._fail(httpx.ReadTimeout("the time of the attempt is over"))

    def abort(self) -> None:
        """Close the connection without waiting for what is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection in order."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse a piece of the answer; called by asyncio."""
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"the answer is not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End what waits for an answer; called by asyncio."""
        self._transport = None
        with contextlib.suppress(ValueError):
            self._idle.remove(self)
        if self._until_close and exc is None and self._answer is not None and not self._answer.done():
            self._complete()
        else:
            what = "in the middle of its answer" if self._started else "without an answer"
            kind = StaleConnectionError if self._was_used and not self._started else httpx.ReadError
            self._fail(kind(f"the server closed the connection {what}" + (f" ({exc})" if exc else "")))
        if not self.closed.done():
            self.closed.set_result(None)

    def on_message_begin(self) -> None:
        """Note that an answer has begun; called by the parser."""
        if self._answer is None or self._answer.done():
            self.abort()  # a second answer to one request
        self._started = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that matter; called by the parser."""
        name = name.lower()
        if name == b"content-length":
            self._has_length = True
        elif name == _HEADER_LENGTH:
            self._header_length = int(value) if value.isdigit() else None
        elif name == b"transfer-encoding":
            self._has_length = self._has_length or b"chunked" in value.lower()
        elif name == b"content-encoding":
            self._encoding = value.strip().lower()
        elif name == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Find out how the answer ends; called by the parser."""
        status = self._parser.get_status_code()
        self._until_close = not self._has_length and status not in _NO_BODY and status not in _INFORMATIONAL

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body; called by the parser."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Hand the answer over; called by the parser."""
        if self._parser.get_status_code() in _INFORMATIONAL:
            self._reset()  # another answer follows
            self._started = True
            return
        self._complete()

    def _complete(self) -> None:
        answer, parser, transport = self._answer, self._parser, self._transport
        if answer is None or answer.done():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        try:
            content = decoded(body, self._encoding)
        except httpx.DecodingError as error:
            answer.set_exception(error)
            return
        answer.set_result(Reply(parser.get_status_code(), memoryview(content), self._header_length, self._retry_after))
        if transport is not None and transport.get_write_buffer_size():
            self.abort()  # the server answered before it read the body, and may never read the rest of it
        elif not parser.should_keep_alive():
            self.close()
        self._was_used = True
        self._reset()

    def _fail(self, error: httpx.TransportError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Http11Transport(httpx.AsyncBaseTransport):
    """A pool of connections to one server; also an httpx transport, for the few requests that are no inference.

    Args:
        base_url: scheme, host and port of the server.
        timeout: seconds for one request as a whole, from the connection to the end of the answer.
        connect_timeout: seconds for a connection, TLS included; by default no more than the request has.
        ssl_context: for https; by default what the system trusts.
        may_repeat: whether a POST that meets a stale connection may be sent once more, though the server may, in rare
            cases, have received it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        connect_timeout: float | None = None,
        ssl_context: ssl.SSLContext | None = None,
        may_repeat: bool = True,
    ) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._authority = parts.netloc
        self._ssl = (ssl_context or ssl.create_default_context()) if self._secure else None
        self._may_repeat = may_repeat
        self._timeout = timeout
        self._connect_timeout = timeout if connect_timeout is None else connect_timeout
        self._sweep_seconds = min(timeout / 10, _SWEEP_SECONDS)
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._clock: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one POST and return its whole answer.

        Raises:
            httpx.TransportError: no answer came, or it is not HTTP.
            httpx.DecodingError: its Content-Encoding cannot be undone.
        """
        return await self._send("POST", urlsplit(url).path, headers, body)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of httpx's; the answer is read whole."""
        body = await request.aread()
        skipped = {"host", "content-length", "connection", "transfer-encoding"}
        headers = {name: value for name, value in request.headers.items() if name not in skipped}
        reply = await self._send(request.method, request.url.raw_path.decode("ascii"), headers, body)
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

    async def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._authority}\r\n{lines}{length}\r\n"
        self._loop = self._loop or asyncio.get_running_loop()
        deadline = self._loop.time() + self._timeout
        connection = self._kept() or await self._connect(deadline)
        try:
            reply = await connection.request(head.encode(), body, deadline)
        except StaleConnectionError:
            if self._closed or (method == "POST" and not self._may_repeat):
                raise
            # As RFC 9112, 9.3.1 allows; a new connection cannot be stale, so this happens once.
            connection = await self._connect(deadline)
            reply = await connection.request(head.encode(), body, deadline)
        if connection.usable:
            self._idle.append(connection)
        return reply

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
                    lambda: Connection(self._idle), self._host, self._port, ssl=self._ssl
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
    if isinstance(error, OSError) and (error.errno or found) and "Connect call failed" in str(error):
        return os.strerror(error.errno or int(found[1] if found else 0)).lower()
    return str(error) or "it was closed at once"
