"""What the client makes of replies to generate_stream: by their Content-Type and body, not by the status alone."""

import asyncio
import itertools
import time
from typing import Any

import httpx
import orjson
import pytest
from unit.http_server import Answer, RecordingServer

from dbt_triton.client import TritonClient
from dbt_triton.client.client import ClientStats
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.options import Options, parse_options

STREAM, JSON = {"Content-Type": "text/event-stream; charset=utf-8"}, {"Content-Type": "application/json"}
EVENT = b'data: {"model_name":"m","model_version":"1","text_output":"x"}\n\n'
OK = Answer(body=EVENT, headers=STREAM)
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
QUICK = {"retry-initial-backoff": "1ms", "retry-max-backoff": "2ms"}


def options_for(endpoint: str, **given: Any) -> Options:
    """Parse options written with underscores."""
    required = {"provider": "triton", "endpoint": endpoint, "model-name": "m", **QUICK}
    return parse_options(required | {key.replace("_", "-"): value for key, value in given.items()}, "m")


def send(*answers: Answer, **given: Any) -> tuple[int, bytes | InferenceError, int]:
    """Send one prompt. Returns how often it arrived, what came of it, and how often the server was overloaded."""

    async def run() -> tuple[int, bytes | InferenceError, int]:
        overloads: list[None] = []
        async with (
            RecordingServer(*answers) as server,
            TritonClient(options_for(server.url, **given), route="generate") as client,
        ):
            client.on_overload = lambda: overloads.append(None)
            try:
                reply = await client.infer(b'{"text_input":"x"}', None, request_id=7)
                found: bytes | InferenceError = bytes(reply.content)
            except InferenceError as error:
                found = error
            assert {request.path for request in server.received} == {"/v2/models/m/generate_stream"}
            assert {request.body for request in server.received} == {b'{"id":"7","text_input":"x"}'}
            return len(server.received), found, len(overloads)

    return asyncio.run(run())


def failed(*answers: Answer, **given: Any) -> tuple[int, InferenceError]:
    """Send one prompt that fails."""
    count, error, _ = send(*answers, **given)
    assert isinstance(error, InferenceError), error
    return count, error


def error_event(words: str, *before: bytes) -> bytes:
    """Write an error as an event, after others."""
    return b"".join([*before, b"data: " + orjson.dumps({"error": words}) + b"\n\n"])


@pytest.mark.parametrize(
    ("status", "before", "cut"),
    list(itertools.product([200, 400, 500, 503], [(), (EVENT,), (EVENT, EVENT)], [False, True])),
)
def test_an_error_among_events_is_the_models(status: int, before: tuple[bytes, ...], cut: bool) -> None:
    """An error that comes as an event is the model's, whatever the status, also after answers: it is tried again."""
    body = error_event('it said "no"\u2028', *before)
    body = body.replace(b"\n", b"\r\n") if cut else body
    count, error = failed(Answer(status, body, STREAM), max_retries="2")
    assert (count, error.reason, error.status) == (3, Reason.MODEL_ERROR, status)
    assert 'it said "no"' in error.message
    assert send(Answer(status, body, STREAM), OK)[:2] == (2, EVENT)


@pytest.mark.parametrize(
    ("words", "overloads"),
    [
        ("Request timeout expired", True),
        ("Stub process 'vllm_model_0_0' is not healthy.", False),
        ("Model is unavailable due to unhealthy vLLM engine", False),
        (
            "Error generating stream: EngineCore encountered an issue. See stack trace (above) for the root cause.",
            False,
        ),
        ("Error generating stream: Background loop has errored already.", False),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_texts_of_a_server_that_cannot(words: str, overloads: bool, status: int) -> None:
    """What says that the server cannot, rather than that the model will not, is no row's fault."""
    count, error, overloaded = send(Answer(status, error_event(words), STREAM), max_retries="1")
    assert isinstance(error, InferenceError)
    assert (count, error.reason, error.message) == (2, Reason.UNAVAILABLE, words)
    assert bool(overloaded) is overloads


def test_parameters_that_were_not_taken_are_named() -> None:
    """A wrong parameter, of which the backend of vLLM says only this, is explained; the prompt is not sent again."""
    words = "Error generating stream: 'NoneType' object has no attribute 'lora_name'"
    count, error = failed(Answer(400, error_event(words), STREAM), max_retries="3")
    assert (count, error.reason) == (1, Reason.MODEL_ERROR)
    assert error.message.startswith("the server did not take the parameters")
    assert words in error.message


@pytest.mark.parametrize(
    ("status", "reason", "sent"),
    [
        (400, Reason.REFUSED, 1),
        (404, Reason.UNAVAILABLE, 1),
        (401, Reason.REJECTED, 1),
        (500, Reason.MODEL_ERROR, 2),
        (503, Reason.UNAVAILABLE, 2),
    ],
)
@pytest.mark.parametrize("kind", [JSON, {}, {"Content-Type": "text/html"}])
def test_a_refusal_keeps_its_status(status: int, reason: Reason, sent: int, kind: dict[str, str]) -> None:
    """What was refused before anything ran, or by a gateway, is what its status says."""
    count, error = failed(Answer(status, b'{"error":"no"}', kind), max_retries="1")
    assert (count, error.reason, error.status, error.message) == (sent, reason, status, "no")


def test_200_with_an_error_is_an_error() -> None:
    """Triton's generate says so of two answers; a status of 200 makes no error an answer."""
    count, error = failed(Answer(200, b'{"error":"generate expects exactly 1 response"}', JSON), max_retries="1")
    assert (count, error.reason, error.status) == (2, Reason.MODEL_ERROR, 200)


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"error":"x","model_name":"m","model_version":"1"}\n\n',
        b'data: {"model_name":"m","text_output":"\\"error\\""}\n\n',
        b'data: {"model_name":"m","text_output":"data: {\\"error\\":\\"x\\"}\\n\\n"}\n\n',
    ],
)
def test_an_answer_may_speak_of_errors(body: bytes) -> None:
    """An output called error, and a text with the word in it, are answers."""
    assert send(Answer(body=body, headers=STREAM)) == (1, body, 0)


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT),  # no last chunk
        CHUNKED + b"%x\r\n%b" % (len(EVENT) + 5, EVENT),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 500\r\n\r\n" + EVENT,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + EVENT,
    ],
    ids=["no last chunk", "half a chunk", "too short", "ends with the connection"],
)
def test_a_stream_without_its_end_is_broken(raw: bytes) -> None:
    """Only the last chunk tells a whole stream from a broken one: half an answer is never taken for one.

    It was paid for, so that its prompt is sent once more at most, and its row fails, rather than the run.
    """
    count, error = failed(Answer(raw=(raw,)), max_retries="5")
    assert (count, error.reason) == (2, Reason.TIMEOUT)
    assert "in the middle of its answer" in error.message
    assert send(Answer(raw=(raw,)), OK)[:2] == (2, EVENT)
    whole = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)
    assert send(Answer(raw=(whole,)))[:2] == (1, EVENT)


def test_a_stream_without_an_end_through_a_proxy() -> None:
    """Neither is it believed through a transport of httpx's, as there is where a proxy is."""

    def answer(request: httpx.Request) -> httpx.Response:
        del request
        return httpx.Response(200, headers=STREAM, stream=httpx.ByteStream(EVENT))

    async def run() -> ClientStats:
        options = options_for("http://nowhere.invalid", max_retries="1")
        async with TritonClient(options, transport=httpx.MockTransport(answer), route="generate") as client:
            with pytest.raises(InferenceError, match="without an end"):
                await client.infer(b"{}", None)
            return client.stats

    assert asyncio.run(run()).requests == 2


@pytest.mark.parametrize("retries", ["0", "1", "5"])
def test_a_timeout_is_sent_once_more_at_most(retries: str) -> None:
    """The server computes on, so that each attempt doubles its work; the message says so."""
    count, error = failed(Answer(hang=True), timeout="150ms", max_retries=retries)
    assert (count, error.reason) == (min(int(retries), 1) + 1, Reason.TIMEOUT)
    assert "a server goes on with a request that nobody waits for" in error.message


def test_other_failures_between_timeouts_do_not_hide_them() -> None:
    """Two timeouts are two, also where something else came between them."""
    hang, busy = Answer(hang=True), Answer(503, b'{"error":"busy"}', JSON)
    count, error = failed(hang, busy, hang, OK, timeout="150ms", max_retries="9")
    assert (count, error.reason) == (3, Reason.TIMEOUT)
    assert send(hang, busy, busy, OK, timeout="150ms", max_retries="9")[:2] == (4, EVENT)


def test_the_answer_to_another_request_is_not_believed() -> None:
    """An answer that names another request is not this one's; it is sent again on another connection."""
    other = b'data: {"cumulative_logprob":1.0,"id":"8","model_name":"m","text_output":"y"}\n\n'
    mine = other.replace(b"8", b"7")
    assert send(Answer(body=other, headers=STREAM), Answer(body=mine, headers=STREAM))[:2] == (2, mine)


def test_retry_after_holds_back_streams() -> None:
    """A server that is busy and says for how long is left alone for so long."""
    started = time.monotonic()
    busy = Answer(400, error_event("Request timeout expired"), STREAM | {"Retry-After": "1"})
    assert send(busy, OK)[:2] == (2, EVENT)
    assert time.monotonic() - started >= 1
