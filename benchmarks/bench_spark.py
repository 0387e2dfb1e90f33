"""The product on Spark beside ``predict_batch_udf`` and tritonclient; and more tasks, until the server is the limit.

Every round measures every client after the other, so that they meet the same machine; ratios are of the medians.
``--quick`` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.chart import draw_scaling
from harness.report import markdown_table, number, origin
from harness.spark_clients import batch_udf, identity
from harness.spark_memory import begin_anew, bytes_of, highest_megabytes
from harness.spark_product import Product
from harness.spark_tables import NUMBERS, SLEEPING, TEXTS, Source, make_source, spark_is_installed, spark_session
from harness.workload import MODEL_REPOSITORY

from dbt_triton.server import TritonServer, free_port

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "spark.md"
SCALING = HERE.parent / "docs" / "scale-workers.svg"

PRODUCT = "dbt-triton, in mapInArrow"
KEYED = "dbt-triton, in mapInArrow, keys made"
WHOLE = "dbt-triton, table to table"
HTTP = "predict_batch_udf, tritonclient http"
GRPC = "predict_batch_udf, tritonclient grpc"
IDENTITY = "identity mapInArrow, no server"
#: Python workers at once when clients are compared; the machine has two cores.
TASKS = 2
WORKERS = (1, 2, 4, 8)
#: What model.py and config.pbtxt of the sleeping model say.
SLEEPING_ROWS_A_SECOND = 4 * SLEEPING.batch_size / 0.02

Run = Callable[[Any, Source, str], None]
#: Rows a second by client, one figure a round.
Figures = dict[str, list[float]]


def main() -> int:
    """Measure, print, and write the results."""
    if not spark_is_installed():
        print("pyspark or Java is not installed, so nothing is measured on Spark")
        return 0
    arguments = parse_arguments()
    port = free_port()
    grpc = ["--allow-grpc=true", "--grpc-address=127.0.0.1", f"--grpc-port={port}"]
    with (
        tempfile.TemporaryDirectory(prefix="dbt-triton-bench-spark-") as name,
        TritonServer(MODEL_REPOSITORY, extra_args=grpc) as server,
        spark_session(Path(name), max(WORKERS)) as spark,
    ):
        folder = Path(name)
        compared, sizes = [], []
        for kind, rows in ((NUMBERS, arguments.numbers), (TEXTS, arguments.texts)):
            source = make_source(spark, folder, kind, rows, TASKS)
            compared.append((source, compare(spark, source, clients(server.url, port), arguments.rounds, folder)))
            sizes.append(sizes_of_product(spark, source, server.url, folder))
        scaled = scale(spark, server.url, folder, arguments)
    report = write_report(compared, sizes, scaled, arguments)
    print(f"\n{report}")
    if arguments.quick:
        print(f"\n--quick: too few rows to compare; {RESULTS.name} is left as it is.")
        return 0
    RESULTS.write_text(f"# Results of `benchmarks/bench_spark.py`\n\n{report}\n")
    draw_scaling(SCALING, scaled, SLEEPING_ROWS_A_SECOND)
    print(f"\nWritten to {RESULTS.name} and {SCALING.name}.")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line; ``--quick`` changes the defaults."""
    quick = "--quick" in sys.argv[1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows, one round")
    parser.add_argument("--numbers", type=int, default=20_000 if quick else 3_000_000, help="rows of FP64")
    parser.add_argument("--texts", type=int, default=5_000 if quick else 500_000, help="rows of texts")
    parser.add_argument("--sleeping", type=int, default=4_000 if quick else 60_000, help="rows to the sleeping model")
    parser.add_argument("--rounds", type=int, default=1 if quick else 5)
    return parser.parse_args()


def clients(url: str, grpc_port: int) -> dict[str, Run]:
    """Return what is compared, by name."""
    product = Product(url)
    return {
        PRODUCT: product.in_tasks,
        KEYED: product.keyed,
        WHOLE: product.whole,
        HTTP: batch_udf("http", url.removeprefix("http://")),
        GRPC: batch_udf("grpc", f"127.0.0.1:{grpc_port}"),
        IDENTITY: identity,
    }


def compare(spark: Any, source: Source, runs: dict[str, Run], rounds: int, folder: Path) -> Figures:  # noqa: ANN401
    """Run every client once to start its Python workers, and then round by round."""
    figures: Figures = {client: [] for client in runs}
    for round_number in range(rounds + 1):
        for client, run in runs.items():
            speed = rows_a_second(spark, source, run, folder)
            if round_number:
                figures[client].append(speed)
            said = f"round {round_number}" if round_number else "warm-up"
            print(f"{said}, {source.kind.name}, {client}: {speed:,.0f} rows/s", flush=True)
    return figures


def sizes_of_product(spark: Any, source: Source, url: str, folder: Path) -> list[str]:  # noqa: ANN401
    """Return the values, the most that one Python worker held, and the bytes that a row of the store takes."""
    begin_anew()
    rows_a_second(spark, source, Product(url).in_tasks, folder)
    store = bytes_of(str(folder / "target")) / source.rows
    return [source.kind.name, f"{highest_megabytes():,.0f} MB", f"{store:.1f}"]


def scale(spark: Any, url: str, folder: Path, arguments: argparse.Namespace) -> dict[int, float]:  # noqa: ANN401
    """Return rows a second by the number of tasks, each of which has one request in flight."""
    source = make_source(spark, folder, SLEEPING, arguments.sleeping, TASKS)
    figures: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for round_number in range(min(arguments.rounds, 3) + 1):
        for workers in WORKERS:
            run = Product(url, in_flight=workers, tasks=workers).in_tasks
            speed = rows_a_second(spark, source, run, folder)
            if round_number:
                figures[workers].append(speed)
            print(f"{workers} tasks, sleeping model: {speed:,.0f} rows/s", flush=True)
    return {workers: statistics.median(speeds) for workers, speeds in figures.items()}


def rows_a_second(spark: Any, source: Source, run: Run, folder: Path) -> float:  # noqa: ANN401
    """Run a client from files to files. Every row must be there then."""
    target = str(folder / "target")
    started = time.perf_counter()
    run(spark, source, target)
    seconds = time.perf_counter() - started
    written = spark.read.parquet(target)
    # The product's own tasks leave a row with their figures, too.
    answered = written.where("ml_kind = 'ok'") if "ml_kind" in written.columns else written
    answers = answered.where(f"{answered.columns[1 if len(answered.columns) > 1 else 0]} is not null").count()
    assert answers == source.rows, f"{answers} answers for {source.rows} rows"
    return source.rows / seconds


def write_report(
    compared: Sequence[tuple[Source, Figures]],
    sizes: Sequence[Sequence[str]],
    scaled: dict[int, float],
    arguments: argparse.Namespace,
) -> str:
    """Write the tables, and what they are."""
    introduction = (
        f"Rows a second from Parquet files to Parquet files, {TASKS} tasks at once in local mode; medians of "
        f"{arguments.rounds} round(s) after a warm-up, in each of which every client runs once. `{WHOLE}` is the whole "
        "node: keys, distinct inputs, waves, prediction store, join; the others send every row, and keep no store. "
        "Every row has a key of 16 bytes in the files, which all write beside its prediction; "
        f"`{KEYED}` makes SHA-256 of the value instead, as the product does."
    )
    headings = ["values", "rows a request", "rows", "client", "rows a second", "of http", "of grpc"]
    lines = [
        [
            *(source.kind.name, number(source.kind.batch_size), number(source.rows), client),
            *(number(median(figures, client)), ratio(figures, client, HTTP), ratio(figures, client, GRPC)),
        ]
        for source, figures in compared
        for client in figures
    ]
    sleeping = (
        f"A model that sleeps 20 ms a request of {SLEEPING.batch_size} rows and takes four at once, so it gives "
        f"{SLEEPING_ROWS_A_SECOND:,.0f} rows a second at most; each task has one request in flight "
        f"({arguments.sleeping:,} rows, medians of {min(arguments.rounds, 3)} round(s)):"
    )
    one = scaled[min(scaled)]
    steps = [[str(workers), number(speed), f"{speed / one:.2f}"] for workers, speed in scaled.items()]
    each = [
        [source.kind.name, client, ", ".join(map(number, speeds))]
        for source, figures in compared
        for client, speeds in figures.items()
    ]
    return "\n\n".join(
        [
            *(introduction, markdown_table(headings, lines)),
            markdown_table(["values", f"{PRODUCT}: memory of a Python worker", "bytes a row of the store"], sizes),
            sleeping,
            markdown_table(["tasks", "rows a second", "times one task"], steps),
            *("Each round:", markdown_table(["values", "client", "rows a second"], each), origin()),
        ]
    )


def median(figures: Figures, client: str) -> float:
    """Return the median of a client's rounds."""
    return statistics.median(figures[client])


def ratio(figures: Figures, client: str, to: str) -> str:
    """Write how many times another client's speed a client's is."""
    return f"{median(figures, client) / median(figures, to):.2f}"


if __name__ == "__main__":
    sys.exit(main())
