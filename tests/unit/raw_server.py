"""A server that does to each connection what a test says, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

#: Long enough for a noisy machine; nothing waits so long when all is well.
PATIENCE_SECONDS = 20
HEAD = b"HTTP/1.1 200 OK\r\n"


def answer(body: bytes, *lines: bytes) -> bytes:
    """Return an answer with a length, and more header lines."""
    return HEAD + b"".join(line + b"\r\n" for line in (*lines, b"Content-Length: %d" % len(body))) + b"\r\n" + body


@dataclass
class Peer:
    """One connection as the server sees it. ``ended`` is set when it is over, ``bodies`` are what came in whole."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def head(self) -> bytes:
        """Read the head of a request."""
        self.heads.append(await self.reader.readuntil(b"\r\n\r\n"))
        return self.heads[-1]

    async def request(self) -> bytes:
        """Read a whole request and return its body."""
        lines = (await self.head()).lower().split(b"\r\n")
        lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
        self.bodies.append(await self.reader.readexactly(lengths[0] if lengths else 0))
        return self.bodies[-1]

    async def send(self, *pieces: bytes) -> None:
        """Send bytes, each piece by itself."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def until_closed(self) -> None:
        """Wait until the client closes the connection."""
        while await self.reader.read(65_536):
            pass

    async def has_ended(self) -> None:
        """Wait until the connection is over; fail when it stays."""
        await asyncio.wait_for(self.ended.wait(), PATIENCE_SECONDS)


class RawServer:
    """What listens, and the connections it has had."""

    def __init__(self, port: int, peers: list[Peer]) -> None:
        self.port = port
        self.peers = peers

    @property
    def url(self) -> str:
        """The endpoint, without TLS."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> int:
        """How many requests came in whole."""
        return sum(len(peer.bodies) for peer in self.peers)


@asynccontextmanager
async def serving(
    handle: Callable[[Peer], Awaitable[object]], host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncGenerator[RawServer, None]:
    """Listen on a free port; each connection is closed when ``handle`` returns."""
    peers: list[Peer] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(peers) + 1, reader, writer)
        peers.append(peer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await handle(peer)
        finally:
            writer.close()
            peer.ended.set()

    server = await asyncio.start_server(connected, host, 0, ssl=context, limit=2**20)
    try:
        yield RawServer(server.sockets[0].getsockname()[1], peers)
    finally:
        server.close()


async def echo(peer: Peer) -> None:
    """Answer every request with its own body."""
    while True:
        await peer.send(answer(await peer.request()))
