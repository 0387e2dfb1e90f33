"""Runs Python models, and the package's own steps, on the Spark session that dbt-spark's ``method: session`` has.

dbt-spark's own submission methods send the code to Databricks. This one runs it in the process of dbt, in the thread of
the model, with the session as the global ``spark``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from dbt.exceptions import DbtRuntimeError  # type: ignore[attr-defined] # not re-exported by name

from dbt_triton.warehouses.spark.jobs import Jobs, is_connect, node_of, running
from dbt_triton.warehouses.spark.spark_words import was_cancelled, words_of

_SESSION = "session"
#: Either is set where a session is one of Spark Connect.
_REMOTE = {"SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"}

#: What dbt-spark writes a Python model as, where its config says nothing; SQL models have Spark's own default.
_DEFAULT_FORMAT = "delta"
_NO_FORMAT = "DATA_SOURCE_NOT_FOUND"


class SessionJobHelper:
    """Runs the code of one model, as a ``PythonJobHelper`` of dbt's does.

    Args:
        parsed_model: the node, as dbt has it.
        credentials: of the profile.

    Raises:
        DbtRuntimeError: the profile has another method than ``session``.
    """

    def __init__(self, parsed_model: Mapping[str, Any], credentials: Any) -> None:
        self._model = parsed_model
        self._credentials = credentials
        method = str(getattr(credentials.method, "value", credentials.method))
        if method != _SESSION:
            raise DbtRuntimeError(
                f"dbt-triton runs on Spark by `method: session` only, and this profile has `method: {method}`; "
                "docs/spark.md says how dbt connects to a cluster by a session"
            )

    def submit(self, compiled_code: str) -> None:
        """Run the code.

        Args:
            compiled_code: as dbt has compiled it; ``spark`` is the session.

        Raises:
            DbtRuntimeError: what the code raised, in one line, with its place in the user's own file.
        """
        unique_id = str(self._model["unique_id"])
        file = f"<{unique_id}>"
        try:
            spark = open_session(self._credentials.server_side_parameters)
            with running(spark, node_of(unique_id)) as jobs, _cancelled_by_dbt(jobs):
                self._check_format(spark)
                # As on Databricks, the code is a program: Spark sends what it defines by value, and not by its name.
                names = {"spark": spark, "parsed_model": self._model, "__name__": "__main__"}
                exec(compile(compiled_code, file, "exec"), names)  # noqa: S102
        except DbtRuntimeError:
            raise
        except SystemExit as error:
            # That of SIGTERM is raised in the main thread alone, where dbt runs a model with --single-threaded.
            if jobs.interrupted and _is_signal(error):
                raise
            raise DbtRuntimeError(f"the Python model ended the program: exit({error.code})") from None
        except Exception as error:  # noqa: BLE001 - of the user's code
            raise DbtRuntimeError(self._said(error, file, compiled_code)) from None

    def _check_format(self, spark: Any) -> None:
        """Fail before a Python model runs, if Spark cannot write the table that dbt-spark will ask it for.

        Raises:
            DbtRuntimeError: Spark has no such format.
        """
        if self._model.get("language") != "python":
            return
        written = (self._model.get("config") or {}).get("file_format")
        format_ = str(written or _DEFAULT_FORMAT)
        try:
            # Nothing is there. What matters is whether Spark knows who would read it; Connect asks with the schema.
            _ = spark.read.format(format_).load("/dbt_triton_no_such_table").schema
        except Exception as error:  # noqa: BLE001 - that nothing is there has other words for each format
            if _NO_FORMAT not in str(error):
                return
            said = f"file_format '{format_}' is none that this Spark has"
            if not written:
                said = f"it has no file_format, so dbt-spark would write {format_}, which this Spark does not have"
            raise DbtRuntimeError(
                f'{said}; nothing was run. Write dbt.config(file_format="parquet"), or add what reads and writes '
                f"{format_} to Spark's jars"
            ) from None

    def _said(self, error: Exception, file: str, code: str) -> str:
        """Return what the code raised, and where: no line of it, since a line may hold a secret."""
        if was_cancelled(error):
            return "the run was interrupted"
        line = error.lineno if isinstance(error, SyntaxError) else _line_of(error.__traceback__, file)
        words = words_of(error)
        if not words.startswith("["):  # a condition of Spark's says what kind of error it is
            words = f"{type(error).__name__}: {words}".removesuffix(f": {type(error).__name__}")
        return words if line is None else f"{words} ({self._place(line, code)})"

    def _place(self, line: int, code: str) -> str:
        """Return a line of the compiled code as one of the model's file, where dbt has left it as it was written."""
        raw = str(self._model.get("raw_code") or "").strip()
        start = code.find(raw) if raw else -1
        if start >= 0:
            own = line - code[:start].count("\n")
            written = str(self._model["raw_code"])
            own += written[: len(written) - len(written.lstrip())].count("\n")
            if 0 < own <= written.count("\n") + 1:
                return f"line {own} of {self._model.get('original_file_path')}"
        return f"line {line} of the compiled code in target/run"


def open_session(settings: Mapping[str, str]) -> Any:
    """Return the Spark session as dbt-spark's own connection makes it.

    Args:
        settings: ``server_side_parameters`` of the profile.
    """
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    if not _REMOTE & os.environ.keys():  # a Connect server has its catalogs already, and warns
        builder = builder.enableHiveSupport()
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    _run_workers_as_dbt_does(spark)
    return spark


def _run_workers_as_dbt_does(spark: Any) -> None:
    """Let the Python workers of a local Spark be of dbt's environment: Spark takes the first python3 on the path."""
    named = "PYSPARK_PYTHON" in os.environ
    if is_connect(spark) or named or not spark.sparkContext.master.startswith("local"):
        return
    if spark.conf.get("spark.pyspark.python", None) is None:
        spark.sparkContext.pythonExec = sys.executable


@contextmanager
def _cancelled_by_dbt(jobs: Jobs) -> Generator[None]:
    """Let dbt's Ctrl-C cancel these jobs: it asks each connection to cancel, which dbt-spark's session does not."""
    factory = sys.modules.get("dbt.adapters.factory")
    handle = None
    if factory is not None:
        try:
            connection = factory.get_adapter_by_type("spark").connections.get_if_exists()
        except KeyError:
            connection = None  # dbt is imported, and has no such adapter
        handle = None if connection is None else connection.handle
    if handle is None:
        yield
        return
    # Of this connection alone.
    handle.cancel = jobs.cancel
    try:
        yield
    finally:
        vars(handle).pop("cancel", None)


def _line_of(traceback: TracebackType | None, file: str) -> int | None:
    """Return the innermost line of a file within a traceback."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _is_signal(error: SystemExit) -> bool:
    return isinstance(error.code, int) and error.code > 128  # noqa: PLR2004 - as shells count
