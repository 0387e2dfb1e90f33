"""One connection of HTTP/1.1, which carries one request at a time, and bounds what a server may answer.

Responses are parsed by httptools (llhttp, the parser of Node.js), which bounds nothing itself; errors are httpx's.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import httptools
import httpx

from dbt_triton.client.reply import (
    ERROR_BYTES,
    EVENT_STREAM,
    HEADER_LENGTH,
    Reply,
    ResponseTooLargeError,
    decoded,
    header_length_of,
)

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
_INFORMATIONAL = range(100, 200)
_NO_BODY = frozenset({204, 304})
#: A longer body is written by itself, rather than copied behind its head.
_COPIED_BYTES = 65_536
_OK = 200
#: What an answer may have besides its body: headers, answers of 1xx, the framing of chunks and what follows them…
_OVERHEAD_BYTES = 262_144
#: …and so much for each byte of the body: a chunk of one byte has five bytes of framing.
_OVERHEAD_RATIO = 8
#: A body in more pieces is joined as it comes, since each piece takes memory of its own.
_MAX_PIECES = 2048


class StaleConnectionError(httpx.ReadError):
    """A kept connection ended before a byte of an answer: the server most likely had closed it while it was idle."""


class LostServerError(httpx.ConnectError):
    """No connection to a server that may have got the request before, on one that went stale: perhaps it died of it."""


class BrokenAnswerError(httpx.ReadError):
    """A connection ended in the middle of an answer."""


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, idle: list[Connection]) -> None:
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._deadline = 0.0
        self._max_bytes = 0
        self._received = 0
        self._was_used = False
        # Kept, since asking for the running loop is a system call on Python 3.11 (getpid).
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        # It goes on from one answer to the next by itself.
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    def _reset(self) -> None:
        self._body: list[bytes] = []
        self._joined = bytearray()
        self._size = 0
        self._limit = self._max_bytes
        self._is_error = False
        self._header_length: int | None = None
        self._retry_after: str | None = None
        self._encoding = self._content_type = b""
        self._until_close = False
        self._has_length = False
        self._started = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent over it."""
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, head: bytes, body: bytes, deadline: float, max_bytes: int) -> Reply:
        """Send a request and wait for its whole answer.

        Args:
            head: request line and headers.
            body: the body, as long as the headers say.
            deadline: on the loop's clock, when the answer must be whole.
            max_bytes: how long the body of the answer may be, also when it is unpacked. Of an error, the beginning is
                read, and the connection is closed.

        Raises:
            StaleConnectionError: the connection carried a request before, and broke before an answer to this one.
            ResponseTooLargeError: the answer is longer.
            httpx.TransportError: the connection broke, the answer is not HTTP, or the time is over.
        """
        if self._transport is None:
            raise httpx.WriteError("the connection is closed")
        self._answer = self._loop.create_future()
        self._deadline = deadline
        self._max_bytes = self._limit = max_bytes
        self._received = 0
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
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"the answer is not HTTP: {error}"))
        if self._received > _OVERHEAD_BYTES and self._received > _OVERHEAD_BYTES + _OVERHEAD_RATIO * self._size:
            self._fail(httpx.RemoteProtocolError("the answer has too many or too long headers"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End what waits for an answer; called by asyncio."""
        self._transport = None
        with contextlib.suppress(ValueError):
            self._idle.remove(self)
        if self._until_close and exc is None and self._answer is not None and not self._answer.done():
            self._complete()
        else:
            what = "in the middle of its answer" if self._started else "without an answer"
            unanswered = StaleConnectionError if self._was_used else httpx.ReadError
            kind = BrokenAnswerError if self._started else unanswered
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
            self._header_length = header_length_of(value)
        elif name == b"transfer-encoding":
            self._has_length = self._has_length or b"chunked" in value.lower()
        elif name == b"content-encoding":
            self._encoding = value.strip().lower()
        elif name == b"content-type":
            self._content_type = value
        elif name == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Find out how the answer ends; called by the parser."""
        status = self._parser.get_status_code()
        ends_at_close = not self._has_length and status not in _NO_BODY and status not in _INFORMATIONAL
        # Nothing but its last chunk, or its length, tells a whole stream of events from a broken one.
        self._until_close = ends_at_close and not self._content_type.lower().startswith(EVENT_STREAM)
        if status != _OK:
            self._is_error = True
            self._limit = min(self._limit, ERROR_BYTES)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body; called by the parser."""
        self._body.append(data)
        self._size += len(data)
        if self._size > self._limit:
            self._too_long()
        elif len(self._body) > _MAX_PIECES:
            self._joined += b"".join(self._body)
            self._body.clear()

    def on_message_complete(self) -> None:
        """Hand the answer over; called by the parser."""
        if self._parser.get_status_code() in _INFORMATIONAL:
            self._reset()  # another answer follows
            self._started = True
            return
        self._complete()

    def _too_long(self) -> None:
        """End the answer here: an error has said enough, and anything else is not read further."""
        if self._is_error:
            self._complete(cut=True)
            self.abort()
        else:
            self._fail(ResponseTooLargeError(f"it has more than {self._limit:,} bytes"))
        self._body.clear()
        self._joined.clear()

    def _complete(self, *, cut: bool = False) -> None:
        answer, parser, transport = self._answer, self._parser, self._transport
        if answer is None or answer.done():
            return
        body = self._body[0] if len(self._body) == 1 and not self._joined else b"".join([self._joined, *self._body])
        content = body
        if self._encoding:
            try:
                content = decoded(
                    body,
                    self._encoding,
                    limit=self._limit,
                    cut=self._is_error,
                    check_time=self._check_time,
                )
            except httpx.RequestError as error:
                answer.set_exception(error)
                return
        status = parser.get_status_code()
        answer.set_result(
            Reply(status, memoryview(content), self._header_length, self._retry_after, cut, self._content_type)
        )
        if transport is not None and transport.get_write_buffer_size():
            self.abort()  # the server answered before it read the body, and may never read the rest of it
        elif not parser.should_keep_alive():
            self.close()
        self._was_used = True
        self._reset()

    def _check_time(self) -> None:
        if self._loop.time() >= self._deadline:
            raise httpx.ReadTimeout("the time of the attempt is over")

    def _fail(self, error: httpx.RequestError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
