"""The real server of the fault tests, and what it counted itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from dbt_triton.server import TritonServer, free_port

REPOSITORY = Path(__file__).parent / "model_repository"
_POLL_SECONDS = 0.05


def rows_run(server: TritonServer) -> int:
    """Return how many rows the server says that it ran with success, once nothing is under way any more."""
    return wait_for_quiet(server.metrics_url, lambda: _metric(_metrics(server.metrics_url), "nv_inference_count"))


def wait_for_quiet(metrics_url: str, counted: Callable[[], int]) -> int:
    """Wait until the server has no request that is under way, then return what was counted."""
    deadline = time.monotonic() + 30
    while _metric(_metrics(metrics_url), "nv_inference_pending_request_count"):
        assert time.monotonic() < deadline, "requests are still under way"
        time.sleep(_POLL_SECONDS)
    return counted()


def _metrics(url: str) -> str:
    return httpx.get(url, trust_env=False, timeout=10).raise_for_status().text


def _metric(text: str, name: str) -> int:
    lines = (line for line in text.splitlines() if line.startswith(f'{name}{{model="faulty"'))
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


class MortalServer:
    """A server that a test may stop, kill and start again on the same port; use it as a context manager.

    Args:
        folder: FAULTS_FOLDER of its model, for a ledger, and for orders to the model.
        extra_args: of ``tritonserver``.
    """

    def __init__(self, folder: Path, *extra_args: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.repository = folder / "model_repository"
        self._extra_args = extra_args
        shutil.copytree(REPOSITORY, self.repository)
        (folder / "ledger").touch()
        self._server = self._new()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A model that hangs, and a dead one, would have the server wait.
        self.kill()

    @property
    def version(self) -> int:
        """The version of its model in the repository."""
        (folder,) = [path for path in (self.repository / "faulty").iterdir() if path.is_dir()]
        return int(folder.name)

    @property
    def url(self) -> str:
        """The endpoint."""
        return self._server.url

    def terminate(self) -> None:
        """Send SIGTERM and wait for the end; there may be none while clients keep their connections."""
        group = self._server.pid
        assert group is not None
        os.kill(group, signal.SIGTERM)
        self._server.wait()
        # A server whose exit-timeout is over leaves its models' processes behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._server.stop()

    def kill(self) -> None:
        """Send SIGKILL to the server and to its models' processes."""
        if self._server.pid is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server.stop()

    def stall(self) -> None:
        """Stop the server's process (SIGSTOP): the kernel still takes connections, and nothing is answered.

        Not its models' processes: the server would crash when it finds that these have not said that they are well.
        """
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on (SIGCONT)."""
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGCONT)

    def have(self, version: int) -> None:
        """Have a version of the model in the repository, in place of others; served after a restart or a load."""
        model = self.repository / "faulty"
        (model / str(self.version)).rename(model / str(version))

    def restart(self) -> None:
        """Start it again on the same port."""
        self._server = self._new()
        self._server.start()

    def post(self, path: str) -> None:
        """Ask the server itself for something, such as to load a model."""
        httpx.post(f"{self.url}{path}", json={}, timeout=60, trust_env=False).raise_for_status()

    def rows(self) -> int:
        """Return how many rows the model says that it ran, in all lives of the server."""
        return sum(int(line) for line in (self.folder / "ledger").read_text().split())

    def settled(self) -> int:
        """Return the same once nothing is under way any more: Triton runs what a client that is gone had sent."""
        return wait_for_quiet(f"http://127.0.0.1:{self._server.metrics_port}/metrics", self.rows)

    def _new(self) -> TritonServer:
        return TritonServer(
            self.repository,
            http_port=self.port,
            extra_args=self._extra_args,
            environment={"FAULTS_FOLDER": str(self.folder)},
        )
