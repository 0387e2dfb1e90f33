"""A proxy between the real client and the real Triton, which injects faults into inference requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from faults.http1 import Message, read_body, read_head, rows_of

#: The largest head of a message that is read.
_LIMIT = 2**20


class Exchange:
    """One inference request on its way through the proxy.

    Args:
        number: of the request, from 1, over all connections.
        request: its head; the body is read after the faults that come before it.
        link: the connections that it travels on.
    """

    def __init__(self, number: int, request: Message, link: Link) -> None:
        self.number = number
        self.started = time.monotonic()
        self.request = request
        self.fault = ""
        self.rows = 0
        self.executed = False
        self.delivered = False
        self._link = link

    @property
    def body(self) -> bytes:
        """The body of the request."""
        return self.request.body

    async def receive(self) -> None:
        """Read the body of the request."""
        await read_body(self._link.reader, self.request)
        self.rows = rows_of(self.request)

    async def receive_some(self, size: int) -> None:
        """Read at most so many bytes of the body."""
        await self._link.reader.read(size)

    async def forward(self) -> Message:
        """Pass the request on, and return Triton's answer."""
        reply = await self._link.forward(self.request)
        self.executed = True
        return reply

    async def deliver(self, reply: Message) -> None:
        """Give the client an answer, as it is."""
        await self.send(reply.to_bytes())
        self.delivered = True

    async def send(self, data: bytes) -> None:
        """Give the client some bytes."""
        self._link.writer.write(data)
        await self._link.writer.drain()

    async def closed(self) -> None:
        """Wait until the client gives up."""
        while await self._link.reader.read(_LIMIT):
            pass

    def close(self) -> None:
        """End the connection in order (FIN)."""
        self._link.writer.close()

    def reset(self) -> None:
        """Break the connection (RST)."""
        _reset(self._link.writer)


class Link:
    """A client's connection, and the one to Triton that belongs to it."""

    def __init__(self, upstream: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._upstream = upstream
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def forward(self, request: Message) -> Message:
        """Pass a request on to Triton, and return its answer; raises ConnectionError as the client would see it."""
        if self._server is None:
            self._server = await asyncio.open_connection(*self._upstream, limit=_LIMIT)
        reader, writer = self._server
        writer.write(request.to_bytes())
        await writer.drain()
        reply = await read_head(reader)
        if reply is None:
            raise ConnectionResetError("Triton closed the connection")
        await read_body(reader, reply)
        return reply

    def close(self) -> None:
        """Close both connections."""
        self.writer.close()
        if self._server is not None:
            self._server[1].close()


Inject = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """What happens to one request in place of passing it on. ``before_body``: before its body is read."""

    name: str
    inject: Inject
    before_body: bool = False


#: Chooses the fault of a request, or none. Where ``before_body`` is asked for, the body is not there yet.
Plan = Callable[[Exchange], Fault | None]


@dataclass
class Ledger:
    """What passed through the proxy, in inference requests."""

    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """How often each fault was injected."""
        names = [exchange.fault for exchange in self.exchanges if exchange.fault]
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def rows_lost(self) -> int:
        """Rows that Triton ran and whose answer did not reach the client as Triton wrote it."""
        return sum(exchange.rows for exchange in self.exchanges if exchange.executed and not exchange.delivered)

    @property
    def most_rows(self) -> int:
        """The rows of the largest request."""
        return max((exchange.rows for exchange in self.exchanges), default=0)


class FaultProxy:
    """The proxy, in a thread of its own; use it as a context manager.

    Args:
        upstream_port: where Triton listens, on ``host``.
        host: where both listen.

    ``plan`` and ``head_plan`` choose the faults; without them everything passes. ``head_plan`` sees a request before
    its body was read.
    """

    def __init__(self, upstream_port: int, host: str = "127.0.0.1") -> None:
        self.plan: Plan | None = None
        self.head_plan: Plan | None = None
        self.ledger = Ledger()
        self.port = 0
        self._host = host
        self._upstream = (host, upstream_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The endpoint for the client."""
        return f"http://{self._host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self) -> None:
        """Accept connections, on the same port as before."""
        self._call(self._listen())

    def refuse(self) -> None:
        """Break every connection and accept no more: the server is gone."""
        self._call(self._refuse())

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, self._host, self.port, limit=_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(self._upstream, reader, writer)
        try:
            while not writer.is_closing() and await self._serve(link):
                pass
        except (OSError, asyncio.IncompleteReadError):
            _reset(writer)  # what happened to one side happens to the other
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(OSError):
                link.close()

    async def _serve(self, link: Link) -> bool:
        """Serve one request; False when the client has closed the connection."""
        request = await read_head(link.reader)
        if request is None:
            return False
        if not request.first_line.startswith("POST"):
            await read_body(link.reader, request)
            link.writer.write((await link.forward(request)).to_bytes())
            await link.writer.drain()
            return True
        exchange = Exchange(len(self.ledger.exchanges) + 1, request, link)
        self.ledger.exchanges.append(exchange)
        fault = self.head_plan(exchange) if self.head_plan else None
        if fault is None:
            await exchange.receive()
            fault = self.plan(exchange) if self.plan else None
        elif not fault.before_body:
            await exchange.receive()
        if fault is None:
            await exchange.deliver(await exchange.forward())
        else:
            exchange.fault = fault.name
            await fault.inject(exchange)
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
