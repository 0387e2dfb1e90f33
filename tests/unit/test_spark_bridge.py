"""The engine within a task, without Spark: `run_task` is given record batches, and yields the store's."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from support.waves import UPPER, FakeTriton, define, refused, served

from dbt_triton.engine import RunError, RunStats
from dbt_triton.errors import ConfigurationError, InferenceError, Reason
from dbt_triton.inference_model import InferenceModel
from dbt_triton.tensors import TensorSpec, datatype_of_sql
from dbt_triton.tensors.sql_types import SqlType
from dbt_triton.tensors.trim import SeenAxis, Trimmer
from dbt_triton.warehouses.requests import limit_of
from dbt_triton.warehouses.spark.bridge import _SequenceNumbers, run_task
from dbt_triton.warehouses.spark.figures import Figures, Findings
from dbt_triton.warehouses.spark.neighbours import Neighbours
from dbt_triton.warehouses.spark.run_names import ABANDONED_SECONDS, RunName
from dbt_triton.warehouses.spark.task import Task, check_literal_secrets, without_secrets

_QUICK = {"retry-initial-backoff": "10", "max-retries": "1", "batch-size": "4"}


@pytest.fixture(autouse=True)
def _local_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))


def _model(url: str, **options: str) -> InferenceModel:
    written = {key.replace("_", "-"): value for key, value in options.items()}
    return define(UPPER, {"endpoint": url, "model-name": "m"} | _QUICK | written)


def _task(model: InferenceModel, **settings: Any) -> Task:
    types = tuple(column.type for column in model.inputs), tuple(column.type.in_tables for column in model.outputs)
    run = RunName.new()
    return Task(served(model), without_secrets(model.options), 'inference model "m"', *types, str(run), **settings)


def _batches(texts: Sequence[str], size: int = 10) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(texts), size):
        piece = texts[start : start + size]
        keys = pa.array([text.encode() for text in piece], pa.binary())
        yield pa.RecordBatch.from_arrays([keys, pa.array(piece)], names=["ml_key", "value_0"])


def _rows(batches: Iterator[pa.RecordBatch]) -> tuple[list[dict[str, Any]], Figures]:
    """Return the rows by name, and the figures, which come last."""
    names = ["key", "upper", "error", "reason", "status", "attempts", "fingerprint", "kind"]
    rows = [dict(zip(names, row.values(), strict=True)) for batch in batches for row in batch.to_pylist()]
    last = rows.pop()
    assert last["kind"].startswith("figures_")
    return rows, Figures.from_json(last["error"])


TEXTS = [f"text {number}" for number in range(95)]


def test_every_row_comes_back_in_the_shape_of_the_store() -> None:
    """Predictions, failed rows and figures are rows of one shape."""
    fake = FakeTriton(lambda rows, _n: refused(400, "bad") if "text 7" in rows else None)
    with fake.serving() as url:
        rows, figures = _rows(run_task(_task(_model(url)), _batches(TEXTS)))
    assert {row["key"].decode(): row["upper"] for row in rows if row["kind"] == "ok"} == {
        text: text.upper() for text in TEXTS if text != "text 7"
    }
    (failed,) = [row for row in rows if row["kind"] != "ok"]
    assert (failed["key"], failed["kind"], failed["error"], failed["status"]) == (b"text 7", "permanent", "bad", 400)
    assert (figures.stats.rows, figures.stats.rows_failed, figures.error) == (94, 1, None)
    assert figures.stats.requests == len(fake.requests)


def test_several_servers_share_the_rows_of_a_task() -> None:
    """A task has all servers: each gets rows, one that sheds load is left to itself, and figures are those of all."""
    busy = FakeTriton(lambda _rows, _n: refused(503, "busy"))

    def slowly(_texts: list[str], _number: int) -> None:
        time.sleep(0.2)  # so that neither has done everything before the other was looked at

    one, two = FakeTriton(slowly), FakeTriton(slowly)
    with one.serving() as first, two.serving() as second, busy.serving() as third:
        task = _task(_model(f"{first}, {second}, {third}"))
        rows, figures = _rows(run_task(task, _batches(TEXTS)))
        assert {row["key"].decode(): row["upper"] for row in rows} == {text: text.upper() for text in TEXTS}
    assert len(one.answered) + len(two.answered) == len(TEXTS)
    assert min(len(one.answered), len(two.answered)) > 0
    sent = sum(len(server.requests) for server in (one, two, busy))
    assert (figures.stats.requests, figures.stats.retries) == (sent, len(busy.requests))


def test_server_of_another_version_gets_no_row_of_a_task() -> None:
    """One that has come to serve another version since the run began is asked, and left out."""
    one, changed = FakeTriton(), FakeTriton()
    with one.serving() as first, changed.serving() as second:
        task = _task(_model(f"{first}, {second}"))
        changed.version = "2"
        rows, figures = _rows(run_task(task, _batches(TEXTS)))
    assert len(rows) == len(TEXTS)
    assert (figures.error, changed.requests) == (None, [])


def test_nothing_to_send_asks_no_server() -> None:
    """A task without rows sends nothing, and says so."""
    fake = FakeTriton()
    with fake.serving() as url:
        rows, figures = _rows(run_task(_task(_model(url)), iter(())))
    assert (rows, figures.stats.requests, fake.requests) == ([], 0, [])


def test_an_error_is_data() -> None:
    """What ends the run does not fail the task, which Spark would try again; what was answered comes back, too."""
    fake = FakeTriton(lambda _rows, number: refused(401, "no such token") if number > 5 else None)
    with fake.serving() as url:
        rows, figures = _rows(run_task(_task(_model(url, max_concurrent_operations="1")), _batches(TEXTS)))
    assert len(rows) == 20
    error = figures.error
    assert isinstance(error, RunError)
    assert (error.message, error.reason, error.status, error.attempts) == ("no such token", Reason.REJECTED, 401, 1)
    assert error.keys[0].to_pylist() == [text.encode() for text in TEXTS[20:24]]
    assert len(fake.requests) == 6


def test_what_is_wrong_in_the_task_itself_is_raised() -> None:
    """An error that nobody foresaw fails the task, so that Spark tries it again."""

    def broken() -> Iterator[pa.RecordBatch]:
        yield from _batches(TEXTS[:10])
        raise ZeroDivisionError("a broken input")

    with FakeTriton().serving() as url:
        task = _task(_model(url))
        with pytest.raises(ZeroDivisionError, match="a broken input"):
            list(run_task(task, broken()))


def test_a_task_that_is_not_wanted_any_more_stops_sending() -> None:
    """Where Spark closes the generator, the engine ends soon, and the task does not hang."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.02)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        many = [f"text {number}" for number in range(20_000)]
        produced = run_task(_task(_model(url, max_concurrent_operations="2")), _batches(many, 1000))
        next(produced)
        started = time.monotonic()
        produced.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < 10
        sent = len(fake.requests)
        time.sleep(0.5)
        assert len(fake.requests) <= sent + 1


def test_a_task_stops_when_its_neighbour_has_ended_the_run() -> None:
    """Where one task has an error that ends the run, the others on its machine send no more."""
    fake = FakeTriton()
    with fake.serving() as url:
        task = _task(_model(url))
        with Neighbours(task.run) as other:
            other.stop()
            rows, figures = _rows(run_task(task, _batches(TEXTS)))
    assert (rows, figures.stopped, figures.error, fake.requests) == ([], True, None, [])


def test_a_task_stops_in_the_middle_when_its_neighbour_ends_the_run() -> None:
    """Requests in flight end, and what they bring is kept; nothing new is sent."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.02)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        task = _task(_model(url, max_concurrent_operations="2"))
        many = [f"text {number}" for number in range(4000)]
        with Neighbours(task.run) as other:
            threading.Timer(1.0, other.stop).start()
            rows, figures = _rows(run_task(task, _batches(many, 1000)))
            time.sleep(0.1)
    assert figures.stopped
    assert figures.error is None
    assert 0 < len(rows) < 4000
    assert len(rows) == len(fake.answered)


def test_the_time_of_the_run_ends_its_tasks() -> None:
    """What was answered when run-timeout is over comes back; a task that begins later sends nothing."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.02)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        task = replace(_task(_model(url, max_concurrent_operations="2")), deadline=time.time() + 1.5, run_timeout=9.0)
        many = [f"text {number}" for number in range(4000)]
        rows, figures = _rows(run_task(task, _batches(many, 1000)))
        assert 0 < len(rows) == len(fake.answered) < 4000
        assert isinstance(figures.error, RunError)
        assert figures.error.message == "run-timeout (9 s) is over"
        sent = len(fake.requests)
        rows, figures = _rows(run_task(replace(task, run="another"), _batches(TEXTS)))
    assert (rows, len(fake.requests)) == ([], sent)
    assert isinstance(figures.error, RunError)


def test_neighbours_wait_together() -> None:
    """Until when to wait, and that the server sheds load, is known to every task of the machine."""
    run = str(RunName.new())
    with Neighbours(run) as one, Neighbours(run) as two:
        assert two.resume_at(0.0) == 0.0
        one.resume_at(1000.0)
        assert (two.resume_at(10.0), two.resume_at(2000.0), one.resume_at(0.0)) == (1000.0, 2000.0, 2000.0)
        one.overloaded()
        assert (two.overloads_of_others(), two.overloads_of_others(), one.overloads_of_others()) == (True, False, False)


@pytest.mark.parametrize(("total", "tasks"), [(None, 1), (None, 4), (None, 100), (7, 3), (4, 4), (100, 8)])
def test_requests_in_flight_are_shared(total: int | None, tasks: int) -> None:
    """The limits of all tasks are what the options say in total; each task has one at least."""
    with FakeTriton().serving() as url:
        model = _model(url, **({} if total is None else {"max_concurrent_operations": str(total)}))
        task = _task(model, tasks=tasks)
    limits = [limit_of(task.options, task.binding, tasks=tasks, number=number).current for number in range(tasks)]
    assert all(limit >= 1 for limit in limits)
    assert sum(limits) == (total or max(16 // tasks, 1) * tasks)
    assert max(limits) - min(limits) <= 1


def test_secrets_go_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pickled holds no secret; the value is read where the task runs."""
    monkeypatch.setenv("BRIDGE_TOKEN", "a-very-secret-token")
    fake = FakeTriton()
    with fake.serving() as url:
        model = _model(url, auth_token="${BRIDGE_TOKEN}")  # noqa: S106 - the name of one
        task = _task(model)
        pickled = pickle.dumps(task)
        assert b"a-very-secret-token" not in pickled
        _rows(run_task(pickle.loads(pickled), _batches(TEXTS)))  # noqa: S301 - ours
        assert ("Authorization", "Bearer a-very-secret-token") in fake.headers[0]
        monkeypatch.delenv("BRIDGE_TOKEN")
        sent = len(fake.requests)
        rows, figures = _rows(run_task(task, _batches(TEXTS)))
    assert isinstance(figures.error, ConfigurationError)
    assert "needs the environment variable BRIDGE_TOKEN, which is not set" in str(figures.error)
    assert "on Spark's executor" in str(figures.error)
    assert (rows, len(fake.requests)) == ([], sent)


def test_literal_secrets_stay() -> None:
    """A literal secret is masked in what travels, and refused where tasks would need it."""
    with FakeTriton().serving() as url:
        model = _model(url, auth_token="a-literal-secret", custom_headers='{"X-Key": "another-one", "X-T": "${T}"}')  # noqa: S106
    hidden = without_secrets(model.options)
    assert b"literal-secret" not in pickle.dumps(hidden)
    assert b"another-one" not in pickle.dumps(hidden)
    with pytest.raises(ConfigurationError, match="auth-token holds a literal value") as raised:
        check_literal_secrets(model.options, "m")
    assert "X-Key holds a literal value" in str(raised.value)
    assert "X-T" not in str(raised.value)


def test_sequences_are_numbered_across_batches() -> None:
    """A sequence that goes on in the next record batch keeps its number; NULL is one of its own."""
    numbers = _SequenceNumbers()
    assert numbers.of(pa.array([b"a", b"a", b"b"], pa.binary())).to_pylist() == [0, 0, 1]
    assert numbers.of(pa.array([b"b", b"a", None], pa.binary())).to_pylist() == [1, 2, 3]
    assert numbers.of(pa.array([None, b"a"], pa.binary())).to_pylist() == [3, 4]


def _trimmer() -> Trimmer:
    found = datatype_of_sql("FLOAT[]")
    assert found is not None
    padded = TensorSpec("a", "A", found[0], (-1,), SqlType("FLOAT", (None,)), axes=(0,), pad="0")
    return Trimmer([padded, replace(padded, column="c", name="C")], [replace(padded, column="b", name="B", trim=True)])


def test_tasks_that_contradict_each_other_about_padding_end_the_run() -> None:
    """A task may have cut an axis by chance, which the answers to another task rule out: then no answer counts."""
    a, c = ("a", 0), ("c", 0)
    findings = Findings(_trimmer())
    findings.add([Figures(0, seen=[SeenAxis(0, 0, (a, c), was_cut=False)])])
    findings.add([Figures(0, seen=[SeenAxis(0, 0, (a,), was_cut=True)])])
    assert [one.may_be for one in findings.seen] == [(a,)]
    with pytest.raises(RunError, match=r"'trim\.b' = 'false'") as raised:
        findings.add([Figures(0, seen=[SeenAxis(0, 0, (c,), was_cut=False)])])
    assert raised.value.no_answer_counts


def test_an_axis_that_no_task_has_cut_may_be_anything() -> None:
    """Where nothing was cut, answers that rule out every length only say that nothing is padding."""
    findings = Findings(_trimmer())
    findings.add([Figures(0, seen=[SeenAxis(0, 0, (), was_cut=False)])])
    findings.add([Figures(0, seen=[SeenAxis(0, 0, (), was_cut=False)])])
    assert [one.may_be for one in findings.seen] == [()]


def test_figures_come_back_as_they_were() -> None:
    """What a task says is what the driver reads."""
    error = RunError(
        InferenceError("why", reason=Reason.WRONG_ANSWER, status=200, attempts=2), [pa.array([b"\x00\xff"])]
    )
    seen = [SeenAxis(0, 1, (("a", 0),), was_cut=True)]
    figures = Figures(3, RunStats(1, 2, 3, 4, 5, 6, 7.5), 1, seen, stopped=True, error=error)
    back = Figures.from_json(figures.to_json())
    assert (back.number, back.stats, back.several, back.seen, back.stopped) == (3, figures.stats, 1, seen, True)
    assert isinstance(back.error, RunError)
    assert (back.error.message, back.error.keys[0].to_pylist()) == ("why", [b"\x00\xff"])


def test_two_rows_of_several_answers_end_the_run_in_two_tasks_as_in_one() -> None:
    """What takes two proofs in one process takes two in all tasks and waves together."""
    findings = Findings(Trimmer([], []))
    findings.add([Figures(0, several=1)])
    with pytest.raises(RunError, match="its first axis is not the batch") as raised:
        findings.add([Figures(0), Figures(1, several=1)])
    assert raised.value.no_answer_counts


def test_what_says_most_is_told() -> None:
    """Of the errors of several tasks the one is told that says most."""
    ended = RunError(InferenceError("no request succeeded", status=503), [])
    rejected = RunError(InferenceError("no such token", reason=Reason.REJECTED, status=401), [])
    findings = Findings(Trimmer([], []))
    with pytest.raises(RunError, match="no such token"):
        findings.add([Figures(0, error=ended), Figures(1, error=rejected)])
    assert findings.stats == RunStats()


def test_names_tell_the_dead_from_the_living() -> None:
    """A run of this process lives until it ends, however long it takes; another machine's for a week."""
    run, long_ago = RunName.new(), int(time.time()) - ABANDONED_SECONDS - 60
    assert RunName.within(f"out__ml_predictions__pending_{run}") == run
    ended = RunName.new()
    ended.end()
    elsewhere = replace(run, host="00000000")
    parent = replace(run, pid=os.getppid(), started=long_ago)
    of_nobody = [ended, replace(elsewhere, started=long_ago), replace(run, pid=2**22 + 1)]
    assert [one.is_dead for one in (run, elsewhere, parent)] == [False, False, False]
    assert [one.is_dead for one in of_nobody] == [True, True, True]
    assert RunName.within("some_other_table") is None


def test_the_version_is_compared_before_a_row_is_sent() -> None:
    """A server that serves another version than the driver has seen gets no row."""
    fake = FakeTriton()
    with fake.serving() as url:
        task = _task(_model(url))
        fake.version = "2"
        rows, figures = _rows(run_task(task, _batches(TEXTS)))
    assert (rows, fake.requests) == ([], [])
    assert "version 2" in str(figures.error)
