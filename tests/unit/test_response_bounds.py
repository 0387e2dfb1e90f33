import asyncio
import gzip
import itertools
import subprocess
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from unit.http_proxy import proxying
from unit.raw_server import HEAD, PATIENCE_SECONDS, Peer, answer, serving

from dbt_triton.client import TritonClient
from dbt_triton.client.client import MIN_RESPONSE_BYTES
from dbt_triton.client.reply import ERROR_BYTES, METADATA_BYTES
from dbt_triton.errors import AnswerError, DbtTritonError, InferenceError, Reason
from dbt_triton.options import parse_options

MEGABYTE = 2**20
Handler = Callable[[Peer], Awaitable[object]]


def _bomb(size: int) -> bytes:
    """Return gzip of so many zeros."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(MEGABYTE)
    return b"".join([*(packer.compress(zeros) for _ in range(size // MEGABYTE)), packer.flush()])


def _pieces(*pieces: bytes, endless: bytes = b"") -> Handler:
    """Answer each request with these bytes, and then with some again and again, until the client has had enough."""

    async def handle(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in itertools.chain(pieces, itertools.repeat(endless) if endless else ()):
                peer.writer.write(piece)
                await peer.writer.drain()

    return handle


def _error(
    handle: Handler, *, get: bool = False, through_proxy: bool = False, **options: Any
) -> tuple[Exception, float]:
    """Return the error of one request, and how long it took, in seconds."""

    async def run() -> tuple[Exception, float]:
        async with serving(handle) as server, proxying() as proxy:
            with pytest.MonkeyPatch.context() as patch:
                for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
                    patch.delenv(name, raising=False)
                if through_proxy:
                    patch.setenv("http_proxy", proxy.url)
                raw = {
                    "provider": "triton",
                    "endpoint": server.url,
                    "model-name": "m",
                    "max-retries": 0,
                    "timeout": "3s",
                }
                client = TritonClient(
                    parse_options(raw | {key.replace("_", "-"): value for key, value in options.items()}, "m")
                )
            started = time.perf_counter()
            async with client:
                with pytest.raises(DbtTritonError) as caught:
                    await (client.served_model() if get else client.infer(b"{}", None))
            took = time.perf_counter() - started
            await asyncio.wait_for(asyncio.gather(*(peer.ended.wait() for peer in server.peers)), PATIENCE_SECONDS)
            return caught.value, took

    return asyncio.run(run())


LONG = {
    "length": (HEAD + b"Content-Length: 100000000000\r\n\r\n",),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n",),
    "until closed": (HEAD + b"\r\n",),
}
ENDLESS = {
    "length": b"x" * MEGABYTE,
    "chunks": b"100000\r\n" + b"x" * MEGABYTE + b"\r\n",
    "until closed": b"x" * MEGABYTE,
}


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize("form", list(LONG))
def test_too_long_answer(form: str, *, through_proxy: bool) -> None:
    """An answer that is longer than it may be is a wrong answer that names the option, and is not read to its end."""
    handle = _pieces(*LONG[form], endless=ENDLESS[form])
    error, took = _error(handle, through_proxy=through_proxy, max_response_bytes=2 * MEGABYTE)
    assert isinstance(error, AnswerError)
    assert (error.reason, error.attempts) == (Reason.WRONG_ANSWER, 1)
    assert (
        str(error)
        == "the answer is too long: it has more than 2,097,152 bytes; 'max-response-bytes' sets how long it may be"
    )
    assert took < 3


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize("size", [2 * MEGABYTE, 2 * MEGABYTE + 1])
def test_exact_bound(size: int, *, through_proxy: bool) -> None:
    """An answer of exactly so many bytes is taken, plain and packed; one more is too long."""
    body = b"x" * size
    for sent in (answer(body), answer(gzip.compress(body), b"Content-Encoding: gzip")):
        handle = _pieces(sent)
        if size > 2 * MEGABYTE:
            assert isinstance(
                _error(handle, through_proxy=through_proxy, max_response_bytes=2 * MEGABYTE)[0], AnswerError
            )
        else:
            with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
                _error(handle, through_proxy=through_proxy, max_response_bytes=2 * MEGABYTE)


@pytest.mark.parametrize("through_proxy", [False, True])
def test_bomb(*, through_proxy: bool) -> None:
    """A small body that unpacks to a large one is a wrong answer as soon as it is too long."""
    sent = answer(_bomb(256 * MEGABYTE), b"Content-Encoding: gzip")
    error, took = _error(_pieces(sent), through_proxy=through_proxy)
    assert str(error).startswith("the answer is too long: it has more than 67,108,864 bytes when it is unpacked")
    assert took < 3


def test_bomb_within_the_timeout() -> None:
    """Unpacking ends with the time of the attempt, however much the option allows."""
    sent = answer(_bomb(512 * MEGABYTE), b"Content-Encoding: gzip")
    error, took = _error(_pieces(sent), timeout="200ms", max_response_bytes=2**40)
    assert isinstance(error, InferenceError)
    assert error.reason == Reason.TIMEOUT
    assert took < 1


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize("get", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_long_error(*, get: bool, packed: bool, through_proxy: bool) -> None:
    """Of an error, the beginning is read, and told; then the connection is closed."""
    head = b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n"
    if packed:
        bomb = gzip.compress(b'{"error":"bad row ' + b"x" * 30 * MEGABYTE + b'"}', 9)
        handle = _pieces(head + b"Content-Encoding: gzip\r\n\r\n%x\r\n" % len(bomb), bomb, b"\r\n0\r\n\r\n")
    else:
        handle = _pieces(head + b"\r\n", b'12\r\n{"error":"bad row \r\n', endless=ENDLESS["chunks"])
    error, took = _error(handle, get=get, through_proxy=through_proxy)
    assert isinstance(error, InferenceError)
    assert error.status == 400
    assert "bad row xxx" in str(error)
    assert len(str(error)) < 700
    assert took < 3


@pytest.mark.parametrize("through_proxy", [False, True])
def test_long_metadata(*, through_proxy: bool) -> None:
    """What a server says about itself is short, or it is no Triton."""
    error, took = _error(_pieces(*LONG["length"], endless=ENDLESS["length"]), get=True, through_proxy=through_proxy)
    assert f"is no Triton server's: it has more than {METADATA_BYTES:,} bytes" in str(error)
    assert took < 3


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (HEAD, b"X-A: b\r\n" * 1000),
        (HEAD + b"X-A: ", b"b" * 10_000),
        (HEAD, b"X-" + b"a" * 10_000),
        (b"HTTP/1.1 200 ", b"OK" * 5000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"y" * 10_000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"y" * 1000 + b"\r\nx\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: b\r\n" * 1000),
        (HEAD + b"Content-Length: ", b"0" * 10_000),
    ],
)
def test_endless_heads(start: bytes, endless: bytes, *, through_proxy: bool) -> None:
    """Headers, statuses, chunk extensions and trailers without end are no answer, within time and memory."""
    error, took = _error(_pieces(start, endless=endless), through_proxy=through_proxy, timeout="2s")
    assert isinstance(error, InferenceError)
    assert error.status is None or isinstance(error, AnswerError)
    assert took < 2.6


def test_many_small_chunks() -> None:
    """A body in chunks of one byte is read whole, within the memory of a body."""
    body = b"x" * 300_000

    async def run() -> bytes:
        async with serving(
            _pieces(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * len(body), b"0\r\n\r\n")
        ) as server:
            raw = {"provider": "triton", "endpoint": server.url, "model-name": "m"}
            async with TritonClient(parse_options(raw, "m")) as client:
                return bytes((await client.infer(b"{}", None)).content)

    assert asyncio.run(run()) == body


@pytest.mark.parametrize(
    ("option", "expected", "bound"),
    [
        (None, 0, MIN_RESPONSE_BYTES),
        (None, MIN_RESPONSE_BYTES, 2 * MIN_RESPONSE_BYTES),
        (None, 2**70, 2**31),
        (1000, MIN_RESPONSE_BYTES, 1000),
        ("auto", 0, MIN_RESPONSE_BYTES),
    ],
)
def test_default_bound(option: object, expected: int, bound: int) -> None:
    """The bound is the option's; else twice what the declared shapes take, between 64 MiB and 2 GiB."""
    raw = {"provider": "triton", "endpoint": "http://127.0.0.1:9", "model-name": "m"}
    more = {} if option is None else {"max-response-bytes": option}
    client = TritonClient(parse_options(raw | more, "m"), expected_bytes=expected)
    assert client._transport._max_bytes == bound  # type: ignore[attr-defined]


_MEASURED = """
import asyncio, resource, sys
sys.path.insert(0, {tests!r})
from unit.test_response_bounds import _bomb, _error, _pieces, answer, HEAD, ENDLESS, LONG
from dbt_triton.client import TritonClient
bomb = answer(_bomb(1024 * 2**20), b"Content-Encoding: gzip")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for handle in (_pieces(bomb), _pieces(*LONG["chunks"], endless=ENDLESS["chunks"])):
    for through_proxy in (False, True):
        error, took = _error(handle, through_proxy=through_proxy, timeout="4s")
        assert "too long" in str(error), error
        assert took < 5, took
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_of_a_process() -> None:
    """A megabyte that unpacks to a gigabyte, and a body without end, take a few times the bound of memory."""
    code = _MEASURED.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 5 * MIN_RESPONSE_BYTES // MEGABYTE


def test_bounds_are_apart() -> None:
    """An error is read less far than anything else."""
    assert ERROR_BYTES < METADATA_BYTES < MIN_RESPONSE_BYTES
