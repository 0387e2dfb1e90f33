"""Waves against a server that fails: what ends a run ends it soon, and what is answered is kept."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.waves import UPPER, Call, FakeTriton, define, refused, texts
from unit.http_server import Answer

from dbt_triton.engine import Progress, RunError
from dbt_triton.errors import ConfigurationError, Reason

pytestmark = pytest.mark.usefixtures("schema")
_QUICK = {"retry-initial-backoff": "10", "max-retries": "1", "batch-size": "16"}


def _call(spark: Any, url: str, source: str, **options: str) -> Call:
    written = {key.replace("_", "-"): value for key, value in options.items()}
    return Call(spark, "out", define(UPPER, {"endpoint": url, "model-name": "m"} | _QUICK | written), source)


def test_what_is_refused_ends_the_run_at_once(spark: Any) -> None:
    """A token that is not taken is said once by each task, not by each attempt of Spark's to run it."""
    fake = FakeTriton(lambda _texts, _n: refused(401, "no such token"))
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 4000), max_concurrent_operations="2")
        with pytest.raises(RunError, match="no such token") as raised:
            call.run(tasks=2)
    assert (raised.value.reason, raised.value.status) == (Reason.REJECTED, 401)
    assert len(raised.value.keys[0]) == 16
    assert len(fake.requests) <= 2


def test_several_servers_share_the_rows(spark: Any) -> None:
    """Every task has all servers; one that sheds load is left to itself, and no row is computed twice."""
    busy = FakeTriton(lambda _rows, _n: refused(503, "busy"))
    one, two = FakeTriton(), FakeTriton()
    with one.serving() as first, two.serving() as second, busy.serving() as third:
        call = _call(spark, f"{first}, {second}, {third}", texts(spark, 2000))
        stats = call.run(tasks=2)
    assert (stats.rows, stats.rows_failed) == (2000, 0)
    assert call.stored() == {"ok": 2000}
    assert len(one.answered) + len(two.answered) == 2000
    assert min(len(one.answered), len(two.answered)) > 200
    assert len(busy.requests) < 100


def test_bad_rows_are_isolated(spark: Any) -> None:
    """A row that is refused fails alone, is not sent again by the next run, unless that is wanted."""
    bad = {"text 7", "text 700"}
    fake = FakeTriton(lambda rows, _n: refused(400, "a bad row") if bad & set(rows) else None)
    with fake.serving() as url:
        source = texts(spark, 1000)
        call = _call(spark, url, source, on_error="null")
        stats = call.run(tasks=2)
        assert (stats.rows, stats.rows_failed) == (998, 2)
        assert call.stored() == {"ok": 998, "permanent": 2}
        failed = [row for row in call.rows() if row.ml_error]
        assert {row.text for row in failed} == bad
        assert {(row.upper, row.ml_error) for row in failed} == {(None, "a bad row")}
        sent = len(fake.requests)
        assert call.run().requests == 0
        assert len(fake.requests) == sent
        fake.judge = lambda _rows, _n: None
        again = _call(spark, url, source, on_error="null", retry_errors="true")
        assert again.run().rows == 2
        assert again.stored() == {"ok": 1000}


def test_a_failed_wave_is_resumed(spark: Any) -> None:
    """A server that stays away ends the run; the next run sends what has no prediction yet, and nothing twice."""
    fake = FakeTriton(lambda _rows, number: refused(503, "gone") if number > 60 else None)
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 2000), circuit_breaker_timeout="1s")
        with pytest.raises(RunError, match="no request succeeded for") as raised:
            call.run(tasks=2, wave_rows=500)
        assert raised.value.status == 503
        answered = len(fake.answered)
        assert 0 < answered < 2000
        fake.judge = lambda _rows, _n: None
        stats = call.run()
        assert (call.known, stats.rows) == (answered, 2000 - answered)
        assert sorted(fake.answered) == sorted(set(fake.answered))
        assert len([row for row in call.rows() if row.upper]) == 2000


def test_a_server_that_comes_back(spark: Any) -> None:
    """A server that is away for a moment costs time only."""
    away = threading.Event()

    def judge(_rows: list[str], number: int) -> Answer | None:
        if number == 20 and not away.is_set():
            away.set()
            threading.Timer(2.0, fake_is_back.set).start()
        return refused(503, "starting") if away.is_set() and not fake_is_back.is_set() else None

    fake_is_back = threading.Event()
    fake = FakeTriton(judge)
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 1500))
        assert call.run(tasks=2).rows == 1500
    assert sorted(fake.answered) == sorted(set(fake.answered))


def test_all_tasks_wait_as_one_is_asked_to(spark: Any) -> None:
    """Where the server asks one task to wait, its neighbours wait as well, and send half as much."""
    asked: list[float] = []
    arrived: list[tuple[float, int]] = []

    def judge(_rows: list[str], number: int) -> Answer | None:
        arrived.append((time.monotonic(), number))
        time.sleep(0.02)
        if number == 30:
            asked.append(time.monotonic())
            return refused(503, "busy", Retry_After="3")
        return None

    fake = FakeTriton(judge)
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 4000), max_retries="3", batch_size="8", max_concurrent_operations="2")
        told: list[Progress] = []
        assert call.run(tasks=2, progress=told.append).rows == 4000
    done = [progress.rows for progress in told]
    assert done == sorted(done)
    assert done[-1] == 4000
    assert any(0 < rows < 4000 for rows in done)
    assert max(progress.in_flight for progress in told) <= 2
    quiet = [at for at, _ in arrived if asked[0] + 1.0 < at < asked[0] + 2.9]
    assert quiet == []


def test_a_version_that_changes_ends_the_run(spark: Any) -> None:
    """A table holds the predictions of one version: another one is noticed by every task, also before it sends."""
    fake = FakeTriton()
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 1000))
        fake.version = "2"
        with pytest.raises(RunError, match="version 2 of the model, but the run began with version 1"):
            call.run(tasks=2)
    assert fake.requests == []


def test_an_answer_that_is_wrong_for_all(spark: Any) -> None:
    """Where the answers show that rows cannot be told apart, nothing of this fingerprint is kept."""
    fake = FakeTriton()
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 640))
        call.run()
        fake.judge = _several
        more = _call(spark, url, texts(spark, 1280))
        with pytest.raises(RunError, match="first axis") as raised:
            more.run(tasks=2)
        assert raised.value.no_answer_counts
        assert more.stored() == {}


def _several(rows: list[str], _number: int) -> Answer:
    """Answer three times for each row."""
    data = [row for row in rows for _ in range(3)]
    output = {"name": "OUTPUT_TEXT", "datatype": "BYTES", "shape": [len(data), 1], "data": data}
    return Answer(body=json.dumps({"model_name": "m", "model_version": "1", "outputs": [output]}).encode())


def test_the_run_has_a_time(spark: Any) -> None:
    """run-timeout is that of the whole run, however many waves it has."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.3)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 4000), run_timeout="10s", max_concurrent_operations="2")
        with pytest.raises(RunError, match=r"run-timeout \(10 s\) is over"):
            call.run(tasks=2, wave_rows=500)
        assert call.stored().get("ok", 0) == len(fake.answered) < 4000


def test_requests_in_flight_are_those_of_all_tasks(spark: Any) -> None:
    """max-concurrent-operations is the total: with fewer than tasks, there are fewer tasks."""
    fake = FakeTriton()
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 500), max_concurrent_operations="1")
        assert call.run(tasks=4).rows == 500
        assert call.files() == 1


def test_secrets_are_read_from_the_environment(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token goes into the requests, and into nothing that Spark writes."""
    monkeypatch.setenv("WAVES_TEST_TOKEN", "a-token-of-the-test")
    fake = FakeTriton()
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 100), auth_token="${WAVES_TEST_TOKEN}")  # noqa: S106 - the name of one
        call.run()
    assert ("authorization", "Bearer a-token-of-the-test") in [(name.lower(), value) for name, value in fake.headers[0]]


def test_tls_files_must_be_where_tasks_run(spark: Any, tmp_path: Path) -> None:
    """A TLS file that is not there is one clear error, before a row is sent."""
    fake = FakeTriton()
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 100))
        gone = str(tmp_path / "ca.pem")
        options = call.model.options.model_copy(update={"tls_ca": gone, "endpoint": "https://127.0.0.1:1"})
        call.model = call.model.__class__(**(call.model.__dict__ | {"options": options}))
        with pytest.raises(ConfigurationError, match=r"ca.pem is not on .* where a task of Spark runs"):
            call.run()


def test_a_failed_task_of_spark_is_tried_again(spark: Any, tmp_path: Path) -> None:
    """A worker that is killed is replaced by Spark: each input has one prediction, though some were paid twice."""
    marker = tmp_path / "killed"

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.02)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 2000), batch_size="8")
        killer = threading.Thread(target=_kill_a_worker, args=(fake, marker))
        killer.start()
        stats = call.run(tasks=2)
        killer.join()
    assert marker.exists()
    assert len(fake.answered) > 2000
    assert call.stored() == {"ok": 2000}
    assert stats.rows == 2000


def _kill_a_worker(fake: FakeTriton, marker: Path) -> None:
    """Kill one of this process's Python workers once the server has had some requests."""
    while len(fake.requests) < 60:
        time.sleep(0.02)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            parents = _ancestors(int(folder.name))
        except OSError:
            continue
        # A worker is a fork of the daemon, which is a child of the JVM.
        if b"pyspark" in command and b"daemon" in command and os.getpid() in parents:
            forked_by = parents[0]
            if b"daemon" in Path(f"/proc/{forked_by}/cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
                marker.touch()
                return


def _ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        status = Path(f"/proc/{pid}/stat").read_text()
        pid = int(status.rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def test_jobs_are_cancelled_by_their_tag(spark: Any) -> None:
    """Cancelling the tag ends the run; executors stop sending, and the next run goes on."""

    def judge(_rows: list[str], _number: int) -> None:
        time.sleep(0.05)

    fake = FakeTriton(judge)
    with fake.serving() as url:
        call = _call(spark, url, texts(spark, 3000), max_concurrent_operations="2")
        context = spark.sparkContext
        context.addJobTag("waves-of-a-test")

        def cancel() -> None:
            while len(fake.requests) < 20:
                time.sleep(0.1)
            context.cancelJobsWithTag("waves-of-a-test")

        threading.Thread(target=cancel).start()
        with pytest.raises(Exception, match=r"(?i)cancel|interrupt"):
            call.run(tasks=2)
        context.removeJobTag("waves-of-a-test")
        time.sleep(3)
        sent = len(fake.requests)
        time.sleep(1)
        assert len(fake.requests) == sent
        fake.judge = lambda _rows, _n: None
        call.run(tasks=2)
        assert call.stored() == {"ok": 3000}
