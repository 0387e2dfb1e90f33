"""The example project from cron or CI: ``python orchestration/nightly.py [--select …]``.

Exit codes: 0, everything was built; 1, a model or a test failed; 2, dbt could not run; 128 + n, ended by signal n.
Whatever it is, run it again: predictions that were made are kept, and only the rest is sent.
"""

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).resolve().parents[1]
UNUSABLE = 2
SIGNAL = 128


class Stop:
    """Lets SIGTERM, which schedulers send, end dbt in order, as Ctrl-C does."""

    def __init__(self) -> None:
        self.signal = 0
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if not self.signal:  # once: a second one must not break into the cleaning up
            self.signal = number
            raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run ``dbt build`` and return the exit code."""
    stop = Stop()
    if endpoint := os.environ.get("TRITON_URL"):
        arguments = [*arguments, "--vars", json.dumps({"dbt_triton_endpoint": endpoint})]
    directories = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    try:
        result = dbtRunner().invoke(["build", *arguments, *directories])
    except KeyboardInterrupt:
        return SIGNAL + stop.signal
    if stop.signal:
        return SIGNAL + stop.signal
    if result.success:
        return 0
    return UNUSABLE if result.exception else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
