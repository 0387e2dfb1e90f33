"""A real Triton Inference Server for development and tests, from the PyPI wheel ``nvidia-pytriton``.

The wheel ships the server's own binary and its Python backend; no Docker and no GPU are needed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from dbt_triton.errors import ServeError
from dbt_triton.foreign_text import harmless, shown
from dbt_triton.model_repository import (
    has_plain_path,
    model_folders,
    reasons_of_log,
    with_special_name,
    without_file,
    without_version,
)

_DOCKER = (
    "docker run --rm -p 8000:8000 -v {repository}:/models nvcr.io/nvidia/tritonserver:24.10-py3 "
    "tritonserver --model-repository=/models"
)
MAX_PORT = 65_535
_READY_POLL_SECONDS = 0.1
_LOG_LINES_IN_ERROR = 30
_MODELS = "models"
#: Python's errors within a model, and Triton's table of models.
_TROUBLE = re.compile(r"\w(Error|Exception): |UNAVAILABLE: |failed to load|^  what\(\): ")
#: A process of its Python backend has ended before its model was loaded, for which Triton waits for ever.
_DEAD = "\nterminate called after throwing an instance of "


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class TritonServer:
    """One ``tritonserver`` process that serves a model repository over HTTP.

    Args:
        model_repository: the folder that holds one folder a model.
        http_port: where to listen; 0 takes a free port.
        host: the address to listen on.
        extra_args: further arguments for ``tritonserver``.
        environment: variables added to the server's (and so its models') environment.
        log_file: where the server's log goes; a temporary file by default.

    Raises:
        ServeError: there is no wheel for this machine, the repository is not a folder, or the server stopped.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of one process
        self,
        model_repository: Path,
        *,
        http_port: int = 0,
        host: str = "127.0.0.1",
        extra_args: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        log_file: Path | None = None,
    ) -> None:
        self.model_repository = Path(model_repository).resolve()
        if not self.model_repository.is_dir():
            raise ServeError(f"{self.model_repository} is not a folder; give the path of a model repository")
        if not 0 <= http_port <= MAX_PORT:
            raise ServeError(f"port {http_port} is none: a port is a number from 0 to {MAX_PORT}")
        self.host = host
        self.http_port = http_port
        self.metrics_port = 0
        self._wheel = _find_wheel(self.model_repository)
        self._extra_args = list(extra_args)
        self._environment = environment or {}
        self._scratch = _scratch_folder()
        self.log_file = log_file or self._scratch / "triton.log"
        self._process: subprocess.Popen[bytes] | None = None
        #: Models that are left out, and why.
        self._left_out: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The endpoint, such as ``http://127.0.0.1:8000``."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """Where the server's own counters are, in Prometheus text form."""
        return f"http://{self.host}:{self.metrics_port}/metrics"

    @property
    def pid(self) -> int | None:
        """The process id, or None before the start and after the stop."""
        return self._process.pid if self._process else None

    def start(self, timeout: float = 120.0) -> Self:
        """Start the server and return when it says that every model is ready.

        Args:
            timeout: seconds to wait.
        """
        if self.http_port:
            _refuse_taken_port(self.host, self.http_port)
        else:
            self.http_port = free_port(self.host)
        self.metrics_port = free_port(self.host)
        repository = self._plain_repository()
        backends = self._prepare_backends()
        command = [
            str(self._prepare_binary()),
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            f"--http-address={self.host}",
            f"--http-port={self.http_port}",
            "--allow-grpc=false",
            f"--metrics-address={self.host}",
            f"--metrics-port={self.metrics_port}",
            # Two servers with one prefix can crash each other's Python stub.
            f"--backend-config=python,shm-region-prefix-name=dbt-triton-{uuid.uuid4().hex[:12]}",
            *self._extra_args,
            *self._leave_out(),
        ]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is built above
                command,
                env=self._process_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches us, and we stop the server in order
            )
        try:
            self._wait_ready(timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Stop the server by its process id; kill it when it has not ended after ``timeout`` seconds."""
        process, self._process = self._process, None
        if process:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout)
            # The Python stubs are in the server's own session, and outlive one that ends without waiting for them.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def wait(self) -> int:
        """Wait until the server ends by itself, and return its exit code."""
        if self._process is None:
            raise ServeError("the server is not running")
        return self._process.wait()

    def not_loaded(self) -> dict[str, str]:
        """Return why models of the repository are not served, by name."""
        with httpx.Client(timeout=5.0, trust_env=False) as client:
            models = client.post(f"{self.url}/v2/repository/index").json()
        served = {str(model["name"]) for model in models if model.get("state") == "READY"}
        said = {
            str(model["name"]): self._own_words(str(model.get("reason", "")).split("\n\nAt:", maxsplit=1)[0].strip())
            for model in models
        }
        logged = reasons_of_log(self._log())
        # The index lacks folders without a version, and the reasons of those that could not be read.
        known = {**logged, **{name: why for name, why in said.items() if why}}
        known |= without_version(self.model_repository) | self._left_out
        names = dict.fromkeys([*said, *(path.name for path in model_folders(self.model_repository))])
        return {
            shown(name): shown(known.get(name, "the server's log does not say why"))
            for name in names
            if name not in served and not name.startswith(".")
        }

    def _leave_out(self) -> list[str]:
        """Return the arguments that leave out models for which Triton would wait for ever."""
        if any(argument.startswith(("--model-control-mode", "--load-model")) for argument in self._extra_args):
            return []
        self._left_out = without_file(self.model_repository) | with_special_name(self.model_repository)
        if not self._left_out:
            return []
        names = [path.name for path in model_folders(self.model_repository) if path.name not in self._left_out]
        return ["--model-control-mode=explicit", *(f"--load-model={name}" for name in names)]

    def trouble(self) -> str:
        """Return what the server's log says about models that were not loaded, else its last lines."""
        text = self._log()
        found = [line for line in text.splitlines() if _TROUBLE.search(line)]
        return harmless("\n".join(dict.fromkeys(found))) or self.log_tail()

    def log_tail(self, lines: int = _LOG_LINES_IN_ERROR) -> str:
        """Return the last lines of the server's log."""
        return harmless("\n".join(self._log().splitlines()[-lines:]))

    def _log(self) -> str:
        """Return the server's log, in which the repository has the user's own name."""
        text = self.log_file.read_text("utf-8", errors="replace") if self.log_file.exists() else ""
        return self._own_words(text)

    def _own_words(self, text: str) -> str:
        return text.replace(str(self._scratch / _MODELS), str(self.model_repository))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with httpx.Client(timeout=5.0, trust_env=False) as client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise ServeError(
                        f"tritonserver stopped while loading {self.model_repository}:\n{self.trouble()}\n"
                        "A model's own packages must be in this environment, and its files in its folder"
                    )
                if _DEAD in self._log():
                    raise ServeError(
                        f"a process of Triton's Python backend ended while loading {self.model_repository}:\n"
                        f"{self.trouble()}\nIts Python is that of {Path(sys.executable).parent}"
                    )
                try:
                    if client.get(f"{self.url}/v2/health/ready").is_success:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(_READY_POLL_SECONDS)
        raise ServeError(f"tritonserver was not ready after {timeout:.0f} s; its log ends with:\n{self.log_tail()}")

    def _plain_repository(self) -> Path:
        """Return a path of the repository that Triton's Python backend can bear: its own, or that of a link."""
        if has_plain_path(self.model_repository):
            return self.model_repository
        link = self._scratch / _MODELS
        link.symlink_to(self.model_repository, target_is_directory=True)
        return link

    def _prepare_binary(self) -> Path:
        binary = self._wheel / "bin" / "tritonserver"
        if os.access(binary, os.X_OK):
            return binary
        copy = self._scratch / "tritonserver"
        shutil.copyfile(binary, copy)
        copy.chmod(0o755)
        return copy

    def _prepare_backends(self) -> Path:
        """Lay the backend and the stub of this Python side by side, as the server wants them."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = self._wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.exists():
            known = sorted(path.name for path in (self._wheel / "python_backend_stubs").iterdir())
            raise ServeError(f"nvidia-pytriton has no Python backend for Python {version}, only for {known}")
        backends = self._scratch / "backends"
        shutil.copytree(
            self._wheel / "backends",
            backends,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        target = backends / "python" / stub.name
        target.parent.chmod(0o700)  # as it was installed, nobody may write there perhaps
        shutil.copyfile(stub, target)
        target.chmod(0o755)
        return backends

    def _process_environment(self) -> dict[str, str]:
        site_packages = self._wheel.parent.parent
        libraries = [str(sysconfig.get_config_var("LIBDIR")), str(site_packages / "nvidia_pytriton.libs")]
        inherited = os.environ.get("LD_LIBRARY_PATH")
        environment = os.environ | self._environment
        environment["LD_LIBRARY_PATH"] = ":".join([*libraries, *([inherited] if inherited else [])])
        # The stub takes the first Python of PATH to find its packages.
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
        return environment


def _scratch_folder() -> Path:
    """Make a folder for what the server needs, where the path is one that Triton can hand to a shell as it is."""
    for parent in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")):  # noqa: S108 - a folder within
        if has_plain_path(parent) and os.access(parent, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="dbt-triton-", dir=parent))
    raise ServeError(
        "there is no folder for temporary files that Triton can use: let TMPDIR name one without spaces and quotes"
    )


def _find_wheel(repository: Path) -> Path:
    """Return the folder of the wheel that holds the server."""
    docker = _DOCKER.format(repository=repository)
    if sys.version_info >= (3, 13):
        raise ServeError(
            "the Triton wheel's Python backend needs numpy 1, which does not exist for this Python; "
            f"use Python 3.11 or 3.12, or Docker:\n  {docker}"
        )
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}:
        raise ServeError(
            f"there is no Triton wheel for {platform.system()} on {platform.machine()}; use Docker:\n  {docker}"
        )
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise ServeError(
            f"the Triton server is not installed; run `pip install 'dbt-triton[server]'`, or use Docker:\n  {docker}"
        )
    return Path(spec.origin).parent / "tritonserver"


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServeError(f"port {port} on {host} is in use ({error.strerror}); give another --port") from error
