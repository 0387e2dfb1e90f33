"""A proxy in front of a real server that keeps what goes over the wire, as it was sent."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import socketserver
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit


@dataclass
class Message:
    """A request or an answer: its first line, its headers in order, and its body as it was sent."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the only value of a header, or None; two are an error."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    @property
    def plain_body(self) -> bytes:
        """The body without its chunks, and without its Content-Encoding."""
        if self.header("Transfer-Encoding") == "chunked":
            return _without_chunks(self.body)
        encoding = self.header("Content-Encoding")
        if encoding == "gzip":
            return gzip.decompress(self.body)
        return zlib.decompress(self.body) if encoding == "deflate" else self.body

    @property
    def json(self) -> dict[str, Any]:
        """The JSON of the body, or of its head where binary tensor data follows."""
        length = self.header("Inference-Header-Content-Length")
        content: dict[str, Any] = json.loads(self.plain_body[: int(length) if length else None])
        return content

    def encode(self) -> bytes:
        """Return the message as bytes."""
        head = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + self.body


@dataclass
class Exchange:
    """One request, and its answer once there is one."""

    request: Message
    answer: Message | None = None

    @property
    def method(self) -> str:
        """Such as POST."""
        return self.request.start.split(" ")[0]

    @property
    def path(self) -> str:
        """The request's path, as it was sent."""
        return self.request.start.split(" ")[1]

    @property
    def status(self) -> int | None:
        """The answer's status, or None without an answer."""
        return int(self.answer.start.split(" ")[1]) if self.answer else None


#: Is given each request before it is passed on. Returns None to pass it on, a message to answer in the server's place,
#: or b"" to close the connection without an answer.
Hook = Callable[[Exchange], Message | bytes | None]


def answer_message(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Message:
    """Make an answer for a hook."""
    fields = {"Content-Type": "application/json", **(headers or {}), "Content-Length": str(len(body))}
    return Message(f"HTTP/1.1 {status} Made up", list(fields.items()), body)


@dataclass
class RecordingProxy:
    """Listens on a free port, passes everything on to ``upstream``, and keeps it; use it as a context manager.

    Args:
        upstream: the server's URL.
        hook: may answer in the server's place.
    """

    upstream: str
    hook: Hook | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        self.changed = threading.Condition(self.lock)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """The endpoint to give to the product."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def inferences(self) -> list[Exchange]:
        """The requests for inference, in the order in which they came."""
        with self.lock:
            return [exchange for exchange in self.exchanges if exchange.path.endswith("/infer")]

    def clear(self) -> None:
        """Forget what was kept."""
        with self.lock:
            self.exchanges.clear()

    def wait_for(self, condition: Callable[[Self], bool], timeout: float = 60) -> bool:
        """Wait until something is true of what was kept. Returns whether it became true in time.

        Args:
            condition: is called with the lock held, so it may look at ``exchanges``, but not at ``inferences``.
            timeout: seconds.
        """
        with self.changed:
            return self.changed.wait_for(lambda: condition(self), timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    proxy: RecordingProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a connection that breaks is part of the tests."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        proxy = self.server.proxy
        with proxy.changed:
            proxy.connections += 1
            proxy.open_connections += 1
        try:
            self._pass_on(proxy)
        finally:
            with proxy.changed:
                proxy.open_connections -= 1
                proxy.changed.notify_all()

    def _pass_on(self, proxy: RecordingProxy) -> None:
        address = urlsplit(proxy.upstream)
        upstream: socket.socket | None = None
        waiting = False
        try:
            while (request := read_message(self.rfile)) is not None:
                exchange = Exchange(request)
                waiting = True
                with proxy.changed:
                    proxy.exchanges.append(exchange)
                    proxy.in_flight += 1
                    proxy.most_in_flight = max(proxy.most_in_flight, proxy.in_flight)
                    proxy.changed.notify_all()
                made_up = proxy.hook(exchange) if proxy.hook else None
                if isinstance(made_up, bytes):
                    self.wfile.write(made_up)
                    return
                if made_up is None:
                    upstream = upstream or socket.create_connection((address.hostname or "", address.port or 80))
                    upstream.sendall(request.encode())
                    with upstream.makefile("rb") as reader:
                        made_up = read_message(reader)
                    if made_up is None:
                        return
                with proxy.changed:
                    exchange.answer = made_up
                    proxy.in_flight -= 1
                    proxy.changed.notify_all()
                waiting = False
                self.wfile.write(made_up.encode())
        except OSError:
            return
        finally:
            with proxy.changed:
                proxy.in_flight -= waiting
            if upstream is not None:
                with contextlib.suppress(OSError):
                    upstream.close()


class _Reader(Protocol):
    def readline(self) -> bytes: ...

    def read(self, size: int, /) -> bytes: ...


def read_message(reader: _Reader) -> Message | None:
    """Read one HTTP/1.1 message, by its Content-Length or its chunks, or return None at the end of the connection."""
    start = reader.readline()
    if not start.endswith(b"\r\n"):
        return None
    headers = []
    while (line := reader.readline()) not in {b"\r\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    message = Message(start.decode("latin-1").rstrip("\r\n"), headers, b"")
    if message.header("Transfer-Encoding") == "chunked":
        return _read_chunks(reader, message)
    length = int(message.header("Content-Length") or 0)
    message.body = reader.read(length)
    return message if len(message.body) == length else None


def _read_chunks(reader: _Reader, message: Message) -> Message | None:
    """Read a body as it was sent, up to its last chunk, which is empty."""
    while (line := reader.readline()).endswith(b"\r\n"):
        size = int(line, 16)
        data = reader.read(size + 2)
        message.body += line + data
        if size == 0:
            return message
    return None


def _without_chunks(body: bytes) -> bytes:
    data, start = b"", 0
    while size := int(body[start : (end := body.index(b"\r\n", start))], 16):
        data += body[end + 2 : end + 2 + size]
        start = end + 4 + size
    return data
