"""Other kinds of Spark than one in this process: a standalone cluster, and a Spark Connect server.

A cluster tells a driver all it needs by the driver's environment, so that dbt and a plain script are run alike.
Everything listens on loopback addresses and free ports, keeps its files in a temporary folder, and is stopped by its
process id by whoever started it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dbt_triton.server import free_port

#: A JVM needs 5 seconds to start, and a minute where others use the machine.
_START_SECONDS = 120
_STOP_SECONDS = 30
_LOG_LINES = 40
_LOOPBACK = "127.0.0.1"
#: Of a driver of ours: nothing of the user's own Spark or Python is inherited.
_NOT_INHERITED = ("SPARK_", "PYSPARK_", "HADOOP_", "DBT_", "PYTEST_")


@dataclass(frozen=True)
class Cluster:
    """A Spark that a driver in another process can use.

    Args:
        url: ``spark://…`` of a standalone master, ``sc://…`` of a Connect server, ``local[2]`` of neither.
        folder: its files, the warehouse and the metastore among them.
        environment: the variables that a driver needs.
        programs: the folder of the Python that drivers run with.
        workers: the process ids of a standalone cluster's workers, each the leader of its group.
    """

    url: str
    folder: Path
    environment: Mapping[str, str]
    programs: Path
    workers: tuple[int, ...] = ()

    def kill_worker(self, number: int) -> None:
        """Kill a worker and its executors, as a machine goes away.

        Args:
            number: 1 for the first.
        """
        os.killpg(self.workers[number - 1], signal.SIGKILL)

    def run(
        self, *command: str, folder: Path, timeout: float = 400, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of ``programs`` as a driver, to its end.

        Args:
            command: the program's name and its arguments.
            folder: where it runs.
            timeout: seconds, after which it is killed.
            variables: further variables of its environment.
        """
        return subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=folder,
            env=driver_environment({**self.environment, **variables}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def driver_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a driver: this process's without its Spark and dbt, and ``variables``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {
        **inherited,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
        "NO_PROXY": "*",
        "SPARK_LOCAL_IP": _LOOPBACK,
        **variables,
    }


@contextmanager
def standalone(
    workers: int = 2,
    *,
    executor_environment: Mapping[str, str] | None = None,
    cores: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Generator[Cluster, None, None]:
    """Start a standalone master and its workers: the first on 127.0.0.1, the second on 127.0.0.2, and so on.

    Executors run a Python of their own, which has all that is installed here but the product, as a real cluster does.

    Args:
        workers: how many, each with 512 MB for executors.
        executor_environment: variables that executors have and drivers have not.
        cores: of each worker.
        settings: of drivers, besides.
    """
    with _folder("standalone") as folder, ExitStack() as processes:
        port, page = free_port(), free_port()
        options = {"SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false", **_daemon_environment(folder, _LOOPBACK)}
        command = ["Master", "--host", _LOOPBACK, "--port", str(port), "--webui-port", str(page)]
        master = processes.enter_context(
            _process(_class("org.apache.spark.deploy.master.", *command), options, folder / "master.log")
        )
        _wait("the master", master, lambda: _alive_workers(page) is not None)
        url = f"spark://{_LOOPBACK}:{port}"
        pids = []
        for number in range(1, workers + 1):
            host = f"127.0.0.{number}"
            command = ["Worker", "--host", host, "--port", "0", "--webui-port", "0", "--cores", str(cores)]
            command += ["--memory", "512m", "--work-dir", str(folder / f"worker-{number}"), url]
            variables = {**_daemon_environment(folder, host), **(executor_environment or {})}
            log = folder / f"worker-{number}.log"
            worker = _process(_class("org.apache.spark.deploy.worker.", *command), variables, log)
            pids.append(processes.enter_context(worker).process.pid)
        _wait("a worker", master, lambda: _alive_workers(page) == workers)
        (folder / "events").mkdir()
        of_drivers = {
            **driver_settings(folder),
            "spark.eventLog.dir": (folder / "events").as_uri(),
            "spark.eventLog.compress": "false",
            "spark.eventLog.enabled": "true",
            "spark.executor.cores": "1",
            "spark.executor.memory": "512m",
            "spark.master": url,
            **(settings or {}),
        }
        environment = {
            "SPARK_CONF_DIR": str(write_settings(folder, of_drivers)),
            "PYSPARK_PYTHON": str(python_without_the_product(folder)),
        }
        yield Cluster(url, folder, environment, Path(sys.executable).parent, tuple(pids))


@contextmanager
def connect_server() -> Generator[Cluster, None, None]:
    """Start a Spark Connect server with two local cores and a Hive metastore, which outlives its clients.

    Its tasks run a Python that lacks the product, as those of a standalone cluster do.
    """
    with _folder("connect") as folder:
        port = free_port()
        settings = {
            **driver_settings(folder),
            "spark.master": "local[2]",
            "spark.connect.grpc.binding.address": _LOOPBACK,
            "spark.connect.grpc.binding.port": str(port),
        }
        environment = {
            **_daemon_environment(folder, _LOOPBACK),
            # A server is a driver, too.
            "SPARK_DAEMON_MEMORY": "1g",
            "SPARK_CONF_DIR": str(write_settings(folder, settings)),
            "PYSPARK_PYTHON": str(python_without_the_product(folder)),
        }
        command = [
            str(spark_home() / "bin" / "spark-submit"),
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        ]
        log = folder / "connect.log"
        with _process(command, environment, log) as server:
            _wait("the Connect server", server, lambda: "Spark Connect server started" in _text(log))
            url = f"sc://{_LOOPBACK}:{port}"
            yield Cluster(url, folder, {"SPARK_REMOTE": url}, Path(sys.executable).parent)


def events(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    """Return the events of one kind in the logs of a standalone cluster's drivers, such as ``SparkListenerTaskEnd``."""
    found = []
    for path in sorted((cluster.folder / "events").rglob("*")):
        if path.is_file():
            told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if f'"{kind}"' in line]
            found += [event for event in told if event["Event"] == kind]
    return found


def files_with(folder: Path, text: str) -> list[Path]:
    """Return the files under a folder that hold a text."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(OSError):  # some come and go
                if not path.is_symlink() and text.encode() in path.read_bytes():
                    found.append(path)
    return found


def driver_settings(folder: Path) -> dict[str, str]:
    """Return the settings of a small driver whose warehouse and Hive metastore are in ``folder``."""
    return {
        "spark.driver.host": _LOOPBACK,
        "spark.driver.bindAddress": _LOOPBACK,
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder} -Djava.io.tmpdir={folder}",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/metastore;create=true",
        "spark.local.dir": str(folder),
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
    }


def write_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write ``spark-defaults.conf``, and return its folder: what SPARK_CONF_DIR names."""
    conf = folder / "conf"
    conf.mkdir(exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    (conf / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")
    return conf


def python_without_the_product(folder: Path) -> Path:
    """Make a Python that has what is installed here, but not dbt_triton.

    Returns:
        The interpreter, for PYSPARK_PYTHON.
    """
    place = folder / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        # A .pth file may name the product's own folder.
        if not package.name.startswith("dbt_triton") and package.suffix != ".pth":
            (packages / package.name).symlink_to(package)
    return place / "bin" / "python"


def spark_home() -> Path:
    """Return the folder of the installed pyspark, which has Spark's own jars and programs."""
    found = importlib.util.find_spec("pyspark")
    assert found is not None, "pyspark is not installed"
    assert found.origin is not None
    return Path(found.origin).parent


def _class(package: str, name: str, *arguments: str) -> list[str]:
    return [str(spark_home() / "bin" / "spark-class"), package + name, *arguments]


def _daemon_environment(folder: Path, host: str) -> dict[str, str]:
    """Return the variables of a Spark process that runs before any driver."""
    return {
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": host,
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_DAEMON_MEMORY": "256m",
        # Whoever runs the tests may name the product's folder here; a cluster's machines have none.
        "PYTHONPATH": "",
    }


@contextmanager
def _folder(name: str) -> Generator[Path, None, None]:
    folder = Path(tempfile.mkdtemp(prefix=f"dbt-triton-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Started:
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Return the end of its log."""
        return "\n".join(_text(self.log).splitlines()[-_LOG_LINES:])


@contextmanager
def _process(command: Sequence[str], variables: Mapping[str, str], log: Path) -> Generator[_Started, None, None]:
    """Run a process until the context ends; then end it, and what it has started."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=driver_environment(variables),
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield _Started(process, log)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # A worker's executors are of its process group, and outlive one that could not end in order.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(what: str, started: _Started, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if started.process.poll() is not None:
            raise RuntimeError(f"{what} ended while starting: {started.said()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {_START_SECONDS} s: {started.said()}")
        time.sleep(0.2)


def _alive_workers(page: int) -> int | None:
    """Return how many workers a master has, by its status page; None while there is no page."""
    try:
        answer = httpx.get(f"http://{_LOOPBACK}:{page}/json/", timeout=10, trust_env=False)
    except httpx.TransportError:
        return None
    # A master listens before its pages are in place: what it does not know yet, it answers with 404.
    return int(answer.json()["aliveworkers"]) if answer.is_success else None


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
