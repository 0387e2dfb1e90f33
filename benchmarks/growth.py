"""Twenty million rows, without a memory_limit and with a small one: how time and memory grow. It takes some minutes.

Time is the processor time of dbt's process, so that other work on the machine hardly counts; memory is told apart by
whose it is (`harness/watched_dbt.py`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.dbt_build import DbtFigures, DbtProject
from harness.outlasting import NO_LIMIT
from harness.report import markdown_table, origin
from harness.workload import MODEL_REPOSITORY, Case

from dbt_triton.server import TritonServer

RESULTS = Path(__file__).resolve().parent / "growth.md"
SIZES = (1_000_000, 5_000_000, 20_000_000)
#: What a node costs beside its rows.
FEW = 2_000
#: With so little DuckDB's own memory is the same for all sizes; what grows besides is ours.
SMALL_LIMIT = "512MB"
#: Whose memory it may be.
OWNERS = ("duckdb", "ours", "rest")
HEADINGS = (
    *("memory_limit", "rows", "time of the node", "processor time for the rows", "a row, over the first"),
    *("peak memory of dbt", "of the machine's", "DuckDB's", "ours", "neither"),
)


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    sizes = sorted(arguments.rows)
    lines = []
    with tempfile.TemporaryDirectory(prefix="dbt-triton-bench-") as folder, TritonServer(MODEL_REPOSITORY) as server:
        project = DbtProject(Path(folder), server.url, [FEW, *sizes])
        for limit, said in ((NO_LIMIT, "none"), (SMALL_LIMIT, SMALL_LIMIT)):
            start_up = _median([_build(project, FEW, limit).watched["node_seconds"] for _ in range(2)])
            first = None
            for rows in sizes:
                built = [_build(project, rows, limit) for _ in range(arguments.rounds)]
                seconds = _median([one.watched["node_seconds"] for one in built]) - start_up
                first = first or seconds / rows
                lines.append([said, *_line(rows, seconds, seconds / rows / first, built)])
                print(" | ".join(lines[-1]), flush=True)
    report = (
        f"256 rows a request, 32 in flight, {arguments.rounds} round(s). Processor time is that of dbt's process while "
        f"the node is built, less that of a node of {FEW:,} rows. DuckDB's memory is what it says of itself "
        "(`duckdb_memory()`), ours what Python and Arrow have in use besides what dbt had before. What is neither is "
        "what DuckDB does not count, and what allocators keep for later. Each is at its own peak.\n\n"
        f"{markdown_table(HEADINGS, lines)}\n\n{origin()}"
    )
    print(f"\n{report}")
    if not arguments.quick:
        RESULTS.write_text(f"# Results of `python benchmarks/growth.py`\n\n{report}\n")
    return 0


def _build(project: DbtProject, rows: int, limit: str) -> DbtFigures:
    return project.build(Case(256, 32, rows), watched=True, MEMORY_LIMIT=limit)


def _line(rows: int, seconds: float, each: float, built: Sequence[DbtFigures]) -> list[str]:
    """Return the figures of some builds of as many rows."""
    peak = _median([one.peak_megabytes for one in built])
    memory = {name: _median([one.watched[name] for one in built]) / 2**20 for name in OWNERS}
    return [
        f"{rows:,}",
        f"{_median([one.seconds for one in built]):.1f} s",
        f"{seconds:.1f} s",
        f"{each:.2f}",
        f"{peak:,.0f} MB",
        f"{peak / _machine_megabytes():.2f}",
        *(f"{memory[name]:,.0f} MB" for name in OWNERS),
    ]


def _median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def _machine_megabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


if __name__ == "__main__":
    sys.exit(main())
