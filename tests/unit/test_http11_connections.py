import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from unit.raw_server import HEAD, PATIENCE_SECONDS, Peer, RawServer, answer, echo, serving
from unit.test_http11_answers import post, with_transport

from dbt_triton.client import TritonClient
from dbt_triton.client.http11 import Http11Transport, StaleConnectionError
from dbt_triton.errors import InferenceError
from dbt_triton.options import parse_options

pytestmark = pytest.mark.usefixtures("each_event_loop")


async def hang(peer: Peer) -> None:
    """Take requests and never answer."""
    await peer.until_closed()


async def connections_of(server: RawServer, number: int) -> None:
    """Wait until there are so many connections."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(server.peers) < number:  # noqa: ASYNC110 - a server has no event for it
            await asyncio.sleep(0.005)


def test_as_many_connections_as_requests_in_flight() -> None:
    """Requests at the same time have a connection each, and those are used again by later ones."""

    async def handle(peer: Peer) -> None:
        while True:
            body = await peer.request()
            await asyncio.sleep(0.05)
            await peer.send(answer(body))

    async def use(transport: Http11Transport, server: RawServer) -> None:
        for _ in range(3):
            bodies = [b"%d" % number for number in range(8)]
            replies = await asyncio.gather(*(post(transport, body) for body in bodies))
            assert [bytes(reply.content) for reply in replies] == bodies
        assert len(server.peers) == 8

    with_transport(handle, use)


@pytest.mark.parametrize("drip", [b"", HEAD + b"Content-Length: 9\r\n\r\nab"])
def test_read_timeout(drip: bytes) -> None:
    """A request that is not answered whole in time is a ReadTimeout, and its connection is closed, not kept."""

    async def handle(peer: Peer) -> None:
        await peer.send(drip)
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await post(transport)
        await server.peers[0].has_ended()
        assert (transport._idle, transport._connections) == ([], set())

    with_transport(handle, use, timeout=0.2)


def test_timeout_of_a_kept_connection_is_not_sent_again() -> None:
    """A server that does not answer in time is no stale connection: the request is not sent twice."""

    async def handle(peer: Peer) -> None:
        await peer.send(answer(await peer.request()))
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        await post(transport)
        with pytest.raises(httpx.ReadTimeout):
            await post(transport)
        assert len(server.peers) == 1

    with_transport(handle, use, timeout=1)


def test_connect_timeout() -> None:
    """A server that takes connections but never says hello (TLS) is a ConnectTimeout, and the connection is closed."""

    async def run() -> None:
        async with serving(hang) as server:
            url = server.url.replace("http:", "https:")
            transport = Http11Transport(url, timeout=1, ssl_context=ssl.create_default_context())
            with pytest.raises(httpx.ConnectTimeout):
                await post(transport)
            await server.peers[0].has_ended()
            await transport.aclose()

    asyncio.run(run())


def test_cancellation() -> None:
    """A cancelled request leaves no connection in the pool, and the server sees it close; others are not harmed."""

    async def handle(peer: Peer) -> None:
        body = await peer.request()
        if body != b"hang":
            await peer.send(answer(body))
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        tasks = [asyncio.create_task(post(transport, b"hang")) for _ in range(3)]
        await connections_of(server, 3)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}
        for peer in server.peers:
            await peer.has_ended()
        assert (transport._idle, transport._connections) == ([], set())
        assert bytes((await post(transport, b"next")).content) == b"next"

    with_transport(handle, use)


def test_cancellation_while_connecting() -> None:
    """A request that is cancelled before its connection stands leaves none behind."""

    async def run() -> None:
        async with serving(hang) as server:
            url = server.url.replace("http:", "https:")
            transport = Http11Transport(url, timeout=PATIENCE_SECONDS, ssl_context=ssl.create_default_context())
            task = asyncio.create_task(post(transport))
            await connections_of(server, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.peers[0].has_ended()
            assert transport._connections == set()
            await transport.aclose()

    asyncio.run(run())


def test_aclose() -> None:
    """Closing ends idle connections and those with a request, whose sender learns of it; no new one is opened."""

    async def handle(peer: Peer) -> None:
        if await peer.request() == b"idle":
            await peer.send(answer(b""))
        await peer.until_closed()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        await asyncio.gather(*(post(transport, b"idle") for _ in range(4)))
        kept = len(server.peers)
        tasks = [asyncio.create_task(post(transport, b"hang")) for _ in range(kept + 2)]
        await connections_of(server, kept + 2)
        await transport.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results if not isinstance(result, httpx.ReadError)] == []
        with pytest.raises(httpx.ConnectError, match="closed"):
            await post(transport)
        assert (transport._connections, len(server.peers)) == (set(), kept + 2)

    with_transport(handle, use)


def test_large_bodies() -> None:
    """20 MB go both ways, several at once, whole."""

    async def use(transport: Http11Transport, _: RawServer) -> None:
        bodies = [bytes([number]) * 20_000_000 for number in range(2)]
        replies = await asyncio.gather(*(post(transport, body) for body in bodies))
        assert [bytes(reply.content) == body for reply, body in zip(replies, bodies, strict=True)] == [True, True]

    with_transport(echo, use)


@pytest.mark.parametrize(
    ("host", "listens"), [("[::1]", "::1"), ("localhost", "127.0.0.1"), ("LOCALHOST", "127.0.0.1")]
)
def test_names_of_hosts(host: str, listens: str) -> None:
    """A literal IPv6 address works, and a name is tried at each of its addresses; Host is what was written."""
    if listens == "::1":
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")

    async def run() -> None:
        async with serving(echo, listens) as server:
            transport = Http11Transport(f"http://{host}:{server.port}", timeout=PATIENCE_SECONDS)
            assert bytes((await post(transport, b"abc")).content) == b"abc"
            assert f"\r\nHost: {host}:{server.port}\r\n".encode() in server.peers[0].heads[0]
            await transport.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1", "^connection refused$"), ("localhost", "^connection refused$"), ("a..b", "idna|label")],
)
def test_words_for_no_connection(host: str, words: str) -> None:
    """That nobody listens, or that a name is none, is said in a few words of the system's."""

    async def run() -> None:
        async with serving(echo) as server:
            port = server.port
        transport = Http11Transport(f"http://{host}:{port}", timeout=PATIENCE_SECONDS)
        with pytest.raises(httpx.ConnectError, match=words):
            await post(transport)
        await transport.aclose()

    asyncio.run(run())


async def stale_after_one(peer: Peer) -> None:
    """Answer one request on each of the first two connections, and close them when another one comes."""
    await peer.send(answer(await peer.request()))
    await peer.request()
    if peer.number > 2:
        await peer.send(answer(b"fresh"))
        await peer.until_closed()


def client_for(server: RawServer, **given_options: Any) -> TritonClient:
    """Open a client; options are written with underscores."""
    raw = {key.replace("_", "-"): value for key, value in given_options.items()}
    return TritonClient(parse_options({"provider": "triton", "endpoint": server.url, "model-name": "m"} | raw, "m"))


def test_stale_connection() -> None:
    """A request that meets a connection which the server had closed is sent again at once, and is no retry."""
    overloads: list[bool] = []

    async def run() -> None:
        async with serving(stale_after_one) as server, client_for(server, max_retries=0) as client:
            client.on_overload = lambda: overloads.append(True)
            assert bytes((await client.infer(b"1", None)).content) == b"1"
            assert bytes((await client.infer(b"2", None)).content) == b"2"
            assert [peer.bodies for peer in server.peers] == [[b"1", b"2"], [b"2"]]
            assert (client.stats.requests, client.stats.retries, overloads) == (2, 0, [])

    asyncio.run(run())


def test_every_kept_connection_is_stale() -> None:
    """After a stale connection a new one is used, not another that is as old."""

    async def handle(peer: Peer) -> None:
        body = await peer.request()
        await asyncio.sleep(0.05)
        await peer.send(answer(body))
        if peer.number > 2:
            await peer.until_closed()
        await peer.request()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        await asyncio.gather(post(transport, b"1"), post(transport, b"2"))
        assert len(transport._idle) == 2
        assert bytes((await post(transport, b"3")).content) == b"3"
        assert len(server.peers) == 3

    with_transport(handle, use)


def test_stale_connection_is_met_once() -> None:
    """If the new connection breaks as well, that is an error: a request is sent at once a second time, not a third."""

    async def handle(peer: Peer) -> None:
        body = await peer.request()
        if body == b"1":
            await peer.send(answer(body))
            await peer.request()

    async def use(transport: Http11Transport, server: RawServer) -> None:
        await post(transport, b"1")
        with pytest.raises(httpx.ReadError, match="without an answer") as caught:
            await post(transport, b"2")
        assert not isinstance(caught.value, StaleConnectionError)
        assert [peer.bodies for peer in server.peers] == [[b"1", b"2"], [b"2"]]

    with_transport(handle, use)


def test_half_an_answer_is_no_stale_connection() -> None:
    """A kept connection that breaks within an answer was not stale: the server has run the request."""

    async def handle(peer: Peer) -> None:
        await peer.send(answer(await peer.request()))
        await peer.request()
        await peer.send(HEAD[:9])

    async def use(transport: Http11Transport, server: RawServer) -> None:
        await post(transport)
        with pytest.raises(httpx.ReadError, match="in the middle of its answer"):
            await post(transport)
        assert len(server.peers) == 1

    with_transport(handle, use)


def test_steps_of_a_sequence_are_not_repeated() -> None:
    """A step of a sequence is not sent again even so: the server may have counted it."""

    async def run() -> None:
        async with serving(stale_after_one) as server, client_for(server, sequence_id="s") as client:
            await client.infer(b"1", None)
            with pytest.raises(InferenceError, match="without an answer"):
                await client.infer(b"2", None)
            assert [peer.bodies for peer in server.peers] == [[b"1", b"2"]]

    asyncio.run(run())


def test_connection_that_the_server_closed_in_time() -> None:
    """A connection that is seen to be closed while idle is not used for the next request."""

    async def handle(peer: Peer) -> None:
        await peer.send(answer(await peer.request()))

    async def use(transport: Http11Transport, server: RawServer) -> None:
        for number in range(3):
            await post(transport)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while transport._idle:  # noqa: ASYNC110 - asyncio calls the connection, not us
                    await asyncio.sleep(0.005)
            assert (len(server.peers), server.requests) == (number + 1, number + 1)

    with_transport(handle, use)


def test_through_httpx() -> None:
    """The same connections carry httpx's own requests: path, query, headers and body arrive as httpx made them."""

    async def use(transport: Http11Transport, server: RawServer) -> None:
        handler: Callable[..., Awaitable[httpx.Response]]
        async with httpx.AsyncClient(base_url=server.url, transport=transport) as client:
            handler = client.get
            response = await handler("/v2?x=%20y", headers={"X-Team": "reviews"})
            assert (response.status_code, response.content) == (200, b"")
            assert (await client.post("/v2/m", content=b"abc")).content == b"abc"
        head, second = server.peers[0].heads
        assert head.startswith(b"GET /v2?x=%20y HTTP/1.1\r\n")
        assert b"\r\nx-team: reviews\r\n" in head
        assert b"content-length" not in head.lower()
        assert second.lower().count(b"content-length: 3\r\n") == 1

    with_transport(echo, use)


def test_steps_of_a_sequence_get_through_to_a_server_that_closes_after_each_answer() -> None:
    """Once a step has met a closed connection, each one after it has a connection of its own."""

    async def handle(peer: Peer) -> None:
        await peer.send(answer(await peer.request()))
        await peer.request()

    async def run() -> None:
        async with serving(handle) as server, client_for(server, sequence_by="k") as client:
            await client.infer(b"1", None)
            with pytest.raises(InferenceError, match="without an answer"):
                await client.infer(b"2", None)
            for step in (b"3", b"4", b"5"):
                assert bytes((await client.infer(step, None)).content) == step
            assert [peer.bodies for peer in server.peers] == [[b"1", b"2"], [b"3"], [b"4"], [b"5"]]

    asyncio.run(run())
