"""What Spark says of a failure, without the stack traces, the plan and the repeated statement that come with it."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache

from dbt_triton.foreign_text import shown

_LIBRARIES = {"pyspark", "py4j", "grpc"}
_TRACEBACK = "Traceback (most recent call last):"
#: Where the words for a person end: a place in the statement, the statement, a plan, a stack of Java's.
_END = re.compile(
    r"\s*(?:SQLSTATE: \w+|; line \d+,? pos \d+|\(line \d+, pos \d+\)|\n== \w|\n\s*at [\w.$]+\(|\n+Driver stacktrace"
    r"|\n+JVM stacktrace|\n+'?[A-Z]\w+ .*\n\+- )"
)
_CONDITION = re.compile(r"\[[A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*\]")
_OF_JAVA = re.compile(
    r"^(?:An error occurred while calling [\w.$]+\s*:?\s*|: |Caused by: )*(?:[a-z][\w$]*\.)+[A-Z][\w$]*: "
)
_CANCELLED = re.compile(
    r"OPERATION_CANCELED|SPARK_JOB_CANCELLED|JOB_CANCELLED|cancelled (?:job|part of)|job was cancel", re.IGNORECASE
)
#: Spark is not there any more: its JVM, or the Connect server.
_GONE = re.compile(
    r"Py4JNetworkError|Answer from Java side is empty|Connection refused|StatusCode\.UNAVAILABLE"
    r"|stopped SparkContext|SparkContext was shut down|SESSION_CLOSED|SESSION_NOT_FOUND|HANDLE_NOT_FOUND",
    re.IGNORECASE,
)

_THREAD = threading.local()


def words_of(error: BaseException) -> str:
    """Return what Spark, or Python code within it, says of a failure: one line, its condition and its words.

    Of an error in a Python worker it is what the Python code raised.
    """
    text = str(error).strip() or type(error).__name__
    if type(error).__module__.partition(".")[0] not in _LIBRARIES:
        return shown(text)
    if _TRACEBACK in text:
        return shown(_raised(text))
    line = _END.split(text, maxsplit=1)[0].strip()
    condition = _CONDITION.search(line)
    if condition is not None:
        return shown(line[condition.start() :].partition("\n")[0])
    if _GONE.search(text):
        return f"Spark is not reachable any more: {shown(_first_line(line), 200)}"
    return shown(_first_line(line))


def was_cancelled(error: BaseException) -> bool:
    """Tell whether Spark failed since somebody cancelled its jobs."""
    return _CANCELLED.search(f"{type(error).__name__}: {error}") is not None


@contextmanager
def quietly() -> Generator[None]:
    """Let pyspark not write what it raises in this thread to standard error, with plans and the stacks of Java."""
    _watch_loggers()
    before = getattr(_THREAD, "quiet", False)
    _THREAD.quiet = True
    try:
        yield
    finally:
        _THREAD.quiet = before


@lru_cache(maxsize=1)
def _watch_loggers() -> None:
    try:
        from pyspark.logger import PySparkLogger
    except ImportError:
        return  # before Spark 4, which logs none of it
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).addFilter(_is_wanted)


def _is_wanted(_: logging.LogRecord) -> bool:
    return not getattr(_THREAD, "quiet", False)


def _raised(text: str) -> str:
    """Return what the last traceback within a text ends with, such as ``ValueError: bad``."""
    lines = text.rpartition(_TRACEBACK)[2].splitlines()[1:]
    for number, line in enumerate(lines):
        if line and not line[0].isspace():
            said = " ".join(lines[number:])
            return _END.split("\n".join(lines[number:]), maxsplit=1)[0].strip().partition("\n\n")[0] or said
    return _first_line(text)


def _first_line(text: str) -> str:
    return _OF_JAVA.sub("", text, count=1).partition("\n")[0]
