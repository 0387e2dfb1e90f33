"""Trials with the product's own client and engine, against a server that counts."""

import asyncio
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from unittest.mock import Mock

import pyarrow as pa
import pytest
from unit.http_server import Answer, Received, RecordingServer
from unit.test_served_schema import model, served, tensor

from dbt_triton import project_run
from dbt_triton.client.statistics import counts_of
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model import bind
from dbt_triton.tune.measured import Budget
from dbt_triton.tune.picture import draw
from dbt_triton.tune.search import Found, Search, Space, StopSearchError
from dbt_triton.tune.server_side import between, between_each
from dbt_triton.tune.shown import as_json, print_tuned
from dbt_triton.tune.trial import Subject, run_trial
from dbt_triton.tune.trial_figures import ServerSide, Settings, Trial
from dbt_triton.tune.tuner import Bounds, TunedCall, Tuner, _space
from dbt_triton.tune.verdict import verdict

SECRET = "sesame-of-the-gateway"  # noqa: S105 - a test's own


def subject_of(endpoint: str, texts: list[str] | None = None, **options: str) -> Subject:
    """Return a model of one text and one number on a server, with a sample."""
    definition = model(
        "INPUT (x STRING) OUTPUT (y FLOAT)", endpoint=endpoint, binary_data="false", auth_token=SECRET, **options
    )
    binding = bind(definition, served([tensor("X")], [tensor("Y", "FP32")]))
    sample = pa.record_batch({"x": texts or [f"text {number}" for number in range(200)]})
    return Subject(definition.options, binding, {"Authorization": f"Bearer {SECRET}"}, [sample])


def answering(judge: Callable[[list[str]], Answer | None] = lambda _: None) -> Callable[[Received], Answer]:
    """Answer as a model does that gives 1 to every text, unless a function says otherwise."""

    def answer(received: Received) -> Answer:
        if received.method == "GET":
            return _described(received.path)
        request = json.loads(received.body)
        texts = request["inputs"][0]["data"]
        output = {"name": "Y", "datatype": "FP32", "shape": [len(texts), 1], "data": [1.0] * len(texts)}
        body = {"id": request["id"], "model_name": "served", "model_version": "3", "outputs": [output]}
        return judge(texts) or Answer(body=json.dumps(body).encode())

    return answer


def _described(path: str) -> Answer:
    """Say what is served, as one of several servers is asked; there are no statistics."""
    tensors = {
        "inputs": [{"name": "X", "datatype": "BYTES", "shape": [-1, 1]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1, 1]}],
    }
    said = {
        "v2": {"version": "2.51.0", "extensions": ["binary_tensor_data"]},
        "config": {"name": "served", "max_batch_size": 64, "dynamic_batching": {}},
        "served": {"name": "served", "versions": ["3"], **tensors},
        "ready": {},
    }
    known = said.get(path.rpartition("/")[2])
    return Answer(404, b'{"error":"Not Found"}') if known is None else Answer(body=json.dumps(known).encode())


async def trial(server: RecordingServer, settings: Settings, *, most: int = 10**6, **options: Any) -> Trial:
    """Run one short trial."""
    budget = Budget(most)
    budget.allot(most)
    texts = options.pop("texts", None)
    subject = subject_of(server.url, texts, **options)
    return await run_trial(subject, settings, seconds=0.2, budget=budget, stopped=lambda: False)


def posts(server: RecordingServer) -> list[Received]:
    """Return the requests for inference that reached a server."""
    return [one for one in server.received if one.method == "POST"]


def _fails(status: int) -> Callable[[list[str]], Answer | None]:
    count = iter(range(10**9))
    return lambda _: Answer(status, b'{"error":"no"}') if next(count) % 3 else None


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("status", [200, 413, 500, 503])
@pytest.mark.parametrize("most", [1, 20, 150])
def test_the_budget_is_never_exceeded(status: int, most: int, servers: int) -> None:
    """No more requests reach the servers than the budget has, whatever they answer: retries and halves count, too."""

    async def run() -> tuple[int, int, int, bool]:
        answer = answering() if status == 200 else answering(_fails(status))
        async with RecordingServer(answer) as one, RecordingServer(answer) as other:
            budget = Budget(most)
            endpoint = ", ".join([one.url, other.url][:servers])
            subject = subject_of(endpoint, retry_initial_backoff="1", retry_max_backoff="2")

            async def measure(settings: Settings) -> Trial:
                if not budget.left:
                    raise StopSearchError
                budget.allot(max(budget.left // 5, 1))
                return await run_trial(subject, settings, seconds=0.05, budget=budget, stopped=lambda: False)

            found = await Search(Space(Settings(16, 0), 64, servers=servers), measure).run()
            return len(posts(one)), len(posts(other)), budget.used, bool(found.trials)

    first, second, used, has_trials = asyncio.run(run())
    assert first + second <= used <= most
    assert has_trials
    assert first + second > 0
    if status == 200 and most == 150:
        assert bool(second) == (servers == 2)


def test_settings_reach_the_wire() -> None:
    """A trial sends requests of its batch size, no more at once than it says, and not the long ones first."""
    texts = ["word " * (1 + number % 50) for number in range(2_000)]

    async def run() -> tuple[Trial, list[list[str]]]:
        async with RecordingServer(answering()) as server:
            done = await trial(server, Settings(4, 2), texts=texts)
            return done, [json.loads(one.body)["inputs"][0]["data"] for one in posts(server)]

    done, sent = asyncio.run(run())
    assert {len(one) for one in sent} == {4}
    assert done.limit == 2
    assert done.attempts == len(sent)
    assert done.is_sound
    # Alike within a request, and of all lengths among the first.
    assert all(max(map(len, one)) - min(map(len, one)) <= 10 for one in sent)
    lengths = [len(one[0]) for one in sent[:60]]
    assert min(lengths) < 80
    assert max(lengths) > 170


@pytest.mark.parametrize(("status", "kind"), [(503, "503"), (413, "413"), (400, "400")])
def test_refusals_are_results(status: int, kind: str) -> None:
    """Requests that the server refuses are counted by their status, and the trial is none to recommend."""

    async def run() -> Trial:
        refused = answering(lambda texts: Answer(status, b'{"error":"no"}') if len(texts) > 4 else None)
        async with RecordingServer(refused) as server:
            return await trial(server, Settings(8, 2), max_retries="1", retry_initial_backoff="1")

    done = asyncio.run(run())
    assert done.failures[kind] > 0
    assert not done.is_sound


@pytest.mark.parametrize(
    "wrong",
    [
        b"{}",
        b'{"outputs": [{"name": "Z", "datatype": "FP32", "shape": [8, 1], "data": [1, 1, 1, 1, 1, 1, 1, 1]}]}',
        b'{"outputs": [{"name": "Y", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}',
        b'{"outputs": [{"name": "Y", "datatype": "FP32", "shape": [8, 1], "data": [1, 1, 1, 1, 1, 1, 1, "x"]}]}',
    ],
)
@pytest.mark.parametrize("most", [1, 8])
def test_wrong_answers_are_no_gain(wrong: bytes, most: int) -> None:
    """A trial is none to recommend whose answers are wrong, though it ends before it is known of which rows."""

    async def run() -> Trial:
        async with RecordingServer(Answer(body=wrong)) as server:
            return await trial(server, Settings(8, 1), most=most)

    done = asyncio.run(run())
    assert done.failed
    assert not done.is_sound


def test_a_server_that_is_away_is_a_result() -> None:
    """A trial without a server ends in its time, with what went wrong."""

    async def run() -> Trial:
        budget = Budget(100, until=100)
        subject = subject_of("http://127.0.0.1:9", max_retries="1", retry_initial_backoff="1")
        return await run_trial(subject, Settings(8, 2), seconds=0.2, budget=budget, stopped=lambda: False)

    done = asyncio.run(run())
    assert done.failures["no answer"] > 0
    assert done.rate == 0


def test_servers_that_are_all_away_are_a_result() -> None:
    """Where none of several gets a request, the trial says why."""

    async def run() -> Trial:
        subject = subject_of("http://127.0.0.1:9, http://127.0.0.1:10", max_retries="0")
        budget = Budget(100, until=100)
        return await run_trial(subject, Settings(8, 2), seconds=0.2, budget=budget, stopped=lambda: False)

    done = asyncio.run(run())
    assert not done.is_sound
    assert "cannot connect to Triton at http://127.0.0.1:" in done.note


@pytest.mark.parametrize("hangs", ["GET", "POST"])
def test_a_server_that_hangs_does_not_hold_up_who_ends_it(hangs: str) -> None:
    """Ctrl-C ends a trial within seconds, whatever the timeout of a request is."""
    answer = answering()

    async def run() -> float:
        async with RecordingServer(lambda one: Answer(hang=True) if one.method == hangs else answer(one)) as server:
            started = time.monotonic()
            stopped = lambda: time.monotonic() > started + 0.3  # noqa: E731
            subject = subject_of(server.url, timeout="60s")
            await run_trial(subject, Settings(8, 2), seconds=60, budget=Budget(100, until=100), stopped=stopped)
            return time.monotonic() - started

    assert asyncio.run(run()) < 5


def stats(count: int, *, cached: int = 0) -> dict[str, Any]:
    """Answer as Triton does that has answered so many requests of 4 rows, 2 of them at once."""
    each = {"success": 10, "queue": 3, "compute_input": 1, "compute_infer": 5, "compute_output": 1}
    inferences = {kind: {"count": count, "ns": count * ms * 1_000_000} for kind, ms in each.items()}
    inferences |= {"fail": {"count": 0, "ns": 0}, "cache_hit": {"count": cached, "ns": 0}}
    one = {"version": "3", "inference_count": 4 * count, "execution_count": count // 2, "inference_stats": inferences}
    return {"model_stats": [one, {**one, "version": "2", "inference_count": 10**6}]}


def test_the_server_is_read_by_differences() -> None:
    """Triton's counters become means of what happened in between, of the version that is asked."""
    server = between(counts_of(stats(100), "3"), counts_of(stats(300), "3"))
    assert server is not None
    assert (server.requests, server.rows, server.rows_an_execution) == (200, 800, 8.0)
    assert (server.queue, server.compute, server.total) == (3.0, 7.0, 10.0)
    assert between(counts_of(stats(300), "3"), counts_of(stats(100), "3")) is None  # it was started again
    assert counts_of({"model_stats": "none"}, "3") is None
    assert counts_of({}, "3") is None


def test_other_traffic_is_noticed() -> None:
    """Requests that the server counted beyond those of a trial are somebody else's."""
    ours = Trial(Settings(8, 2), 1.0, 800, 100, attempts=100)
    assert Trial(**{**vars(ours), "server": ServerSide(requests=101)}).others == 0
    assert Trial(**{**vars(ours), "server": ServerSide(requests=150)}).others == 50


def tuned(trials: list[Trial], current: Settings) -> tuple[Tuner, TunedCall]:
    """Return a call with these trials."""
    found = Found()
    for one in trials:
        found.add(one)
    subject = subject_of("http://h")
    planned = Mock()
    planned.model.name, planned.number = "classifier", 0
    best = max(found.trials, key=found.rate)
    call = TunedCall(
        planned,
        subject.binding,
        Space(current, 64),
        200,
        found,
        verdict(found, current, best),
        is_complete=False,
        requests=900,
    )
    return Tuner(Bounds(1, 1.0, 1), None, print, calls=[call]), call


def test_the_table_and_the_picture(tmp_path: Path) -> None:
    """The table has a line for each setting with a bar, marks today's and the best, and tells failures."""
    server = ServerSide(requests=180, rows=800, executions=100, queue=3.0, compute_infer=8.1, total=11.1, cache_hits=5)
    trials = [
        Trial(Settings(8, 0), 1.0, 800, 100, 100, 12.3, 12, 13, 14, limit=16, server=server),
        Trial(Settings(64, 8), 1.0, 6_400, 100, 100, 12.3, 12, 13, 14, limit=8, server=server),
        Trial(Settings(64, 128), 1.0, 640, 10, 300, 12.3, 12, 13, 14, {"503": 290}, limit=128, server=server),
    ]
    tuner, call = tuned(trials, Settings(8, 0))
    out = io.StringIO()
    print_tuned(tuner, [(call, [])], out)
    text = out.getvalue()
    lines = {line.split()[0] + line.split()[1]: line for line in text.splitlines() if line.strip()[:1].isdigit()}
    assert "today" in lines["8auto"]
    assert "best" in lines["648"]
    assert lines["648"].count("█") == 20
    assert lines["8auto"].count("█") == 2
    assert "290 x 503" in lines["64128"]
    for words in ("sheds load", "somebody else", "response cache", "before every trial", "8 times the rows a second"):
        assert words in text, words
    assert json.loads(json.dumps(as_json(tuner, "m", [(call, [])])))["calls"][0]["ratio"] == 8.0
    picture = tmp_path / "tune.png"
    draw([call], "classified", picture)
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("width", [150, None])
def test_the_table_of_long_tailed_texts_is_readable(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    """With the columns of the lengths of rows, headings and cells are whole; a narrow terminal wraps headings."""
    server = ServerSide(requests=180, rows=800, executions=100, queue=3.0, compute_infer=8.1, total=11.1)
    many = [
        Trial(
            Settings(64, place, by, tokens), 1.0, 123_456 + place, 100, 100, 999.9, 1_012, 1_113, 1_214, server=server
        )
        for place, by, tokens in ((0, "length", 0), (8, "none", 0), (8, "length", 2_048))
    ]
    tuner, call = tuned(many, many[0].settings)
    call.space = replace(call.space, has_lengths=True)
    out = io.StringIO()
    if width:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(out, "isatty", lambda: True)
    print_tuned(tuner, [(call, [])], out)
    text = out.getvalue()
    assert "…" not in text.partition("Today:")[0], text
    several = () if width else ("rows a request", "in flight", "compute ms")
    for heading in (*several, "batch-by", "batch-tokens", "rows/s", "failed"):
        assert heading in text, (heading, text)


def test_padded_arrays_are_tried_by_length() -> None:
    """Rows of unequal length that are padded may gain by sharing requests with their like, as texts do."""
    tensors = [tensor("X", "FP32", (-1,))], [tensor("Y", "FP32")]
    rows = pa.record_batch({"x": pa.array([[1.0], [1.0, 2.0]], pa.list_(pa.float32()))})
    for options, expected in (({"pad": "0"}, True), ({}, False)):
        definition = model("INPUT (x FLOAT[]) OUTPUT (y FLOAT)", **options)
        binding = bind(definition, served(*tensors))
        planned = Mock(model=Mock(options=definition.options))
        assert _space(planned, binding, 64, [rows]).has_lengths is expected, options


def test_servers_that_do_not_say_are_left_out_of_where_time_goes() -> None:
    """Of several servers, one that is away or began anew leaves the others' words; nobody's words are None."""
    before, after = counts_of(stats(100), "3"), counts_of(stats(300), "3")
    server = between_each([before, None, after, before], [after, after, before, after])
    assert server is not None
    assert (server.requests, server.queue, server.compute) == (400, 3.0, 7.0)
    assert between_each([None, before], [after, None]) is None
    assert between_each(None, [after]) is None


def test_what_the_preflight_says_is_told() -> None:
    """A server that is away has no part in the figures, which a reader must know to believe them."""
    tuner, call = tuned([Trial(Settings(8, 0), 1.0, 800, 100, 100)], Settings(8, 0))
    away = "cannot connect to Triton at http://b; rows go to the other servers until it answers"
    call.binding = replace(call.binding, warnings=(away,))
    out = io.StringIO()
    print_tuned(tuner, [(call, [])], out)
    assert f"{away}.\n" in out.getvalue()
    assert f"{away}." in as_json(tuner, "m", [(call, [])])["calls"][0]["notes"]


@pytest.mark.parametrize(("route", "most"), [("infer", 512), ("generate", 4_096)])
def test_language_models_may_have_thousands_in_flight(route: Literal["infer", "generate"], most: int) -> None:
    """As many as `auto` may reach: twice as many with two servers."""
    subject = subject_of("http://a, http://b")
    planned = Mock(model=Mock(options=subject.options))
    space = _space(planned, replace(subject.binding, route=route), 64, subject.sample)
    assert space.most_in_flight == most


def test_a_target_on_spark_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once dbt has parsed, and no Spark is started: only DuckDB can be tuned on, and what else there is."""
    node = Mock(resource_type="model", alias="classified", version=None, unique_id="model.shop.classified")
    node.name, node.config.materialized = "classified", "ml_predict"
    manifest = Mock(nodes={node.unique_id: node})
    manifest.metadata.adapter_type = "spark"
    monkeypatch.setattr(project_run, "invoke_dbt", lambda *_: (manifest, ""))
    with pytest.raises(DbtTritonError, match="Tune with a target on DuckDB, or compare runs with the option 'sample'"):
        project_run.predicting_model("classified", [])
