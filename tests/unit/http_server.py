"""An HTTP server that keeps the very bytes it was sent, and answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

#: Long enough for a noisy machine; nothing waits so long when all is well.
PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Received:
    """One request: ``header_lines`` as they came, ``body`` as it came. ``at`` is the loop's time of its arrival."""

    method: str
    path: str
    header_lines: list[tuple[str, str]]
    body: bytes
    at: float

    def headers(self, name: str) -> list[str]:
        """Return every value that was sent for a header."""
        return [value for key, value in self.header_lines if key.lower() == name.lower()]


@dataclass(frozen=True)
class Answer:
    """What to answer. ``reset`` drops the connection instead, ``hang`` never answers.

    ``raw`` is sent as it is in place of status, headers and body, piece by piece, and the connection is closed.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    hang: bool = False
    raw: tuple[bytes, ...] = ()


class RecordingServer:
    """Listens on a free port of 127.0.0.1, in the event loop of the test.

    Args:
        answers: given one after the other; the last one again and again. A function gets the request.
    """

    def __init__(self, *answers: Answer | Callable[[Received], Answer]) -> None:
        self._answers = list(answers or [Answer()])
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self.connections = 0
        self._open = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The endpoint."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def all_closed(self) -> None:
        """Wait until the client has closed every connection; fail when it does not."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self._open == 0)

    async def has_arrived(self) -> None:
        """Wait for the first request."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.arrived.wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        try:
            while received := await _read(reader):
                self.received.append(received)
                self.arrived.set()
                answer = self._answer(received)
                if answer.reset:
                    writer.transport.abort()
                    return
                if answer.hang:
                    await reader.read()  # until the client has had enough
                    return
                for piece in answer.raw or (_bytes(answer),):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if answer.raw:
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._open -= 1
            async with self._changed:
                self._changed.notify_all()

    def _answer(self, received: Received) -> Answer:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, Answer) else answer(received)


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in pairs if name.lower() == "content-length"), 0)
    body = await reader.readexactly(length)
    return Received(method, path, pairs, body, asyncio.get_running_loop().time())


def _bytes(answer: Answer) -> bytes:
    headers = {"Content-Length": str(len(answer.body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body
