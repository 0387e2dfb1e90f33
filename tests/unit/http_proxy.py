"""A plain HTTP proxy: it forwards requests for absolute URLs, and tunnels CONNECT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from unit.raw_server import Peer, RawServer, serving


async def _forward(peer: Peer) -> None:
    head = await peer.head()
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        if method == "CONNECT":
            await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            writer.write(head.replace(target.encode(), (parts.path or "/").encode(), 1))
        await asyncio.gather(_copy(peer.reader, writer), _copy(reader, peer.writer))
    finally:
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def proxying() -> AsyncGenerator[RawServer, None]:
    """Run the proxy; its peers' heads are what was asked of it. A plain connection is for one server."""
    async with serving(_forward) as server:
        yield server
