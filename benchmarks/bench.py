"""``make bench``: ``dbt build`` beside a hand-written loop and the server's limit, in one run.

Every round measures every client after the other, so that they meet the same machine; ratios are of the medians.
``--quick`` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness.chart import draw
from harness.codec import CodecFigures, measure_bytes, measure_embeddings
from harness.dbt_build import DbtFigures, DbtProject
from harness.features import COLUMNS, ROWS, FeatureProject
from harness.outlasting import MEMORY_LIMIT, NO_LIMIT, Growth, measure_growth, measure_little_new
from harness.report import markdown_table, number, origin
from harness.tritonclient_loop import Texts, rows_per_second
from harness.wide import CASES, GROWTH_ROWS, WideProject, side_by_side
from harness.workload import MODEL_REPOSITORY, REVIEW_BYTES, Case, infer_url, make_request, reviews
from harness.wrk import run_wrk, wrk_is_installed

from dbt_triton.server import TritonServer

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.md"
CHART = HERE / "results.svg"
WARM_UP_ROWS = 2_000
ROWS_ONE_BY_ONE = 30_000
#: Rows of the largest tables over those of the smallest.
GROWTH = (1, 4, 5)
PICTURE_BATCH_SIZES, PICTURE_IN_FLIGHT, ROWS_A_POINT = (1, 4, 16, 64, 256, 1024), (4, 32), 10_000

CODEC_BATCH_SIZES = (64, 256)

STEP = "dbt build, ML_PREDICT step"
NODE = "dbt build, warehouse to warehouse"
LOOP = "tritonclient.http.aio loop"
WRK_JSON = "wrk, JSON"
WRK_BINARY = "wrk, binary"
CLIENTS = (NODE, STEP, LOOP, WRK_JSON, WRK_BINARY)

BYTES_CODEC = "encode and decode 100,000 BYTES, {} rows a request: speed over that of tritonclient's functions"
EMBEDDINGS_CODEC = (
    "decode 200,000 embeddings of 384 floats to Arrow: speed over that of tritonclient's as_numpy and pyarrow"
)

#: Rows a second by client, one figure a round.
Figures = dict[str, list[float]]


def main() -> int:
    """Measure, print, and write the results."""
    arguments = parse_arguments()
    cases = [
        Case(size, in_flight, arguments.rows if size > 1 else min(arguments.rows, ROWS_ONE_BY_ONE))
        for in_flight in arguments.in_flight
        for size in arguments.batch_sizes
    ]
    picture = [
        Case(size, in_flight, max(min(arguments.rows, ROWS_A_POINT * size), size))
        for in_flight in PICTURE_IN_FLIGHT
        for size in PICTURE_BATCH_SIZES
    ]
    sizes = [arguments.rows * times for times in GROWTH]
    row_counts = [WARM_UP_ROWS, *sizes, *(case.rows for case in (*cases, *picture))]
    with tempfile.TemporaryDirectory(prefix="dbt-triton-bench-") as folder, TritonServer(MODEL_REPOSITORY) as server:
        project = DbtProject(Path(folder), server.url, row_counts)
        measured = measure(server.url, project, cases, arguments.rounds, arguments.seconds)
        others = [
            *(
                codec_line(BYTES_CODEC.format(rows), [measure_bytes(rows) for _ in range(arguments.rounds)])
                for rows in CODEC_BATCH_SIZES
            ),
            codec_line(EMBEDDINGS_CODEC, [measure_embeddings() for _ in range(arguments.rounds)]),
            *feature_lines(Path(folder) / "features", server.url, arguments.rounds, min(arguments.rows, ROWS)),
            *little_new_lines(project, arguments.rounds, Case(64, 32, arguments.rows)),
            *growth_lines(project, sizes, arguments.rounds),
            *wide_lines(server.url, arguments.rounds),
        ]
        drawn = measure(server.url, project, picture, 1, arguments.seconds)
    report = write_report(measured, others, arguments)
    print(f"\n{report}")
    if arguments.quick:
        print(f"\n--quick: too few rows to compare; {RESULTS.name} is left as it is.")
        return 0
    RESULTS.write_text(f"# Results of `make bench`\n\n{report}\n\n![]({CHART.name})\n")
    draw(CHART, chart_lines(drawn))
    print(f"\nWritten to {RESULTS.name} and {CHART.name}.")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line; ``--quick`` changes the defaults."""
    quick = "--quick" in sys.argv[1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows, one round")
    parser.add_argument(
        "--rows", type=int, default=5_000 if quick else 1_000_000, help="reviews (one row a request: at most 30,000)"
    )
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--seconds", type=float, default=1 if quick else 4, help="of one run of wrk")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 64, 256], help="rows a request")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[32], help="requests in flight")
    return parser.parse_args()


def measure(
    endpoint: str, project: DbtProject, cases: Sequence[Case], rounds: int, seconds: float
) -> dict[Case, Figures]:
    """Run every client, case by case and round by round."""
    texts: Texts = np.array(reviews(max(case.rows for case in cases)), dtype=np.object_)
    warm_up = Case(64, 32, WARM_UP_ROWS)
    project.build(warm_up)
    run_loop(endpoint, texts, warm_up)
    if not wrk_is_installed():
        print("wrk is not installed, so the server's limit is not measured", flush=True)
    measured: dict[Case, Figures] = {case: {client: [] for client in CLIENTS} for case in cases}
    for round_number in range(1, rounds + 1):
        for case in cases:
            took = one_round(endpoint, project, texts, case, seconds)
            for client, figure in took.items():
                measured[case][client].append(figure)
            said = ", ".join(f"{client}: {figure:,.0f}" for client, figure in took.items())
            print(f"round {round_number}, {case.batch_size} rows a request, {case.in_flight} in flight: {said}")
            sys.stdout.flush()
    return measured


def one_round(endpoint: str, project: DbtProject, texts: Texts, case: Case, seconds: float) -> dict[str, float]:
    """Run every client once; rows a second."""
    built: DbtFigures = project.build(case)
    took = {NODE: built.node, STEP: built.step, LOOP: run_loop(endpoint, texts, case)}
    if wrk_is_installed():
        for client, binary in ((WRK_JSON, False), (WRK_BINARY, True)):
            request = make_request(case.batch_size, binary=binary)
            ran = run_wrk(infer_url(endpoint), request, in_flight=case.in_flight, seconds=seconds)
            took[client] = ran.requests_per_second * case.batch_size
    return took


def run_loop(endpoint: str, texts: Texts, case: Case) -> float:
    """Run the hand-written loop over the same reviews."""
    some = texts[: case.rows]
    return asyncio.run(rows_per_second(endpoint, some, batch_size=case.batch_size, in_flight=case.in_flight))


def median(figures: Figures, *clients: str) -> float | None:
    """Return the best of the clients' medians; None where none ran."""
    medians = [statistics.median(figures[client]) for client in clients if figures[client]]
    return max(medians, default=None)


def ratio(figure: float | None, to: float | None) -> str:
    """Write how many times the other one a figure is."""
    return "n/a" if figure is None or to is None else f"{figure / to:.2f}"


def codec_line(what: str, rounds: Sequence[CodecFigures]) -> list[str]:
    """Measured in memory."""
    ratio_of = statistics.median(figures.ratio for figures in rounds)
    ours = statistics.median(figures.ours for figures in rounds)
    return [what, f"{ours * 1000:.1f} ms", f"{ratio_of:.1f}"]


def feature_lines(folder: Path, endpoint: str, rounds: int, rows: int) -> list[list[str]]:
    """Predict for many columns that are one tensor, beside a loop that stacks them by hand."""
    project = FeatureProject(folder, endpoint, rows)
    measured = [project.measure() for _ in range(rounds)]
    seconds = statistics.median(figures.dbt for figures in measured)
    ratio_of = statistics.median(figures.ratio for figures in measured)
    what = (
        f"{COLUMNS} columns x {rows:,} rows as one tensor, warehouse to warehouse: time over that of a loop of Arrow, "
        "numpy's column_stack and tritonclient"
    )
    return [[what, f"{seconds:.2f} s", f"{ratio_of:.2f}"]]


def little_new_lines(project: DbtProject, rounds: int, case: Case) -> list[list[str]]:
    """Build again with a persistent cache: with nothing new, and with a few reviews that have changed."""
    changed = case.rows // 1000
    builds = [measure_little_new(project, case, changed) for _ in range(rounds)]
    lines = []
    for build, new in ((1, "nothing"), (2, f"{changed:,} rows")):
        what = (
            f"{case.rows:,} rows, persistent cache, {new} new, over the first build ({case.batch_size} rows a request)"
        )
        seconds = statistics.median(took[build] for took in builds)
        ratio_of = statistics.median(took[build] / took[0] for took in builds)
        lines.append([what, f"{seconds:.2f} s", f"{ratio_of:.3f}"])
    return lines


def growth_lines(project: DbtProject, sizes: Sequence[int], rounds: int) -> list[list[str]]:
    """Build tables of several sizes, with and without a limit on DuckDB's memory."""
    few, more, most = sizes
    lines = []
    for limit, said in ((MEMORY_LIMIT, f"memory_limit {MEMORY_LIMIT}"), (NO_LIMIT, "no memory_limit")):
        grown: Growth = measure_growth(project, list(sizes), memory_limit=limit, rounds=rounds)
        peak = f"{grown.megabytes[most]:,.0f} MB"
        lines += [
            [f"peak memory of dbt, {most:,} rows over {few:,} ({said})", peak, f"{grown.memory_ratio(most, few):.2f}"],
            [
                f"time, {more:,} rows over {few:,} ({said})",
                f"{grown.seconds[more]:.1f} s",
                f"{grown.time_ratio(more, few):.2f}",
            ],
        ]
    return lines


def wide_lines(endpoint: str, rounds: int) -> list[list[str]]:
    """Build rows of kilobytes and megabytes beside a hand-written loop over the same tables; then more and more."""
    lines = []
    growing = tuple(CASES[-1].of(rows) for rows in GROWTH_ROWS)
    with tempfile.TemporaryDirectory(prefix="dbt-triton-bench-wide-") as folder:
        project = WideProject(Path(folder), endpoint, (*CASES, *growing))
        for case in CASES:
            ours, theirs = (statistics.median(figures) for figures in side_by_side(project, case, rounds))
            lines.append([f"{case.rows:,} {case.said}: over the loop", f"{ours:,.1f} rows/s", f"{ours / theirs:.2f}"])
        speeds = [statistics.median(project.build(case) for _ in range(rounds)) for case in growing]
    most, more = growing[-1], growing[-2]
    what = f"{most.rows:,} {most.said}: rows a second over those of {more.rows:,} rows"
    return [*lines, [what, f"{speeds[-1]:,.0f} rows/s", f"{speeds[-1] / speeds[-2]:.2f}"]]


def write_report(measured: dict[Case, Figures], others: Sequence[Sequence[str]], arguments: argparse.Namespace) -> str:
    """Write the tables, and what they are."""
    introduction = (
        f"Rows a second, {REVIEW_BYTES}-byte distinct reviews; medians of {arguments.rounds} round(s), in each of "
        "which every client runs once. The limit is the better of wrk's JSON and binary requests. `dbt build` reads "
        "a DuckDB table and makes one; its start-up is left out, and its ratios are of the whole node, warehouse to "
        "warehouse. The other two have no warehouse at either end."
    )
    rest = markdown_table(["beside it", "figure", "ratio"], others)
    return "\n\n".join([introduction, summary_table(measured), rest, "Each round:", rounds_table(measured), origin()])


def summary_table(measured: dict[Case, Figures]) -> str:
    """One line a case: medians and ratios."""
    headings = [
        *("rows a request", "in flight", "rows", "wrk (limit)", LOOP, STEP, NODE),
        *("dbt / wrk", "dbt / tritonclient"),
    ]
    lines = []
    for case, figures in measured.items():
        limit, loop, node = median(figures, WRK_JSON, WRK_BINARY), median(figures, LOOP), median(figures, NODE)
        shown = (limit, loop, median(figures, STEP), node)
        sizes = (case.batch_size, case.in_flight, case.rows)
        lines.append([*map(number, sizes), *map(number, shown), ratio(node, limit), ratio(node, loop)])
    return markdown_table(headings, lines)


def rounds_table(measured: dict[Case, Figures]) -> str:
    """One line a case and client: the figure of each round."""
    lines = [
        [number(case.batch_size), number(case.in_flight), client, ", ".join(map(number, figures)) or "n/a"]
        for case, by_client in measured.items()
        for client, figures in by_client.items()
    ]
    return markdown_table(["rows a request", "in flight", "client", "rows a second"], lines)


def chart_lines(measured: dict[Case, Figures]) -> dict[int, dict[str, list[tuple[int, float]]]]:
    """Return the medians by requests in flight and client, as (rows a request, rows a second)."""
    lines: dict[int, dict[str, list[tuple[int, float]]]] = {}
    for case, figures in measured.items():
        shown = {"wrk (limit)": (WRK_JSON, WRK_BINARY), NODE: (NODE,), LOOP: (LOOP,)}
        for label, clients in shown.items():
            height = median(figures, *clients)
            if height is not None:
                lines.setdefault(case.in_flight, {}).setdefault(label, []).append((case.batch_size, height))
    return lines


if __name__ == "__main__":
    sys.exit(main())
