"""Twenty million rows, without a memory_limit and with a small one: how time and memory grow. It takes some minutes."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from harness.dbt_build import DbtProject
from harness.outlasting import NO_LIMIT, measure_growth
from harness.report import markdown_table, origin
from harness.workload import MODEL_REPOSITORY

from dbt_triton.server import TritonServer

RESULTS = Path(__file__).resolve().parent / "growth.md"
SIZES = (1_000_000, 5_000_000, 20_000_000)
#: With so little DuckDB's own memory is the same for all sizes; what grows besides is ours.
SMALL_LIMIT = "512MB"


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    sizes = sorted(arguments.rows)
    lines = []
    with tempfile.TemporaryDirectory(prefix="dbt-triton-bench-") as folder, TritonServer(MODEL_REPOSITORY) as server:
        project = DbtProject(Path(folder), server.url, sizes)
        for limit, said in ((NO_LIMIT, "none"), (SMALL_LIMIT, SMALL_LIMIT)):
            grown = measure_growth(project, sizes, memory_limit=limit, rounds=arguments.rounds)
            for rows in sizes:
                each = grown.seconds[rows] / rows / (grown.seconds[sizes[0]] / sizes[0])
                share = grown.megabytes[rows] / _machine_megabytes()
                figures = (f"{grown.seconds[rows]:.1f} s", f"{each:.2f}", f"{grown.megabytes[rows]:,.0f} MB")
                lines.append([said, f"{rows:,}", *figures, f"{share:.2f}"])
    headings = ["memory_limit", "rows", "time of the node", "time a row, over the first", "peak memory of dbt"]
    table = markdown_table([*headings, "of the machine's"], lines)
    report = f"256 rows a request, 32 in flight, {arguments.rounds} round(s).\n\n{table}\n\n{origin()}"
    print(report)
    if not arguments.quick:
        RESULTS.write_text(f"# Results of `python benchmarks/growth.py`\n\n{report}\n")
    return 0


def _machine_megabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


if __name__ == "__main__":
    sys.exit(main())
