import asyncio
import logging
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from unit.http_server import PATIENCE_SECONDS, Answer, RecordingServer

from dbt_triton.client import TritonClient
from dbt_triton.errors import ROW_REASONS, InferenceError, Reason
from dbt_triton.options import Options, parse_options

OK = Answer(body=b'{"outputs":[]}')
SECRET = "s3cret-t0ken"  # noqa: S105 - a made-up one that must show up nowhere


def options_for(endpoint: str, **given_options: Any) -> Options:
    """Parse options written with underscores, added to the required ones."""
    required = {"provider": "triton", "endpoint": endpoint, "model-name": "m"}
    return parse_options(required | {key.replace("_", "-"): value for key, value in given_options.items()}, "m")


def attempts(*answers: Answer, **given_options: Any) -> tuple[int, InferenceError | None]:
    """Send one request. Returns how often it arrived, and the error that it ended with."""

    async def run() -> tuple[int, InferenceError | None]:
        error = None
        async with RecordingServer(*answers) as server:
            async with TritonClient(options_for(server.url, **given_options)) as client:
                try:
                    await client.infer(b"{}", None)
                except InferenceError as caught:
                    error = caught
                assert client.stats.requests == len(server.received)
                assert client.stats.retries == len(server.received) - 1
            await server.all_closed()
            assert {request.body for request in server.received} == {b"{}"}
            return len(server.received), error

    return asyncio.run(run())


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_retried_statuses(status: int) -> None:
    """What may pass is sent again, as it was, until it succeeds."""
    assert attempts(Answer(status), Answer(status), OK) == (3, None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 501])
def test_final_statuses(status: int) -> None:
    """What would fail again is sent once, and the error has the server's own words and the status."""
    count, error = attempts(Answer(status, b'{"error":"unexpected inference input \'Z\'"}'), OK)
    assert count == 1
    assert error is not None
    assert (error.status, error.attempts, str(error)) == (status, 1, "unexpected inference input 'Z'")


def test_connection_reset() -> None:
    """A connection that breaks is opened again."""
    assert attempts(Answer(reset=True), Answer(reset=True), OK) == (3, None)


@pytest.mark.parametrize(("retries", "count"), [(0, 1), (1, 2), (2, 3)])
def test_max_retries(retries: int, count: int) -> None:
    """max-retries counts the attempts after the first, for answers and for broken connections."""
    for answer, status in ((Answer(503, b"overloaded"), 503), (Answer(reset=True), None)):
        found, error = attempts(answer, max_retries=retries)
        assert error is not None
        assert (found, error.attempts, error.status, error.reason) == (count, count, status, Reason.UNAVAILABLE)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"[request id: 1] expected 2 string elements"}', "[request id: 1] expected 2 string elements"),
        (b"plain words\n", "plain words"),
        (b"<html><h1>502 Bad Gateway</h1>\n<hr>nginx</html>", "502 Bad Gateway nginx"),
        ("é好".encode() + b"\xff", "é好�"),
        (b"", "(an empty answer)"),
        (b"x" * 10_000, "x" * 500 + "…"),
    ],
)
def test_server_words(body: bytes, words: str) -> None:
    """An error has Triton's own words, or the text of whatever stands before Triton, never markup or megabytes."""
    _, error = attempts(Answer(400, body))
    assert str(error) == words


@pytest.mark.parametrize(
    ("status", "words", "row_reason"),
    [
        (400, "bad", Reason.REFUSED),
        (401, "no token", None),
        (404, "unknown model", None),
        (500, "Failed to process the request(s) for model 'm'", Reason.MODEL_ERROR),
        (500, "Stub process 'm_0_0' is not healthy.", None),
        (503, "Exceeds maximum queue size", None),
    ],
)
def test_reasons(status: int, words: str, row_reason: Reason | None) -> None:
    """An error says whether a row may be to blame, and in which way, or none can be."""
    _, error = attempts(Answer(status, words.encode()), max_retries=0)
    assert error is not None
    assert (error.reason if error.reason in ROW_REASONS else None) == row_reason


def test_steps_of_a_sequence() -> None:
    """A step that the server may have counted is not sent twice; one that it surely refused is."""
    gateway = b"upstream connect error or disconnect/reset before headers"
    for answer in (Answer(500), Answer(504), Answer(503, gateway), Answer(429, gateway), Answer(reset=True)):
        assert attempts(answer, OK, sequence_id="s")[0] == 1
    full = b'{"error":"[request id: <id_unknown>] Exceeds maximum queue size"}'
    assert attempts(Answer(503, full), Answer(429, full), OK, sequence_id="s") == (3, None)


def test_timeout() -> None:
    """An attempt that takes longer than `timeout` ends, is tried again, and its connection is closed."""
    assert attempts(Answer(hang=True), OK, timeout="200ms") == (2, None)
    count, error = attempts(Answer(hang=True), timeout="100ms", max_retries=1)
    assert error is not None
    assert (count, error.reason, error.attempts) == (2, Reason.TIMEOUT, 2)
    assert "did not answer within 100 ms" in str(error)


def test_timeout_is_for_the_whole_attempt() -> None:
    """An answer that trickles in is no way around the timeout."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(head)
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, TritonClient(options_for(url, timeout="300ms", max_retries=0)) as client:
            with pytest.raises(InferenceError) as caught:
                await asyncio.wait_for(client.infer(b"{}", None), 20)
            assert caught.value.reason == Reason.TIMEOUT

    asyncio.run(run())


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(form: str) -> None:
    """Retry-After, in seconds or as a date, holds back the whole client: the server said it to all requests."""

    async def run() -> None:
        started = time.time()
        # An HTTP date has whole seconds, so it is taken from the second after the next.
        date = datetime.fromtimestamp(int(started) + 2, UTC)
        wait = "1" if form == "seconds" else format_datetime(date, usegmt=True)
        async with RecordingServer(Answer(429, b"slow down", {"Retry-After": wait}), OK) as server:
            async with TritonClient(options_for(server.url)) as client:
                first = asyncio.create_task(client.infer(b"1", None))
                await server.has_arrived()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while not client.stats.bytes_received:  # noqa: ASYNC110 - the client has no event for it
                        await asyncio.sleep(0.001)
                second = asyncio.create_task(client.infer(b"2", None))
                await asyncio.gather(first, second)
            refused, *later = server.received
            assert len(later) == 2
            # An upper limit would be a guess about the machine.
            again = min(request.at for request in later)
            if form == "seconds":
                assert again >= refused.at + 0.99
            else:
                assert again + time.time() - asyncio.get_running_loop().time() >= date.timestamp() - 0.05

    asyncio.run(run())


@pytest.mark.parametrize("value", ["soon", "", "-5", "Mon, 99 Foo 2020 00:00:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_useless_retry_after(value: str) -> None:
    """A Retry-After that says nothing, or lies in the past, does no harm."""
    assert attempts(Answer(503, b"", {"Retry-After": value}), OK) == (2, None)


def test_nobody_listens() -> None:
    """A server that cannot be reached is an error that names the endpoint and the cause."""

    async def run() -> InferenceError:
        async with RecordingServer() as server:
            url = server.url
        async with TritonClient(options_for(url, max_retries=1)) as client:
            with pytest.raises(InferenceError, match=f"cannot connect to Triton at {url}: .*refused") as caught:
                await client.infer(b"{}", None)
            with pytest.raises(InferenceError, match=f"cannot connect to Triton at {url}"):
                await client.served_model()
            return caught.value

    error = asyncio.run(run())
    assert (error.reason, error.status, error.attempts) == (Reason.UNAVAILABLE, None, 2)


def test_closed_after_cancellation() -> None:
    """Ctrl-C or a cancelled task leaves no connection behind."""

    async def run() -> None:
        async with RecordingServer(Answer(hang=True)) as server:

            async def use() -> None:
                async with TritonClient(options_for(server.url)) as client:
                    await asyncio.gather(*(client.infer(b"{}", None) for _ in range(5)))

            task = asyncio.create_task(use())
            await server.has_arrived()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.all_closed()

    asyncio.run(run())


def test_closed_after_an_error() -> None:
    """An error of the caller, inside the client's block, closes the connections as well."""

    async def run() -> None:
        async with RecordingServer(OK) as server:

            async def use() -> None:
                async with TritonClient(options_for(server.url)) as client:
                    await asyncio.gather(*(client.infer(b"{}", None) for _ in range(5)))
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await use()
            await server.all_closed()
            assert len(server.received) == 5

    asyncio.run(run())


def test_transport_error_of_the_caller() -> None:
    """A caller's own transport may raise httpx's errors, and they are treated like any other."""
    errors: list[Exception] = [httpx.ConnectError("no"), httpx.ReadError("broken"), httpx.RemoteProtocolError("odd")]

    def handle(_: httpx.Request) -> httpx.Response:
        if errors:
            raise errors.pop(0)
        return httpx.Response(200, content=b"{}")

    async def run() -> int:
        async with TritonClient(options_for("http://h"), transport=httpx.MockTransport(handle)) as client:
            await client.infer(b"{}", None)
            return int(client.stats.retries)

    assert asyncio.run(run()) == 3


def test_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    """The debug log shows each request, its attempts and statuses, and never a token, a header or a body."""
    caplog.set_level(logging.DEBUG)

    async def run() -> None:
        async with RecordingServer(Answer(503, b"busy"), OK) as server:
            headers = {"Authorization": f"Bearer {SECRET}", "X-Key": SECRET}
            options = options_for(server.url, auth_token=SECRET, custom_headers={"X-Key": SECRET})
            async with TritonClient(options, headers) as client:
                await client.infer(SECRET.encode(), None)
                await client.served_model()
            assert server.received[0].headers("X-Key") == [SECRET]

    asyncio.run(run())
    text = "\n".join([caplog.text, *(str(record.__dict__) for record in caplog.records)])
    assert "/v2/models/m/infer attempt 1" in text
    assert "/v2/models/m/infer attempt 2" in text
    assert "status 503" in text
    assert SECRET not in text
