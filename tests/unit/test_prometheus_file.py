"""The text file for Prometheus: whole at any moment, readable by others, and going on from run to run."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from prometheus_client.parser import text_string_to_metric_families
from unit.http_server import Answer, RecordingServer
from unit.watching import CALL, on_a_loop

from dbt_triton import instrumentation
from dbt_triton.client import TritonClient
from dbt_triton.instrumentation import AttemptEnd, CallEnd, Request, Target, call_observed
from dbt_triton.instrumentation import prometheus as module
from dbt_triton.instrumentation.prometheus import PrometheusHook
from dbt_triton.options import parse_options

_TARGET = Target("http://h:8000/v2/models/m/infer", "/v2/models/{model}/infer", "h", 8000, "m", generates=False)


def samples(path: Path) -> dict[str, float]:
    """Return the values of a file, by name and labels, as Prometheus' own parser reads them."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def total(path: Path, name: str, *parts: str) -> float:
    """Return the sum of the values whose name is this, and whose labels hold these."""
    found = samples(path)
    return sum(
        value for key, value in found.items() if key.startswith(name + "{") and all(part in key for part in parts)
    )


def one_call(hook: PrometheusHook, node: str = "model.shop.n", *, seconds: float = 0.02) -> None:
    """Let a hook measure a call of one request."""
    call = hook.call(replace(CALL, node=node))
    call.attempt(Request(_TARGET, 3, 0, 7)).ended(AttemptEnd(seconds, 200, "", 9, None))
    call.event("run.ended", {"rows": 3, "limit": 16, "tokens": 0})
    call.ended(CallEnd(seconds=1.5, rows=3, predicted=3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "dbt_triton.prom"


@on_a_loop
async def test_file_of_a_real_call(path: Path) -> None:
    """After a call, the file has its requests, retries, rows and times, by the parser of Prometheus itself."""
    hook = PrometheusHook(str(path))
    instrumentation.install(hook)
    try:
        async with RecordingServer(Answer(503), Answer(200)) as server:
            raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "retry-initial-backoff": "1ms"}
            with call_observed(lambda: CALL) as calling:
                async with TritonClient(parse_options(raw, "m")) as client:
                    await client.infer(b'{"a":1}', None)
                calling.end.rows = calling.end.predicted = 1
    finally:
        instrumentation.uninstall(hook)
    assert total(path, "http_client_request_duration_seconds_count", "error_type=503") == 1
    assert total(path, "http_client_request_duration_seconds_count", "http_response_status_code=200") == 1
    assert total(path, "http_client_request_duration_seconds_bucket", "le=+Inf") == 2
    assert total(path, "dbt_triton_request_retries_total") == 1
    assert total(path, "dbt_triton_rows_total", "dbt_triton_row_outcome=predicted") == 1
    assert total(path, "dbt_triton_io_bytes_total", "network_io_direction=transmit") == 14
    assert total(path, "dbt_triton_call_last_rows", "dbt_triton_node=model.shop.n") == 1


def test_counts_go_on_from_run_to_run(path: Path) -> None:
    """A next process adds to the counters and histograms, and replaces what is said of the last call."""
    for _ in range(3):
        one_call(PrometheusHook(str(path)), seconds=0.02)
    one_call(PrometheusHook(str(path)), seconds=2.0)
    name = "http_client_request_duration_seconds"
    assert total(path, f"{name}_count") == 4
    assert total(path, f"{name}_sum") == pytest.approx(2.06)
    assert [total(path, f"{name}_bucket", f",le={bound},") for bound in ("0.01", "0.025", "1.0", "2.5", "+Inf")] == [
        0,
        3,
        3,
        4,
        4,
    ]
    assert total(path, "dbt_triton_rows_total") == 12
    assert total(path, "dbt_triton_call_last_rows") == 3


def test_others_can_read_it_and_nothing_is_left(path: Path) -> None:
    """node_exporter runs as another user: it may read the file whatever the umask is, and finds no half of one."""
    before = os.umask(0o077)
    try:
        one_call(PrometheusHook(str(path)))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in path.parent.iterdir() if not one.name.endswith(".lock")] == [path.name]
    assert list(path.parent.glob("*.prom")) == [path]


def test_processes_and_threads_share_a_file(path: Path) -> None:
    """Several dbt processes with several threads each write one file; nothing of any of them is lost, or seen half."""
    code = (
        "import sys, threading; from pathlib import Path; from unit.test_prometheus_file import one_call\n"
        "from dbt_triton.instrumentation.prometheus import PrometheusHook\n"
        "hook = PrometheusHook(sys.argv[1])\n"
        "work = lambda n: [one_call(hook, f'model.shop.{sys.argv[2]}_{n}') for _ in range(10)]\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "hook.close()"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], env=variables) for n in range(3)]
    over = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not over.wait(0.002):
            if path.exists():
                seen.append(len(samples(path)))

    reader = threading.Thread(target=read)
    reader.start()
    codes = [process.wait(60) for process in running]
    over.set()
    reader.join()
    assert codes == [0, 0, 0]
    assert seen == sorted(seen)  # a reader sees a whole file always, and no series goes
    assert total(path, "dbt_triton_rows_total") == 3 * 2 * 10 * 3
    assert total(path, "http_client_request_duration_seconds_count") == 60
    assert sum(key.startswith("dbt_triton_call_last_rows{") for key in samples(path)) == 6


@pytest.mark.parametrize("text", ["node_load1 0.5\n", "my_job_rows_total 3\n", "not a { metric\n"])
def test_a_file_of_somebody_else_stays(path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where the variable names a file that is not ours, it is left as it is, with one warning, and no run fails."""
    path.write_text(text)
    hook = PrometheusHook(str(path))
    one_call(hook)
    one_call(hook)
    assert path.read_text() == text
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_a_folder_that_is_not_there_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that is missing, or cannot be written to, is told once; what was counted is kept until it can be."""
    path = tmp_path / "later" / "dbt_triton.prom"
    hook = PrometheusHook(str(path))
    one_call(hook)
    assert "not written" in caplog.text
    path.parent.mkdir()
    one_call(hook)
    assert total(path, "dbt_triton_rows_total") == 6


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_what_is_no_file_stays(path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe would be read for ever, and as root /dev/null would become a file of metrics."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    one_call(PrometheusHook(str(path)))
    assert not path.is_file()
    assert "it is no file" in caplog.text


def test_links_of_others_lead_nowhere(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others may write to the folder, a link of theirs makes nobody's file empty, and gets no metrics."""
    theirs = tmp_path / "theirs"
    theirs.write_text("# TYPE dbt_triton_rows counter\n")
    path.symlink_to(theirs)
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    else:
        os.lchown(path, 12345, 12345)
    one_call(PrometheusHook(str(path)))
    assert theirs.read_text() == "# TYPE dbt_triton_rows counter\n"
    assert "it is a link of another user" in caplog.text
    path.unlink()
    path.with_name(f".{path.name}.lock").symlink_to(theirs)
    one_call(PrometheusHook(str(path)))
    assert theirs.read_text() == "# TYPE dbt_triton_rows counter\n"
    assert "is a link" in caplog.text.replace("it is a link of another user", "")


def test_what_another_version_wrote_is_left_out(path: Path) -> None:
    """After an upgrade that renames a metric or changes its buckets, the file is one that Prometheus reads."""
    one_call(PrometheusHook(str(path)))
    text = (
        path.read_text().replace('le="0.025"', 'le="0.03"')
        + "# TYPE dbt_triton_gone counter\ndbt_triton_gone_total 3\n"
    )
    path.write_text(text)
    one_call(PrometheusHook(str(path)))
    assert "dbt_triton_gone" not in path.read_text()
    assert total(path, "http_client_request_duration_seconds_count") == 1


def test_a_lock_that_is_held_delays_for_a_bounded_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that hangs with the lock holds up nobody for long; while requests are in flight, not at all."""
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.2)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    hook = PrometheusHook(str(path))
    with FileLock(path.with_name(f".{path.name}.lock")):
        one_call(hook)
    assert "another process holds its lock" in caplog.text
    assert not path.exists()
    hook.close()
    assert total(path, "dbt_triton_rows_total") == 3


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    """Where the path is a link, what it leads to is written, under one lock, and the link stays."""
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.prom"
    path.symlink_to(Path("elsewhere") / "real.prom")
    one_call(PrometheusHook(str(path)))
    one_call(PrometheusHook(str(target)))
    one_call(PrometheusHook(str(path)))
    assert path.is_symlink()
    assert total(target, "dbt_triton_rows_total") == 9
    assert {file.name for file in tmp_path.iterdir()} == {"elsewhere", path.name}


@pytest.mark.parametrize("target", ["dbt_triton.prom", "nowhere/real.prom", "/dev/null"])
def test_a_link_to_no_file(path: Path, target: str, caplog: pytest.LogCaptureFixture) -> None:
    """A link that leads nowhere, to itself or to no file is told in one warning, and stays."""
    path.symlink_to(target)
    one_call(PrometheusHook(str(path)))
    assert path.is_symlink()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "ä }", "{x}"])
def test_any_name_can_be_read_again(path: Path, name: str) -> None:
    """Whatever a node is called, the file can be read, and is added to."""
    one_call(PrometheusHook(str(path)), name)
    one_call(PrometheusHook(str(path)), name)
    assert total(path, "dbt_triton_rows_total", name) == 6


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    """Leave no hook to other tests."""
    yield
    assert instrumentation.installed() == ()
