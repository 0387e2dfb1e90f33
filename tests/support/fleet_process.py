"""Small servers in a process of their own, for tests that count what the client's process holds.

``with small_servers() as endpoints`` has an endpoint by name: ``one`` and ``two`` answer in upper case, ``busy`` is too
busy for every fifth request, ``picky`` refuses rows that hold ``bad``, and ``writer`` is a language model.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from unit.fleet import Model, SmallServer

_TESTS = Path(__file__).parents[1]
_BAD, _BUSY = 400, 503


@contextmanager
def small_servers() -> Generator[dict[str, str]]:
    """Serve, and yield the endpoints by name."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.fleet_process"],
        cwd=_TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()  # which ends it
            process.wait(timeout=30)


def _every_fifth() -> Callable[[list[str]], int | None]:
    count = itertools.count(1)
    return lambda _texts: None if next(count) % 5 else _BUSY


def _refused(texts: list[str]) -> int | None:
    return _BAD if any("bad" in text for text in texts) else None


async def _serve() -> None:
    models = {
        "one": Model(),
        "two": Model(),
        "busy": Model(judge=_every_fifth()),
        "picky": Model(judge=_refused),
        "writer": Model(generates=True),
    }
    servers = {name: await SmallServer(model).start() for name, model in models.items()}
    sys.stdout.write(json.dumps({name: server.url for name, server in servers.items()}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)  # until the test is done, or gone
    os._exit(0)  # connections end with the process


if __name__ == "__main__":
    asyncio.run(_serve())
