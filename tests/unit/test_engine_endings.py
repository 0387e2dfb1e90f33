import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pyarrow as pa
import pytest
from unit.http_server import Answer, RecordingServer
from unit.kserve import Kept, UpperModel, batches_of, run_engine, spec

from dbt_triton.client import TritonClient
from dbt_triton.engine import Engine, FailedRows, Progress, RunError
from dbt_triton.engine import engine as module
from dbt_triton.errors import DbtTritonError, InferenceError, Reason
from dbt_triton.options import parse_options
from dbt_triton.tensors import RequestFormat

#: Far below every wait that a test would otherwise have to sit out.
PROMPTLY_SECONDS = 20
TEXTS = [f"text {number}" for number in range(40_000)]


class Busy(UpperModel):
    """Answers 503 with a Retry-After of some minutes, from the ``number``-th request on."""

    def __init__(self, number: int, **given: Any) -> None:
        super().__init__(**given)
        self._number = number

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        response = await super().__call__(request)
        if len(self.requests) < self._number:
            return response
        return httpx.Response(503, content=b"busy", headers={"Retry-After": "200"})


def end_of(model: UpperModel, sink: Kept, **options: Any) -> RunError:
    """Return the error that a run ends with, and fail if it takes its time."""

    async def run() -> None:
        given = {key.replace("_", "-"): value for key, value in options.items()}
        await asyncio.wait_for(run_engine(model, batches_of(TEXTS), sink, options=given), PROMPTLY_SECONDS)

    with pytest.raises(RunError) as caught:
        asyncio.run(run())
    return caught.value


def test_run_timeout() -> None:
    """run-timeout ends a run that goes well, and everything that was answered is kept."""
    model, sink = UpperModel(before=lambda _: asyncio.sleep(0.02)), Kept()
    error = end_of(model, sink, run_timeout="500ms", max_concurrent_operations="8")
    assert str(error) == "run-timeout (0.5 s) is over"
    assert error.keys == []
    assert 0 < len(model.requests) < len(TEXTS) / 4
    assert sorted(row[0] for row in sink.predictions_by_key.values()) == sorted(text.upper() for text in model.answered)
    assert sink.failed == []


@pytest.mark.parametrize("options", [{"max_retries": "0"}, {"max_retries": "50"}])
def test_run_timeout_while_the_server_sheds_load(options: dict[str, str]) -> None:
    """A run whose requests all wait for a later attempt ends when run-timeout is over, not when they are due."""
    model, sink = UpperModel(lambda _: (503, "Exceeds maximum queue size")), Kept()
    error = end_of(model, sink, run_timeout="700ms", **options)
    assert "run-timeout" in str(error)
    assert (sink.predictions_by_key, sink.failed) == ({}, [])


def test_run_timeout_within_retry_after() -> None:
    """A Retry-After of minutes does not hold up the end of a run, and no row is marked as failed for it."""
    model, sink = Busy(20), Kept()
    error = end_of(model, sink, run_timeout="700ms", max_retries="3")
    assert "run-timeout" in str(error)
    assert sink.failed == []
    assert len(sink.predictions_by_key) > 0


def test_request_that_fails_after_the_end() -> None:
    """A request that is answered with an error after the run has ended is not backed off for: the run ends then."""
    ended = asyncio.Event()

    async def late(_: list[str]) -> None:
        asyncio.get_running_loop().call_later(0.6, ended.set)
        await ended.wait()

    error = end_of(Busy(1, before=late), Kept(), run_timeout="200ms", max_retries="5")
    assert "run-timeout" in str(error)


def test_stopped_client() -> None:
    """Requests that wait for another attempt are given up at once when the client stops, and no new one is sent."""

    async def run() -> None:
        async with RecordingServer(Answer(503, b"busy", {"Retry-After": "200"})) as server:
            raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "max-retries": "9"}
            async with TritonClient(parse_options(raw, "m")) as client:
                tasks = [asyncio.create_task(client.infer(b"{}", None)) for _ in range(5)]
                async with asyncio.timeout(PROMPTLY_SECONDS):
                    while len(client._backing_off) < 5:  # noqa: ASYNC110 - the client has no event for it
                        await asyncio.sleep(0.005)
                client.stop()
                client.stop()  # twice does no harm
                results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PROMPTLY_SECONDS)
                for error in results:
                    assert isinstance(error, InferenceError)
                    assert (error.reason, error.attempts, str(error)) == (Reason.STOPPED, 1, "busy")
                with pytest.raises(InferenceError, match="not sent"):
                    await client.infer(b"{}", None)
            assert len(server.received) == 5

    asyncio.run(run())


async def run_watched(model: UpperModel, texts: Sequence[str], sink: Kept, **watchers: Any) -> None:
    """Send texts one a request, with watchers; rows may fail for the sake of others."""
    raw = {"provider": "triton", "endpoint": "http://nowhere.invalid", "model-name": "m", "max-retries": "0"}
    outputs = [spec("upper", "STRING"), spec("length", "INT")]
    form = RequestFormat([spec("text", "STRING")], outputs, binary=False, batched=True)
    async with TritonClient(parse_options(raw, "m"), transport=httpx.MockTransport(model)) as client:
        engine = Engine(client, form, batch_size=1, key_columns=1, sink=sink, shared_batches=True, **watchers)
        await asyncio.wait_for(engine.run(batches_of(texts)), PROMPTLY_SECONDS)


class StoppedByUserError(DbtTritonError):
    """What a warehouse raises when its session was interrupted."""


def _after(seconds: float) -> Any:
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > seconds:
            raise StoppedByUserError("the run was interrupted")

    return check


def test_interrupt_while_requests_hang() -> None:
    """Ctrl-C ends a run at once, though no request is answered; what was answered before is kept."""

    async def hang(texts: list[str]) -> None:
        if texts != ["a"]:
            await asyncio.Event().wait()

    sink = Kept()
    with pytest.raises(StoppedByUserError):
        asyncio.run(run_watched(UpperModel(before=hang), ["a", *"bcdefgh"], sink, check_interrupt=_after(0.2)))
    assert sink.predictions_by_key == {0: ("A", 1)}


def test_interrupt_while_rows_are_isolated() -> None:
    """Ctrl-C ends a run at once also while requests that failed are sent again one at a time."""
    tried: set[str] = set()

    async def hang_alone(texts: list[str]) -> None:
        if texts[0] in tried:
            await asyncio.Event().wait()
        tried.update(texts)

    sink = Kept()
    model = UpperModel(lambda texts: (500, "bad batch") if texts == ["b"] else None, before=hang_alone)
    with pytest.raises(StoppedByUserError):
        asyncio.run(run_watched(model, list("abc"), sink, check_interrupt=_after(0.2)))
    assert sorted(sink.predictions_by_key) == [0, 2]


def test_progress_is_told() -> None:
    """About twice a second a run says how far it is, and the last figures are not ahead of the truth."""
    told: list[Progress] = []
    model = UpperModel(lambda texts: (400, "bad") if texts == ["text 3"] else None, before=lambda _: asyncio.sleep(0.1))
    texts = [f"text {number}" for number in range(300)]
    sink = Kept()
    asyncio.run(run_watched(model, texts, sink, progress=told.append))
    assert told
    assert told[0].in_flight > 0
    assert all(1 <= progress.limit <= 256 for progress in told)
    rows = [progress.rows for progress in told]
    assert rows == sorted(rows)
    assert 0 < rows[-1] <= 300
    assert told[-1].rows_failed == 1
    assert (len(sink.predictions_by_key), sink.failed_keys) == (299, [3])


def test_full_disk_is_one_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """When chunk after chunk cannot be written, the run ends with one error, and nothing else is printed."""
    monkeypatch.setattr(module, "CHUNK_ROWS", 4)

    class Full(Kept):
        def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:
            raise OSError(28, "No space left on device", str(len(keys) + len(outputs)))

        def failures(self, failed: Sequence[FailedRows]) -> None:
            raise AssertionError(failed)

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(run_engine(UpperModel(), batches_of(TEXTS[:400]), Full()))
    gc.collect()
    assert "never retrieved" not in caplog.text
