"""The process that owns the tests' Triton: ``python -m support.triton_supervisor FOLDER``.

It says ``ready`` on standard output, waits until nobody holds the lock of the users, and stops the server.
"""

from __future__ import annotations

import fcntl
import json
import signal
import sys
from pathlib import Path

from dbt_triton.server import TritonServer


def main(folder: Path) -> None:
    """Serve until the last user is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C of pytest ends the users, and so this
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    repository = folder / "model_repository"
    repository.mkdir(exist_ok=True)
    state = folder / "triton.json"
    server = TritonServer(repository, extra_args=["--model-control-mode=explicit"], log_file=folder / "triton.log")
    with server, (folder / "users.lock").open("w") as users:
        said = {"url": server.url, "metrics_url": server.metrics_url, "repository": str(repository)}
        state.write_text(json.dumps(said))
        try:
            print("ready", flush=True)  # noqa: T201 - the starter waits for this word
            fcntl.flock(users, fcntl.LOCK_EX)
        finally:
            state.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
