"""``wrk``, an HTTP load generator in C: what the server gives to a client that costs next to nothing."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.workload import Request

_SCRIPT = Path(__file__).with_name("wrk.lua")
_THREADS = 2
_GRACE_SECONDS = 30


@dataclass(frozen=True)
class ClientFigures:
    """What one run of a client did; CPU is its own, of all threads."""

    requests_per_second: float
    cpu_ms_per_request: float


def wrk_is_installed() -> bool:
    """Tell whether there is a ``wrk``; it is optional."""
    return shutil.which("wrk") is not None


def run_wrk(url: str, request: Request, *, in_flight: int, seconds: float) -> ClientFigures:
    """Send the same request for some seconds over ``in_flight`` connections, each with one request at a time."""
    threads = min(_THREADS, os.cpu_count() or 1, in_flight)
    with tempfile.TemporaryDirectory(prefix="dbt-triton-bench-") as folder:
        body = Path(folder) / "body"
        body.write_bytes(request.body)
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            ["wrk", f"-t{threads}", f"-c{in_flight}", f"-d{max(1, round(seconds))}s", "-s", str(_SCRIPT), url],
            env=os.environ | {"BENCH_BODY": str(body), "BENCH_HEADERS": headers},
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE_SECONDS,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"requests=(\d+) microseconds=(\d+) failed=(\d+)", ran.stdout)
    if found is None or int(found[3]):
        raise RuntimeError(f"wrk's requests failed:\n{ran.stdout}\n{ran.stderr}")
    requests, duration = int(found[1]), int(found[2]) / 1e6
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ClientFigures(requests / duration, cpu * 1000 / requests)
