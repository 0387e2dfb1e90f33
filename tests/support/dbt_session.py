"""Several dbt commands in one Python process, by dbt's own ``dbtRunner``: as a script of a user's would run them.

Much of a dbt command's time is the import of dbt, so that tests of many commands take a fraction of the time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.dbt import DbtProject, DbtResult

_MARK = "==== dbt session ===="
_TESTS = Path(__file__).parents[1]
_TIMEOUT_SECONDS = 240


def dbt_session(project: DbtProject, commands: Sequence[Sequence[str]], **environment: str) -> list[DbtResult]:
    """Run commands one after the other, whatever comes of them, and return what each left."""
    _, variables = project.command()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.append({str(_TESTS)!r}); from support.dbt_session import main; main()",
        ],
        input=json.dumps([list(command) for command in commands]),
        cwd=project.root,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    pieces = done.stdout.split(_MARK)[1:]
    assert len(pieces) == len(commands), done.stdout + done.stderr
    left = []
    for piece in pieces:
        output, said = piece.rsplit("\n", maxsplit=1) if "\n" in piece else ("", piece)
        end = json.loads(said)
        results = {item["unique_id"].split(".")[2]: item for item in end["results"]}
        left.append(DbtResult(end["code"], output, done.stderr, results))
    return left


def main() -> None:
    """Run the commands of standard input; called in a process of its own."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - not for those who only import the function

    results = Path("target/run_results.json")
    for command in json.loads(sys.stdin.read()):
        if command[0] != "retry":  # which reads it
            results.unlink(missing_ok=True)
        sys.stdout.write(_MARK + "\n")
        sys.stdout.flush()
        invoked = dbtRunner().invoke(command)
        said = {
            "code": 0 if invoked.success else 1,
            "results": json.loads(results.read_text())["results"] if results.exists() else [],
        }
        if invoked.exception is not None:
            sys.stdout.write(f"\n{invoked.exception}")
        sys.stdout.write("\n" + json.dumps(said))
        sys.stdout.flush()
