"""A local Spark session, and dbt projects that run on it with ``method: session``.

A session takes ten seconds and more to start, so the tests of one process share one: its tables are in a folder that
goes away with it, and each test takes a schema of its own. dbt runs in the same process and finds the same session.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Generator, Mapping
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from support.dbt import RUN_LOG, DbtProject, DbtResult

#: Loopback only, no page of Spark's, and as little as a test needs.
_SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.sql.ansi.enabled": "false",  # as dbt-spark has it
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def spark_settings(folder: Path, master: str = "local[2,4]") -> dict[str, str]:
    """Return the settings of a session whose tables, metastore and scratch files are in a folder."""
    options = f"-Dderby.system.home={folder} -Dderby.stream.error.file={folder / 'derby.log'}"
    derby = f"jdbc:derby:;databaseName={folder / 'metastore'};create=true"
    return _SETTINGS | {
        "spark.master": master,
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.local.dir": str(folder / "scratch"),
        "spark.driver.extraJavaOptions": options,
        "spark.hadoop.javax.jdo.option.ConnectionURL": derby,
    }


@contextlib.contextmanager
def spark_session(folder: Path, master: str = "local[2,4]") -> Generator[Any]:
    """Start the session of this process, and stop it with its JVM.

    Args:
        folder: for its tables, metastore and scratch files.
        master: of Spark.
    """
    from pyspark import SparkContext  # noqa: PLC0415 - for tests with Spark only
    from pyspark.sql import SparkSession  # noqa: PLC0415 - as above

    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    _write_log_settings(folder)
    os.environ["SPARK_CONF_DIR"] = str(folder / "conf")
    builder = SparkSession.builder.enableHiveSupport()
    for name, value in spark_settings(folder, master).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        yield session
    finally:
        gateway = SparkContext._gateway
        session.stop()
        if gateway is not None:
            _end_jvm(gateway)


@contextlib.contextmanager
def connect_server(folder: Path) -> Generator[str]:
    """Run a Spark Connect server in a process of its own. Returns its address, for SPARK_REMOTE.

    Args:
        folder: for its tables, settings and log.
    """
    import pyspark  # noqa: PLC0415 - for tests with Spark only

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listens = {"spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": str(port)}
    environment = _write_settings(folder, listens | {"spark.sql.catalogImplementation": "hive"})
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    log = folder / "server.log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [str(submit), "--class", server, "spark-internal"],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
            stdout=out,
            stderr=out,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while not _listens(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield f"sc://127.0.0.1:{port}"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _write_settings(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Write the settings of a session in another process, and return its environment."""
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in (spark_settings(folder) | dict(more or {})).items()]
    (folder / "conf" / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")
    _write_log_settings(folder)
    return {"SPARK_CONF_DIR": str(folder / "conf"), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}


def _write_log_settings(folder: Path) -> None:
    """Let Java say errors only: it would say hundreds of lines between those of a test."""
    (folder / "conf").mkdir(exist_ok=True)
    (folder / "conf" / "log4j2.properties").write_text(
        "rootLogger.level = error\nrootLogger.appenderRef.stderr.ref = console\n"
        "appender.console.type = Console\nappender.console.name = console\nappender.console.target = SYSTEM_ERR\n"
        "appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = %p %c{1}: %m%n\n",
        encoding="utf-8",
    )


def _end_jvm(gateway: Any) -> None:
    """End the JVM, which would stay until this process ends; the next session of the process starts another."""
    from pyspark import SparkContext  # noqa: PLC0415 - for tests with Spark only

    process = gateway.proc
    gateway.shutdown()
    process.stdin.close()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    SparkContext._gateway = SparkContext._jvm = None


class SparkProject(DbtProject):
    """A dbt-spark project of ``method: session``, in a folder and a schema of its own.

    Args:
        root: the folder, which is made.
        spark: the session of this process, which dbt uses in `dbt`; a subprocess starts one of its own.
        schema: of the profile.
        threads: of the profile.
        profile: settings added to the profile's target.
    """

    warehouse = "spark"

    def __init__(
        self,
        root: Path,
        spark: Any = None,
        *,
        schema: str = "shop",
        threads: int = 2,
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, threads=threads)
        self.spark = spark
        self.schema = schema
        target = {"type": "spark", "method": "session", "host": "NA", "schema": schema, "threads": threads}
        target |= profile or {}
        self.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": {"dev": target}}}))
        settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "models": {"+file_format": "parquet"}}
        self.write("dbt_project.yml", json.dumps(settings))

    def dbt(self, *arguments: str, **environment: str) -> DbtResult:
        """Run a dbt command to its end within this process, on the session of this process."""
        import agate  # noqa: PLC0415 - dear
        from dbt.cli.main import dbtRunner  # noqa: PLC0415 - as above
        from dbt_common.events.event_manager_client import cleanup_event_logger  # noqa: PLC0415 - as above

        (self.root / "target" / "run_results.json").unlink(missing_ok=True)
        _, variables = self.command()
        console, errors = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(console),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # dbt's own, and those of what it uses, are not ours
            for name, value in (variables | environment).items():
                patch.setenv(name, value)
            patch.chdir(self.root)
            # Its default is the standard output of when it was imported.
            patch.setattr(agate.Table, "print_table", partialmethod(agate.Table.print_table, output=console))
            try:
                invoked = dbtRunner().invoke(list(arguments))
            finally:
                cleanup_event_logger()  # dbt leaves its log open
            if invoked.exception is not None:
                print(invoked.exception)  # noqa: T201 - as the command does
        return DbtResult(0 if invoked.success else 1, console.getvalue(), errors.getvalue(), self.run_results())

    def dbt_apart(self, *arguments: str, **environment: str) -> DbtResult:
        """Run a dbt command to its end in a process of its own, with a session of its own."""
        return super().dbt(*arguments, **self.apart(), **environment)

    def apart(self) -> dict[str, str]:
        """Return the environment of a process with a session of its own, whose tables are in the project's folder."""
        return _write_settings(self.root / "spark")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query; tables without a schema are the project's."""
        before = self.spark.catalog.currentDatabase()
        self.spark.catalog.setCurrentDatabase(self.schema)
        try:
            return [tuple(row) for row in self.spark.sql(sql).collect()]
        finally:
            self.spark.catalog.setCurrentDatabase(before)

    def columns(self, relation: str) -> dict[str, str]:
        """Return the columns of a table with their types, in Spark's words."""
        schema = self.spark.table(f"{self.schema}.{relation}").schema
        return {field.name: field.dataType.simpleString() for field in schema.fields}

    def quote(self, name: str) -> str:
        """Quote an identifier."""
        return "`" + name.replace("`", "``") + "`"

    def stored(self) -> bytes:
        """Return all bytes of the session's tables and of their catalog."""
        folder = Path(self.spark.conf.get("spark.sql.warehouse.dir").removeprefix("file:")).parent
        return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())

    def relations(self) -> set[str]:
        """Return the names of all tables and views of the project's schema but the run log."""
        found = self.spark.sql(f"show tables in {self.schema}").collect()
        return {str(row[1]) for row in found if not row[2]} - RUN_LOG

    def drop(self) -> None:
        """Drop the schema with what is in it."""
        self.spark.sql(f"drop schema if exists {self.schema} cascade")


def has_java() -> bool:
    """Tell whether Spark can be started here."""
    return shutil.which("java") is not None or "JAVA_HOME" in os.environ
