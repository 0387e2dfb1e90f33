"""The hooks: what they are told, what they add to requests, and that they cost a run nothing when they fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest
from unit.http_server import Answer, RecordingServer
from unit.kserve import Kept, UpperModel, batches_of, run_engine
from unit.watching import CALL, Watching, on_a_loop

from dbt_triton import instrumentation
from dbt_triton.client import TritonClient
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.instrumentation import Attempt, Request, call_observed
from dbt_triton.options import parse_options


async def send(server: RecordingServer, options: Mapping[str, str] | None = None, *, rows: int = 1) -> object:
    """Send one request, as a call that is watched does."""
    raw = {
        "provider": "triton",
        "endpoint": server.url,
        "model-name": "m",
        "retry-initial-backoff": "1ms",
        **(options or {}),
    }
    with call_observed(lambda: CALL):
        async with TritonClient(parse_options(raw, "m")) as client:
            return await client.infer(b'{"a":1}', None, rows=rows)


@pytest.fixture
def watching() -> Iterator[Watching]:
    """Install a hook for one test."""
    hook = Watching()
    instrumentation.install(hook)
    yield hook
    instrumentation.uninstall(hook)


@on_a_loop
async def test_each_attempt_is_told(watching: Watching) -> None:
    """A hook sees every attempt with what came of it, a retry as one, and its header is on the wire of each."""
    busy = Answer(503, b'{"error":"Exceeds maximum queue size"}', {"Retry-After": "0"})
    async with RecordingServer(busy, Answer(200, b'{"outputs":[]}')) as server:
        await send(server, rows=3)
        assert [received.headers("x-watching") for received in server.received] == [["yes"], ["yes"]]
        (target,) = {request.target.url for request in watching.requests}
        assert target == f"{server.url}/v2/models/m/infer"
    assert [(request.rows, request.resends, request.size) for request in watching.requests] == [(3, 0, 7), (3, 1, 7)]
    assert [(end.status, end.error, end.retry_after) for end in watching.ends] == [
        (503, "unavailable", 0.0),
        (200, "", None),
    ]
    assert [end.size for end in watching.ends] == [0, len(b'{"outputs":[]}')]
    assert watching.end is not None
    assert watching.end.outcome == "succeeded"


@pytest.mark.parametrize(
    ("answer", "options", "status", "error"),
    [
        (Answer(400, b'{"error":"bad"}'), {}, 400, "refused"),
        (Answer(401, b'{"error":"no"}'), {}, 401, "rejected"),
        (Answer(reset=True), {"max-retries": "0"}, None, "unavailable"),
        (Answer(hang=True), {"max-retries": "0", "timeout": "50"}, None, "timeout"),
        (Answer(200, b"{" + b" " * 400 + b"}"), {"max-response-bytes": "100"}, None, "wrong_answer"),
    ],
    ids=["400", "401", "reset", "timeout", "too-long"],
)
@on_a_loop
async def test_failures_have_a_reason(
    watching: Watching, answer: Answer, options: dict[str, str], status: int | None, error: str
) -> None:
    """Whatever a request fails by, its attempt ends once, with a reason that is one of few words."""
    async with RecordingServer(answer) as server:
        with pytest.raises(InferenceError):
            await send(server, options)
    assert [end.error for end in watching.ends] == [error]
    assert watching.ends[0].status in {status, 200}
    assert watching.end is not None
    assert (watching.end.outcome, watching.end.error) == ("failed", error)


@on_a_loop
async def test_a_cancelled_attempt_ends(watching: Watching) -> None:
    """An attempt that is cancelled, as Ctrl-C does, ends, and its call is one that was interrupted."""
    async with RecordingServer(Answer(hang=True)) as server:
        sending = asyncio.create_task(send(server))
        await server.has_arrived()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert [(end.status, end.error) for end in watching.ends] == [(None, "cancelled")]
    assert watching.end is not None
    assert watching.end.outcome == "interrupted"


@on_a_loop
async def test_a_hook_that_fails_fails_no_request() -> None:
    """What an instrumentation raises is nobody's failure: the request is answered, and so is the next hook told."""
    broken, well = Watching(fails=True), Watching()
    for hook in (broken, well):
        instrumentation.install(hook)
    try:
        async with RecordingServer(Answer(200, b"{}")) as server:
            await send(server)
    finally:
        for hook in (broken, well):
            instrumentation.uninstall(hook)
    assert [end.status for end in well.ends] == [200]
    assert well.end is not None


@on_a_loop
async def test_a_hook_may_refuse_on_purpose() -> None:
    """An error of ours that an observer raises ends the request before it is sent, as `dbt-triton tune` wants it."""

    class Refusing(Watching):
        def attempt(self, _request: Request) -> Attempt:
            raise InferenceError("not sent", reason=Reason.STOPPED)

    hook = Refusing()
    instrumentation.install(hook)
    try:
        async with RecordingServer(Answer(200, b"{}")) as server:
            with pytest.raises(InferenceError, match="not sent"):
                await send(server)
            assert server.received == []
    finally:
        instrumentation.uninstall(hook)


@on_a_loop
async def test_splits_and_failed_rows_are_told(watching: Watching) -> None:
    """A call hears of each split and of the rows that failed in the end, by their reason, and never of their text."""
    model = UpperModel(judge=lambda texts: (400, "no 'secret row'") if "secret row" in texts else None)
    with call_observed(lambda: CALL):
        stats = await run_engine(model, batches_of(["a", "secret row", "b", "c"]), Kept())
    assert stats.rows_failed == 1
    splits = [attributes for name, attributes in watching.events if name == "request.split"]
    assert splits == [{"rows": 4, "reason": "refused"}, {"rows": 2, "reason": "refused"}]
    assert ("rows.failed", {"rows": 1, "reason": "refused"}) in watching.events
    (ended,) = [attributes for name, attributes in watching.events if name == "run.ended"]
    assert ended["rows"] == 3
    assert "secret" not in repr(watching.events) + repr(watching.requests) + repr(watching.ends)


@on_a_loop
async def test_an_outage_is_told(watching: Watching) -> None:
    """A call hears when its server goes away, and when it is back."""
    answers = iter([503, 503])
    model = UpperModel(judge=lambda _: (status, "busy") if (status := next(answers, 200)) != 200 else None)
    with call_observed(lambda: CALL):
        await run_engine(model, batches_of(["a", "b"]), Kept(), batch_size=2)
    names = [name for name, _ in watching.events]
    assert names == ["breaker.opened", "breaker.closed", "run.ended"]
    # The same rows again are the same request, though the engine has sent it anew.
    assert [request.resends for request in watching.requests] == [0, 1, 2]


@on_a_loop
async def test_nobody_watches_what_is_no_call(watching: Watching) -> None:
    """What is sent outside of a call, as by `dbt-triton tune`, is told to nobody."""
    raw = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
    async with RecordingServer(Answer(200, b"{}")) as server:
        async with TritonClient(parse_options(raw | {"endpoint": server.url}, "m")) as client:
            await client.infer(b"{}", None)
        assert server.received[0].headers("x-watching") == []
    assert watching.requests == []


@pytest.mark.parametrize("module", ["dbt_triton", "dbt_triton.client", "dbt_triton.step", "dbt_triton.dbt_plugin"])
def test_import_loads_no_instrumentation(module: str) -> None:
    """Who watches nothing pays nothing: neither OpenTelemetry's tracing nor Prometheus is imported, and no SDK."""
    code = (
        f"import {module}, sys\n"
        "from dbt_triton.instrumentation.setup import turn_on\n"
        "turn_on()\n"
        "print(sorted(m for m in sys.modules if m.startswith(('opentelemetry.', 'prometheus_client', 'filelock'))))"
    )
    variables = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.check_output([sys.executable, "-c", code], text=True, env=variables)
    loaded = set(eval(said)) - {"opentelemetry.environment_variables"}  # noqa: S307 - of our own code
    assert {name for name in loaded if not name.startswith("opentelemetry.context")} == set()
