import json
import os
import pty
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from dbt_triton.engine import Progress
from dbt_triton.instrumentation import variables
from dbt_triton.warehouses import progress as module
from dbt_triton.warehouses.progress import BarReporter, PlainReporter, reporter, seconds_left

PROGRESS = Progress(rows=25_000, rows_failed=3, in_flight=32, limit=64, retries=1_234)


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the environment of the test run says."""
    monkeypatch.delenv(variables.PROGRESS, raising=False)


def test_plain_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no terminal is, a line every ten seconds says how far it is; it goes to standard error and is no JSON."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with reporter("classified", 100_000) as show:
        for _ in range(41):
            show(PROGRESS)
            now += 0.5
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "ML_PREDICT classified: 25,000 of 100,000 rows, 2,500 rows/s, 32 in flight, 1,234 retries, 3 errors, 30 s left",
        "ML_PREDICT classified: 25,000 of 100,000 rows, 1,250 rows/s, 32 in flight, 1,234 retries, 3 errors, 60 s left",
    ]


def test_tokens_are_shown_where_they_are_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests of a language model may take minutes each: fewer than a row a second are shown, and the tokens of it."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with reporter("read", 100) as show:
        now += 40
        show(Progress(rows=10, rows_failed=0, in_flight=8, limit=16, retries=0, tokens=2_000))
    assert "10 of 100 rows, 0.25 rows/s, 50 tokens/s, 8 in flight" in capsys.readouterr().err


@pytest.mark.parametrize("name", ['{"a":1}', "[1]", "1", "null", ""])
def test_line_is_never_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Whatever a model is called, no line parses as JSON, which orchestrators would take for an event of dbt's."""
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    monkeypatch.setenv(variables.PROGRESS, " Plain ")
    with reporter(name, 10) as show:
        show(Progress(0, 0, 1, 16, 0))
        show(PROGRESS)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "left" not in lines[0]  # nothing is known yet
    for line in lines:
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(line)


@pytest.mark.parametrize("wanted", ["off", "OFF"])
def test_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: str) -> None:
    """DBT_TRITON_PROGRESS=off is silence, however long a run takes."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setenv(variables.PROGRESS, wanted)
    with reporter("m", 10) as show:
        now += 1e6
        show(PROGRESS)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wanted", "kind"), [(None, PlainReporter), ("plain", PlainReporter), ("bar", BarReporter), ("?", PlainReporter)]
)
def test_choice(monkeypatch: pytest.MonkeyPatch, wanted: str | None, kind: type) -> None:
    """Without a terminal a line is written, unless the variable asks for a bar; a word that is none means auto."""
    if wanted is not None:
        monkeypatch.setenv(variables.PROGRESS, wanted)
    assert type(reporter("m", 10)) is kind


def test_unknown_word_is_auto(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt DBT_TRITON_PROGRESS does not silence a run."""
    monkeypatch.setenv(variables.PROGRESS, "planar")
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    reporter("m", 10)(PROGRESS)
    assert capsys.readouterr().err.startswith("ML_PREDICT m: ")


def test_standard_error_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads standard error any more (a pipe that ended), the run goes on."""
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    show = reporter("m", 10)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        show(PROGRESS)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())  # so that closing it can flush
    assert broken.closed


@pytest.mark.parametrize(("rows", "done", "left"), [(100, 0, None), (100, 25, 30.0), (100, 100, 0.0)])
def test_seconds_left(rows: int, done: int, left: float | None) -> None:
    """The rest of a run is estimated from the rows so far, and not at all before there are any."""
    assert seconds_left(rows, done, 10.0) == left


TWO_RUNS = textwrap.dedent(
    """
    import sys, threading, time
    from dbt_triton.engine import Progress
    from dbt_triton.warehouses import progress as module

    module._SHORT_RUN_SECONDS = 0.0
    steps = threading.Barrier(2)

    def run(name, rows, failed):
        with module.reporter(name, rows) as show:
            sys.stdout.write(type(show).__name__ + "\\n")
            for done in range(0, rows + 1, rows // 4):
                steps.wait(20)
                show(Progress(done, failed, 7, 16, 5))
                time.sleep(0.15)

    threads = [threading.Thread(target=run, args=args) for args in (("first", 4000, 1), ("second", 8000, 2))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print("display", module.BarReporter._shown, module.BarReporter._users)
    run_alone = module.reporter("third", 10)
    with run_alone as show:
        show(Progress(10, 0, 1, 16, 0))
        time.sleep(0.15)
    print("display", module.BarReporter._shown, module.BarReporter._users)
    """
)


def on_a_terminal(code: str) -> tuple[str, str]:
    """Run code with standard error on a terminal. Returns what it wrote to standard output and to the terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True
    ) as process:
        os.close(theirs)
        shown: list[bytes] = []

        def read() -> None:
            try:
                while data := os.read(ours, 65_536):
                    shown.append(data)
            except OSError:
                pass  # Linux says so when the other end is closed

        reader = threading.Thread(target=read)
        reader.start()
        out, _ = process.communicate(timeout=60)
        reader.join(20)
        os.close(ours)
        assert process.returncode == 0, b"".join(shown).decode()
    return out, b"".join(shown).decode()


def test_bars_on_a_terminal() -> None:
    """On a terminal two runs at once have a bar each in one display, which is gone when both are over."""
    out, shown = on_a_terminal(TWO_RUNS)
    assert out.split("\n") == ["BarReporter"] * 2 + ["display None 0"] * 2 + [""]
    for text in ("ML_PREDICT first", "ML_PREDICT second", "ML_PREDICT third", "4000/4000", "8000/8000", "10/10"):
        assert text in shown
    assert "rows/s" in shown
    assert "7 in flight" in shown
    assert "5 retries, 1 errors" in shown
    assert "5 retries, 2 errors" in shown
    # The cursor is given back, and the last thing that is done is to wipe the display.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_short_run_shows_no_bar() -> None:
    """A run of a second or so does not flicker: it shows nothing."""
    code = TWO_RUNS.replace("module._SHORT_RUN_SECONDS = 0.0", "module._SHORT_RUN_SECONDS = 3600.0")
    out, shown = on_a_terminal(code)
    assert "BarReporter" in out
    assert shown == ""


def test_bar_that_failed_leaves_no_display() -> None:
    """A run that ends with an error takes its bar away, too."""
    quietly = "def quietly(*args):\n    with suppress(Exception):\n        run(*args)\n    steps.abort()\n\nthreads = ["
    code = TWO_RUNS.replace("time.sleep(0.15)", "time.sleep(0.15); 1 / (done - 1000)", 1)
    code = code.replace("target=run", "target=quietly").replace("threads = [", quietly, 1)
    code = "from contextlib import suppress\n" + code
    out, _ = on_a_terminal(code)
    assert out.count("display None 0") == 2
