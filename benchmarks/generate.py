"""Prompts by generate_stream: ``dbt build`` beside a hand-written loop with aiohttp, both warehouse to warehouse.

Every round measures both, one after the other; ratios are of the medians. ``--quick`` shows that everything runs, and
writes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.prompts import PROMPT_BYTES, PromptProject
from harness.report import markdown_table, number, origin
from harness.workload import MODEL_REPOSITORY

from dbt_triton.server import TritonServer

RESULTS = Path(__file__).resolve().with_name("generate.md")
#: By requests in flight: rows a second of each, one figure a round.
Measured = dict[int, tuple[list[float], list[float]]]


def main() -> int:
    """Measure, print, and write the table."""
    quick = "--quick" in sys.argv[1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a moment each")
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--rows", type=int, default=2_000 if quick else 20_000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[32, 64, 128], help="requests in flight")
    arguments = parser.parse_args()
    with TritonServer(MODEL_REPOSITORY) as server, tempfile.TemporaryDirectory() as folder:
        project = PromptProject(Path(folder), server.url, arguments.rows)
        measured = measure(project, arguments.in_flight, arguments.rounds)
    report = write_report(measured, arguments.rows, arguments.rounds)
    print(f"\n{report}")
    if not arguments.quick:
        RESULTS.write_text(f"# Prompts\n\n{report}\n")
    return 0


def measure(project: PromptProject, in_flight: Sequence[int], rounds: int) -> Measured:
    """Run both in every setting, round by round."""
    measured: Measured = {requests: ([], []) for requests in in_flight}
    for round_number in range(1, rounds + 1):
        for requests, (built, looped) in measured.items():
            looped.append(project.loop(requests))
            built.append(project.build(requests))
            print(f"round {round_number}, {requests} in flight: dbt {built[-1]:,.0f}, aiohttp {looped[-1]:,.0f} rows/s")
    return measured


def write_report(measured: Measured, rows: int, rounds: int) -> str:
    """Write the table, and where it comes from."""
    lines = []
    for requests, (built, looped) in measured.items():
        ours, theirs = statistics.median(built), statistics.median(looped)
        lines.append([str(requests), number(ours), number(theirs), number(ours / theirs, 2)])
    headings = ["requests in flight", "dbt build, rows/s", "aiohttp loop, rows/s", "ratio"]
    said = f"{rows:,} prompts of {PROMPT_BYTES} bytes to a decoupled model that repeats them; {rounds} round(s).\n\n"
    return f"{said}{markdown_table(headings, lines)}\n\n{origin()}"


if __name__ == "__main__":
    raise SystemExit(main())
