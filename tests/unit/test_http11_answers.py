import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from unit.raw_server import HEAD, PATIENCE_SECONDS, Peer, RawServer, answer, serving

from dbt_triton.client.http11 import Http11Transport
from dbt_triton.client.reply import Reply

pytestmark = pytest.mark.usefixtures("each_event_loop")

Use = Callable[[Http11Transport, RawServer], Awaitable[Any]]


def with_transport(handle: Callable[[Peer], Awaitable[object]], use: Use, *, timeout: float = PATIENCE_SECONDS) -> Any:
    """Use a transport against a server, and see that it leaves no connection behind."""

    async def run() -> Any:
        async with serving(handle) as server:
            transport = Http11Transport(server.url, timeout=timeout)
            try:
                result = await use(transport, server)
            finally:
                await transport.aclose()
            for peer in server.peers:
                await peer.has_ended()
            return result

    return asyncio.run(run())


async def post(transport: Http11Transport, body: bytes = b"{}") -> Reply:
    """Send one request."""
    return await transport.post("http://ignored/v2/models/m/infer", {"X-Test": "1"}, body)


def answering(*pieces: bytes, keep: bool = True) -> Callable[[Peer], Awaitable[object]]:
    """Answer each request so, and close the connection after the first one if it is not to be kept."""

    async def handle(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)
            if not keep:
                return

    return handle


@pytest.mark.parametrize(
    ("pieces", "connections"),
    [
        ((answer(b"abcd"),), 1),
        ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",), 1),
        ((HEAD + b"Transfer-Encoding: Chunked\r\n\r\n", b"1\r\na\r\n", b"3\r\nbcd\r\n0\r\nX-T: 1\r\n", b"\r\n"), 1),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"abcd"),), 1),
        (
            (
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: br\r\n\r\n",
                answer(b"abcd"),
            ),
            1,
        ),
        ((b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nabcd",), 1),
        ((answer(b"abcd", b"Connection: close"),), 3),
        ((b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nabcd",), 3),
    ],
)
def test_connections_are_kept_where_the_server_keeps_them(pieces: tuple[bytes, ...], connections: int) -> None:
    """Three requests share a connection if the answer allows it, and else each has one; answers are whole."""

    async def use(transport: Http11Transport, server: RawServer) -> None:
        replies = [await post(transport) for _ in range(3)]
        assert [(reply.status, bytes(reply.content)) for reply in replies] == [(200, b"abcd")] * 3
        assert (len(server.peers), server.requests) == (connections, 3)

    with_transport(answering(*pieces), use)


@pytest.mark.parametrize("head", [HEAD + b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n", HEAD + b"Connection: close\r\n\r\n"])
def test_answer_that_ends_with_its_connection(head: bytes) -> None:
    """An answer without a length is read to the end of its connection, which is not used again."""

    async def use(transport: Http11Transport, server: RawServer) -> None:
        replies = [await post(transport) for _ in range(2)]
        assert [bytes(reply.content) for reply in replies] == [b"abcd"] * 2
        assert len(server.peers) == 2
        assert transport._idle == []

    with_transport(answering(head + b"ab", b"cd", keep=False), use)


def test_statuses_without_a_body() -> None:
    """204 has no body, with or without a length, and its connection is kept."""

    async def use(transport: Http11Transport, server: RawServer) -> None:
        assert [(await post(transport)).status for _ in range(3)] == [204] * 3
        assert len(server.peers) == 1

    with_transport(answering(b"HTTP/1.1 204 No Content\r\n\r\n"), use)


@pytest.mark.parametrize(("written", "length"), [(b"13", 13), (b"0", 0), (b"-1", None), (b"x", None), (b"", None)])
def test_headers_that_matter(written: bytes, length: int | None) -> None:
    """The length of the JSON header is read as a number or not at all; Retry-After and the coding stay with it."""
    body = gzip.compress(b"abcd" * 100, mtime=0)
    lines = (b"iNFERENCE-hEADER-cONTENT-lENGTH: " + written, b"Retry-After:  7 ", b"Content-Encoding: GZIP")

    async def use(transport: Http11Transport, _: RawServer) -> None:
        first, second = await post(transport), await post(transport)
        assert (first.header_length, (first.retry_after or "").strip()) == (length, "7")
        assert bytes(first.content) == b"abcd" * 100
        # What one answer said does not colour the next one on the same connection.
        assert (second.header_length, second.retry_after, bytes(second.content)) == (None, None, b"plain")

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(body, *lines))
        await peer.request()
        await peer.send(answer(b"plain"))
        await peer.until_closed()

    with_transport(handle, use)


@pytest.mark.parametrize(
    ("pieces", "error", "words"),
    [
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), httpx.RemoteProtocolError, "not HTTP"),
        ((b"\x16\x03\x01\x00\xa5",), httpx.RemoteProtocolError, "not HTTP"),
        ((HEAD + b"Content-Length: x\r\n\r\n",), httpx.RemoteProtocolError, "not HTTP"),
        ((HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",), httpx.RemoteProtocolError, "not HTTP"),
        ((HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",), httpx.RemoteProtocolError, "not HTTP"),
        (
            (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",),
            httpx.RemoteProtocolError,
            "not HTTP",
        ),
        ((answer(b"abcd", b"Content-Encoding: br"),), httpx.DecodingError, "br"),
        ((answer(b"abcd", b"Content-Encoding: gzip"),), httpx.DecodingError, "not gzip"),
        ((HEAD + b"Content-Length: 9\r\n\r\nabcd",), httpx.ReadError, "in the middle of its answer"),
        ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",), httpx.ReadError, "in the middle of its answer"),
        ((HEAD[:12],), httpx.ReadError, "in the middle of its answer"),
        ((HEAD + b"Content-Le",), httpx.ReadError, "in the middle of its answer"),
        ((), httpx.ReadError, "without an answer"),
    ],
)
def test_no_answer(pieces: tuple[bytes, ...], error: type[Exception], words: str) -> None:
    """What is no whole HTTP answer is an error that says so; its connection is dropped, and nothing is sent again."""

    async def use(transport: Http11Transport, server: RawServer) -> None:
        with pytest.raises(error, match=words):
            await post(transport)
        assert transport._idle == []
        await server.peers[0].has_ended()
        assert (len(server.peers), server.requests) == (1, 1)

    with_transport(answering(*pieces, keep=False), use)


def test_answer_before_the_body_was_read() -> None:
    """A server that refuses a large request by its head is heard, and the connection with the rest of it is dropped."""
    gone = asyncio.Event()

    async def handle(peer: Peer) -> None:
        await peer.head()
        if peer.number == 1:
            await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            await gone.wait()  # nothing is read, so that the rest of the body cannot leave the client
        else:
            await peer.send(answer(b"ok"))
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        reply = await post(transport, bytes(20_000_000))
        assert (reply.status, bytes(reply.content)) == (413, b"big")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while transport._connections:  # noqa: ASYNC110 - asyncio tells the connection, not us
                await asyncio.sleep(0.005)
        gone.set()
        assert bytes((await post(transport, b"")).content) == b"ok"
        assert len(server.peers) == 2

    with_transport(handle, use)


def test_two_answers_to_one_request() -> None:
    """A second answer to one request never meets the next request: its connection is dropped."""

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"first") + answer(b"second"))
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        for _ in range(3):
            assert bytes((await post(transport)).content) == b"first"
        assert len(server.peers) == 3

    with_transport(handle, use)


@pytest.mark.parametrize("late", [answer(b"late"), b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"x"])
def test_answer_nobody_asked_for(late: bytes) -> None:
    """What a server says on an idle connection is no answer to the next request."""

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"mine"))
        await asyncio.sleep(0.02)
        await peer.send(late)
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        for _ in range(2):
            assert bytes((await post(transport)).content) == b"mine"
            await server.peers[-1].has_ended()
            assert transport._idle == []
        assert len(server.peers) == 2

    with_transport(handle, use)
