"""What a Python process holds, counted after each of many dbt builds in it, as an orchestrator's process has them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.dbt import DbtProject

_TESTS = Path(__file__).parents[1]
_MARK = "==== held: "
_KILOBYTES_A_PAGE = os.sysconf("SC_PAGE_SIZE") // 1024


def start_builds(project: DbtProject, builds: int, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that builds a project again and again; `counted` waits for it."""
    _, environment = project.command()
    code = f"import sys; sys.path.append({str(_TESTS)!r}); from support.held import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(builds), "--quiet", *arguments],
        cwd=project.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def counted(process: subprocess.Popen[str]) -> list[dict[str, int]]:
    """Return what the process held after each build."""
    printed, _ = process.communicate(timeout=540)
    found = [json.loads(line.removeprefix(_MARK)) for line in printed.splitlines() if line.startswith(_MARK)]
    assert process.returncode == 0, printed[-5000:]
    return found


def main() -> None:
    """Build, count, and again; called in a process of its own."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - not for those who only import the functions

    builds, *arguments = sys.argv[1:]
    for _ in range(int(builds)):
        invoked = dbtRunner().invoke(["build", *arguments])
        if invoked.exception is not None:
            raise invoked.exception
        statuses = Counter(str(one.status) for one in getattr(invoked.result, "results", []))
        del invoked
        sys.stdout.write(f"\n{_MARK}{json.dumps({**_held(), **statuses})}\n")
    sys.stdout.flush()


def _held() -> dict[str, int]:
    gc.collect()
    files = [_target(Path(f"/proc/self/fd/{number}")) for number in os.listdir("/proc/self/fd")]  # noqa: PTH208
    objects = gc.get_objects()
    kinds = Counter(str(type(one).__module__).partition(".")[0] for one in objects)
    return {
        "files": len(files),
        "sockets": sum(file.startswith("socket:") for file in files),
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
        "python_threads": threading.active_count(),
        "tasks": _instances(objects, asyncio.Task),
        "event_loops": _instances(objects, asyncio.AbstractEventLoop),
        "connections": _connections(objects),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()),
        "our_objects": kinds["dbt_triton"],
        "all_objects": len(objects),
        "kilobytes": int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _KILOBYTES_A_PAGE,
    }


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the folder itself, which was open when it was listed
        return ""


def _instances(objects: Sequence[Any], kind: type) -> int:
    return sum(issubclass(type(one), kind) for one in objects)


def _connections(objects: Sequence[Any]) -> int:
    return sum(type(one).__name__ in {"DuckDBPyConnection", "DuckDBPyRelation"} for one in objects)
