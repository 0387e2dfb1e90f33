"""One real Triton for all workers of a test run, each test with models of its own on it.

The first worker that needs the server starts a supervisor process, which starts Triton and stops it, by its process id,
when nobody uses it any more. Users hold a shared lock on a file, which the kernel takes back however they end.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

MODELS = Path(__file__).parent / "model_repository"
_TESTS = Path(__file__).parents[1]
_METRICS = {
    "requests": "nv_inference_request_success",
    "failed_requests": "nv_inference_request_failure",
    "rows": "nv_inference_count",
    "executions": "nv_inference_exec_count",
}


@dataclass(frozen=True)
class Counters:
    """What the server itself counted for one model; the difference of two is what happened in between.

    ``requests`` were answered with success, ``rows`` were predicted, in ``executions`` batches.
    """

    requests: int = 0
    failed_requests: int = 0
    rows: int = 0
    executions: int = 0

    def __sub__(self, before: Counters) -> Counters:
        """Return what was counted since ``before``."""
        return Counters(**{name: getattr(self, name) - getattr(before, name) for name in _METRICS})


def counted(text: str, model: str) -> Counters:
    """Return the counters of a model, all versions together, of what the server says at `Triton.metrics_url`."""
    sums = dict.fromkeys(_METRICS, 0)
    for field, metric in _METRICS.items():
        pattern = rf'^{metric}{{[^}}]*model="{re.escape(model)}"[^}}]*}} (\S+)$'
        sums[field] = int(sum(float(value) for value in re.findall(pattern, text, flags=re.MULTILINE)))
    return Counters(**sums)


@dataclass(frozen=True)
class Triton:
    """A running server.

    Args:
        url: its endpoint, such as ``http://127.0.0.1:8000``.
        metrics_url: its counters.
        repository: its model repository, to which tests add.
    """

    url: str
    metrics_url: str
    repository: Path

    @contextmanager
    def serving(self, kind: str, *, name: str | None = None) -> Generator[str, None, None]:
        """Serve a copy of a model of ``support/model_repository``, and yield its name.

        Args:
            kind: the model's folder.
            name: for one file of tests only; by default a name that nobody else uses.
        """
        name = name or f"{kind}_{uuid.uuid4().hex[:8]}"
        shutil.copytree(MODELS / kind, self.repository / name)
        with httpx.Client(base_url=f"{self.url}/v2/repository/models/{name}", timeout=60, trust_env=False) as client:
            client.post("/load").raise_for_status()
            try:
                yield name
            finally:
                client.post("/unload").raise_for_status()

    def counters(self, model: str) -> Counters:
        """Return the server's counters of a model, all versions together."""
        return counted(httpx.get(self.metrics_url, timeout=30, trust_env=False).raise_for_status().text, model)

    def batch_sizes(self, model: str) -> dict[int, int]:
        """Return how many batches of each size the server ran, by its statistics of the model."""
        answer = httpx.get(f"{self.url}/v2/models/{model}/stats", timeout=30, trust_env=False).raise_for_status()
        sizes: dict[int, int] = {}
        for version in answer.json()["model_stats"]:
            for batch in version.get("batch_stats", []):
                size = int(batch["batch_size"])
                sizes[size] = sizes.get(size, 0) + int(batch["compute_infer"]["count"])
        return sizes


@contextmanager
def shared_triton(folder: Path) -> Generator[Triton, None, None]:
    """Use the server of this test run; it is started if nobody uses one yet.

    Args:
        folder: one for all workers of this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("w") as users:
        with (folder / "start.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            state = folder / "triton.json"
            if not state.exists():
                _start_supervisor(folder)
        said = json.loads(state.read_text())
        yield Triton(said["url"], said["metrics_url"], Path(said["repository"]))


def _start_supervisor(folder: Path) -> None:
    """Start the process that owns the server, and wait for its word that the server is ready."""
    with (folder / "supervisor.log").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "support.triton_supervisor", str(folder)],
            cwd=_TESTS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert supervisor.stdout is not None
    with supervisor.stdout as stdout:
        said = stdout.readline()
    if said != b"ready\n":
        code = supervisor.wait()
        raise RuntimeError(f"Triton did not start (exit code {code}): {(folder / 'supervisor.log').read_text()}")
    # It outlives this process, if others still use the server; it is not for us to wait for.
    supervisor.returncode = 0
