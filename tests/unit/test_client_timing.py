"""retry-initial-backoff, retry-max-backoff and connection-timeout, on the clock."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from typing import Any

import pytest
from unit.http_server import Answer, RecordingServer

from dbt_triton.client import TritonClient
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.options import parse_options

REQUIRED: dict[str, Any] = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
OK = Answer(body=b'{"outputs":[]}')


def _waits(**options: Any) -> list[float]:
    """Return the seconds between the attempts of one request."""

    async def run() -> list[float]:
        async with RecordingServer(*[Answer(503)] * 4, OK) as server:
            raw = REQUIRED | {"endpoint": server.url} | {key.replace("_", "-"): value for key, value in options.items()}
            async with TritonClient(parse_options(raw, "m")) as client:
                await client.infer(b"{}", None)
            await server.all_closed()
            times = [request.at for request in server.received]
        return [later - earlier for earlier, later in pairwise(times)]

    return asyncio.run(run())


def test_retries_wait_as_told() -> None:
    """The first wait is that of retry-initial-backoff, the next ones double, and none exceeds retry-max-backoff."""
    waits = _waits(retry_initial_backoff="200ms", retry_max_backoff="500ms", max_retries="4")
    assert all(wait >= least for wait, least in zip(waits, [0.19, 0.39, 0.49, 0.49], strict=True))
    quick = _waits(retry_initial_backoff="1 ms", retry_max_backoff="2 ms", max_retries="4")
    assert sum(quick) < 0.3
    capped = _waits(retry_max_backoff="1ms", max_retries="4")  # below the first wait's default
    assert sum(capped) < 0.3


@contextmanager
def _silent() -> Iterator[int]:
    """Listen, and never say a word: a TLS handshake does not end. Yields the port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


@contextmanager
def _full() -> Iterator[int]:
    """Listen with no place for another connection: the system leaves its first packet unanswered. Yields the port."""
    with ExitStack() as stack:
        listening = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=0)))
        port = listening.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.settimeout(0)
            waiting.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
        yield port


@pytest.mark.parametrize(("server", "scheme"), [(_silent, "https"), (_full, "http")])
@pytest.mark.parametrize("asks", ["infer", "served_model"])
def test_connection_timeout(server: Any, scheme: str, asks: str) -> None:
    """A connection that does not come about within connection-timeout is given up, long before the attempt's time."""

    async def run(port: int, **options: str) -> InferenceError:
        raw = REQUIRED | {"endpoint": f"{scheme}://127.0.0.1:{port}", "max-retries": "0", "timeout": "20s"}
        async with TritonClient(parse_options(raw | options, "m")) as client:
            with pytest.raises(InferenceError) as caught:
                await (client.infer(b"{}", None) if asks == "infer" else client.served_model())
        return caught.value

    with server() as port:
        started = time.perf_counter()
        error = asyncio.run(run(port, **{"connection-timeout": "300 ms"}))
        assert 0.25 < time.perf_counter() - started < 5
        assert error.reason == Reason.UNAVAILABLE
        assert "no connection to Triton at" in str(error)
        assert "within 300 ms" in str(error)
        started = time.perf_counter()
        error = asyncio.run(run(port, **{"connection-timeout": "20s", "timeout": "300 ms"}))
        assert time.perf_counter() - started < 5


def test_slow_answers_are_no_slow_connections() -> None:
    """connection-timeout says nothing about the answer."""

    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            await asyncio.sleep(0.3)
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"outputs":[]}')
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            options = parse_options(REQUIRED | {"endpoint": url, "connection-timeout": "100ms"}, "m")
            async with TritonClient(options) as client:
                assert (await client.infer(b"{}", None)).status == 200

    asyncio.run(run())
