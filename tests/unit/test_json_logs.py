"""Our log as lines of JSON: each line one object, whatever is in it, with where it belongs."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from dbt_triton.engine import Progress
from dbt_triton.instrumentation import set_model, step_of, variables
from dbt_triton.instrumentation.logs import FIELDS, JsonFormatter, OurHandler, configure_logging
from dbt_triton.instrumentation.variables import FORMAT, LEVEL
from dbt_triton.warehouses import progress as progress_module
from dbt_triton.warehouses.progress import reporter

PROGRESS = Progress(rows=25_000, rows_failed=3, in_flight=32, limit=64, retries=1_234)


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Give the test a logger that nobody has configured."""
    for name in variables.KNOWN:
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("dbt_triton")
    before = (logger.handlers[:], logger.level, logger.propagate)
    logger.handlers.clear()
    logger.propagate = True
    yield logger
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test be the first to be told of a variable."""
    monkeypatch.setattr(variables, "_told", set())


@pytest.mark.parametrize("name", sorted(variables.KNOWN))
@pytest.mark.parametrize("value", ["xml", "9", "\x1b[31m", "jsonl"])
def test_unknown_values_are_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """A variable that has a value which means nothing is told in one warning, with those that mean something."""
    monkeypatch.setenv(name, value)
    configure_logging()
    configure_logging()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dbt-triton: {name} is ")
    assert f", which is left aside; write {variables.KNOWN[name][0]}" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, known in variables.KNOWN.items() for value in (*known, "", " ")]
)
def test_known_values_are_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """A value that the documents name is no cause for a word, whatever its case."""
    monkeypatch.setenv(name, f" {value.upper()} ")
    configure_logging()
    assert not capsys.readouterr().err


def test_unknown_values_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Among lines of JSON the warning is one, too."""
    monkeypatch.setenv(FORMAT, "json")
    monkeypatch.setenv(LEVEL, "loud")
    configure_logging()
    (line,) = lines(capsys)
    assert line["message"] == "DBT_TRITON_LOG is loud, which is left aside; write debug, info or warning"


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the objects, one a line."""
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_line_says_where_and_when(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh_logger: logging.Logger
) -> None:
    """A line has time in UTC, level, logger, message, the node, the invocation, the model and the span."""
    monkeypatch.setenv(FORMAT, " JSON ")
    monkeypatch.setenv(LEVEL, "debug")
    configure_logging()
    tracer = TracerProvider().get_tracer("t")
    with step_of("model.shop.n", "an-invocation"), set_model("classifier"), tracer.start_as_current_span("s") as span:
        fresh_logger.getChild("client").debug("POST %s", "http://h")
    (line,) = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    context = span.get_span_context()
    assert line == {
        "level": "debug",
        "logger": "dbt_triton.client",
        "message": "POST http://h",
        "node": "model.shop.n",
        "invocation_id": "an-invocation",
        "model": "classifier",
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
    }


def test_fields_are_left_out_where_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh_logger: logging.Logger
) -> None:
    """Outside of a node and a span a line has neither; warnings are shown although no level is asked for."""
    monkeypatch.setenv(FORMAT, "json")
    configure_logging()
    fresh_logger.info("not shown")
    fresh_logger.warning("shown")
    (line,) = lines(capsys)
    assert sorted(line) == ["level", "logger", "message", "time"]


def test_exception_is_a_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh_logger: logging.Logger
) -> None:
    """A traceback is one field of the line, with its line breaks in it."""
    monkeypatch.setenv(FORMAT, "json")
    configure_logging()
    try:
        json.loads("several\nlines")
    except ValueError:
        fresh_logger.exception("failed")
    (line,) = lines(capsys)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert "JSONDecodeError: Expecting value" in line["exception"]


@given(st.text(), st.text())
def test_no_text_breaks_a_line(message: str, node: str) -> None:
    """Whatever a message or a name holds, a line is one line of ASCII, and the text comes back from it."""
    record = logging.makeLogRecord({"msg": message, "args": None, "levelname": "INFO", "name": "dbt_triton"})
    with step_of(node, "i"):
        line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert json.loads(line)["message"] == message


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ("a file \udcff of other bytes", "a file \\udcff of other bytes"),
        ("half of 😀: \ud83d", "half of 😀: \\ud83d"),
        ("x" * 10_000_000, "x" * 20_000 + "…"),
        ("😀" * 10_000_000, "😀" * 20_000 + "…"),
    ],
    ids=["a byte", "a half", "long", "long and wide"],
)
def test_every_collector_reads_a_line(message: str, read: str) -> None:
    """A line has no half of a character, which strict readers refuse, and is no longer than they take."""
    with step_of(message, "i"):
        line = JsonFormatter().format(logging.makeLogRecord({"msg": message, "args": None, "name": "dbt_triton"}))
    found = orjson.loads(line)
    assert found["message"] == found["node"] == read
    assert len(line) < 2 * 256_000


def test_words_stay_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh_logger: logging.Logger
) -> None:
    """Without the variable the log is as it was: words, and only where a level is asked for."""
    configure_logging()
    assert fresh_logger.handlers == []
    monkeypatch.setenv(LEVEL, "info")
    configure_logging()
    fresh_logger.info("some words")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} dbt_triton INFO some words\n", capsys.readouterr().err)


def test_format_may_change_between_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh_logger: logging.Logger
) -> None:
    """In one process that runs dbt again and again, each command logs as its environment says, once a line."""
    monkeypatch.setenv(LEVEL, "info")
    configure_logging()
    monkeypatch.setenv(FORMAT, "json")
    configure_logging()
    configure_logging()
    fresh_logger.info("x")
    assert [line["message"] for line in lines(capsys)] == ["x"]


def test_a_handler_of_the_process_stays_the_only_one(
    monkeypatch: pytest.MonkeyPatch, fresh_logger: logging.Logger
) -> None:
    """Where the process has said where our log goes, nothing is added to that."""
    monkeypatch.setenv(FORMAT, "json")
    own = logging.NullHandler()
    fresh_logger.addHandler(own)
    configure_logging()
    assert fresh_logger.handlers == [own]


def test_closed_standard_error_ends_no_run(monkeypatch: pytest.MonkeyPatch, fresh_logger: logging.Logger) -> None:
    """Where nobody reads standard error any more, a line is lost, and nothing else."""
    monkeypatch.setenv(FORMAT, "json")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging()
    stream.close()
    fresh_logger.warning("lost")
    assert isinstance(fresh_logger.handlers[0], OurHandler)


@pytest.mark.parametrize("wanted", ["auto", "bar", "plain"])
def test_progress_is_a_line_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: str
) -> None:
    """Progress is a line of JSON as well, with its numbers as fields; a bar would be no line."""
    monkeypatch.setenv(FORMAT, "json")
    monkeypatch.setenv(variables.PROGRESS, wanted)
    monkeypatch.setattr(progress_module, "PLAIN_SECONDS", 0.0)
    with step_of("model.shop.n", "i"), reporter('a "name"\n', 100_000) as show:
        show(PROGRESS)
    (line,) = lines(capsys)
    assert line["message"].startswith('ML_PREDICT a "name"\n: 25,000 of 100,000 rows')
    assert (line["logger"], line["level"], line["node"]) == ("dbt_triton.progress", "info", "model.shop.n")
    wanted_fields = {"rows": 25_000, "rows_total": 100_000, "rows_failed": 3, "in_flight": 32, "retries": 1_234}
    assert {name: line[name] for name in wanted_fields} == wanted_fields


def test_progress_can_be_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """DBT_TRITON_PROGRESS=off means off, whatever the format is."""
    monkeypatch.setenv(FORMAT, "json")
    monkeypatch.setenv(variables.PROGRESS, "off")
    with reporter("n", 10) as show:
        show(PROGRESS)
    assert capsys.readouterr().err == ""


def test_own_fields_never_hide_others() -> None:
    """A field of a record does not take the place of one that every line has."""
    record = logging.makeLogRecord({"msg": "m", "args": None, "levelname": "INFO", "name": "n"})
    vars(record)[FIELDS] = {"message": "other", "rows": 1}
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["rows"]) == ("m", 1)


def test_lines_of_many_threads_are_whole() -> None:
    """Several threads of dbt write at once, also where the encoding is ASCII: every line is an object."""
    code = (
        "import logging, threading; from dbt_triton.instrumentation.logs import configure_logging\n"
        "configure_logging(); log = logging.getLogger('dbt_triton')\n"
        "work = lambda n: [log.warning('\\xe4 \\u20ac\\n %d %d', n, i) for i in range(200)]\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]"
    )
    variables = os.environ | {FORMAT: "json", "PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=variables, check=True)
    found = [json.loads(line) for line in done.stderr.decode("ascii").splitlines()]
    assert len(found) == 1600
    assert {line["message"].split(" ")[0] for line in found} == {"ä"}
    assert done.stdout == b""
