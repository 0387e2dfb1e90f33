"""Classify the example's movie reviews with a real Triton server, and show the result: ``make demo``.

Set ``TRITON_URL`` to use a server of yours; else one is started here, and stopped at the end.
"""

# ruff: noqa: T201 - a command that prints what it did

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import unicodedata
from contextlib import ExitStack
from pathlib import Path

import duckdb
from train import train
from train_kinds import prepare

from dbt_triton.errors import ServeError
from dbt_triton.server import TritonServer

PROJECT = Path(__file__).resolve().parent
DATABASE = Path(os.environ.get("DBT_TRITON_DEMO_DB") or PROJECT / "example.duckdb").absolute()
# The server that the Flink page's own statement names.
PAGE_PORT = 8000
PAGE_ENDPOINT = f"http://localhost:{PAGE_PORT}"
DBT_GRACE_SECONDS = 30
EXIT_INTERRUPTED = 130

CLASSIFIED_REVIEWS = "select * from classified_reviews order by id"
CLASSIFIED_SNIPPETS = """
select
    id,
    case when length(user_review) > 60 then user_review[:59] || '…' else user_review end as user_review,
    predicted_sentiment,
    actual_sentiment
from classified_snippets
where held_out and id % 2000 = 0
order by id
"""
NEAREST_REVIEWS = """
select
    id,
    user_review[:40] as user_review,
    nearest_review[:40] as nearest_review,
    cast(similarity as decimal(3, 2)) as similarity
from nearest_reviews
order by similarity desc
limit 3
"""
KINDS = """
select 'tabular' as kind, 'classified_wines' as model, percent || ' % of ' || total || ' held-out wines' as outcome
from (
    select round(100 * avg(cast(predicted_cultivar = cultivar as int)), 1) as percent, count(*) as total
    from classified_wines where id % 5 = 0
)
union all
select 'image', 'read_digits', percent || ' % of ' || total || ' held-out images'
from (
    select round(100 * avg(cast(predicted_digit = actual_digit as int)), 1) as percent, count(*) as total
    from read_digits
)
union all
select 'ensemble', 'digits_by_ensemble', percent || ' % of ' || total || ' held-out images'
from (
    select round(100 * avg(cast(predicted_digit = actual_digit as int)), 1) as percent, count(*) as total
    from digits_by_ensemble
)
union all
select 'sound', 'read_dial_tones', percent || ' % of ' || total || ' recordings'
from (
    select round(100 * avg(cast(predicted_key = actual_key as int)), 1) as percent, count(*) as total
    from read_dial_tones
)
union all
select 'embedding', 'embedded_reviews', count(*) || ' reviews as ' || any_value(typeof(embedding))
from embedded_reviews
union all
select 'stateful', 'smoothed_temperatures', count(*) || ' readings of ' || count(distinct sensor) || ' sensors'
from smoothed_temperatures
"""
HELD_OUT_ACCURACY = "select accuracy, row_count from review_accuracy where held_out"


def main() -> int:
    """Run the demo and return dbt's exit code."""
    # A stop by `kill` or a scheduler must stop the server too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            exit_code = build(find_or_start_triton(stack))
    except ServeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    if exit_code == 0:
        report()
    return exit_code


def find_or_start_triton(stack: ExitStack) -> str:
    """Return the endpoint of a server with the example's models; the stack stops one that is started here."""
    if made := prepare(PROJECT):
        print(f"Trained {', '.join(made)}.")
    if given := os.environ.get("TRITON_URL"):
        return given.rstrip("/")
    if trained := train(PROJECT):
        print(f"Trained movie-review-sentiment on {trained.training_rows:,} reviews.")
    print("Starting Triton …", flush=True)
    server = stack.enter_context(TritonServer(PROJECT / "model_repository", http_port=choose_port()))
    endpoint = PAGE_ENDPOINT if server.http_port == PAGE_PORT else server.url
    print(f"Triton listens on {endpoint}.", flush=True)
    return endpoint


def choose_port() -> int:
    """Return the port that the Flink page names, or 0 (any free one) when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PAGE_PORT))
        except OSError:
            return 0
    return PAGE_PORT


def build(endpoint: str) -> int:
    """Run ``dbt deps`` and ``dbt build`` against the server and return the exit code."""
    environment = os.environ | {
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_TRITON_DEMO_DB": str(DATABASE),
        "DBT_TRITON_DEMO_IMAGES": str(PROJECT / "images"),
        "DBT_TRITON_DEMO_SOUNDS": str(PROJECT / "sounds"),
        "TRITON_URL": endpoint,
    }
    arguments = []
    if endpoint != PAGE_ENDPOINT:
        arguments = ["--vars", json.dumps({"dbt_triton_endpoint": endpoint})]
    return run_dbt(["deps"], environment) or run_dbt(["build", *arguments], environment)


def run_dbt(arguments: list[str], environment: dict[str, str]) -> int:
    """Run one dbt command in the example project and return its exit code."""
    dbt = Path(sys.executable).parent / "dbt"
    directories = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    with subprocess.Popen(  # noqa: S603 - the command is built above
        [str(dbt), *arguments, *directories],
        env=environment,
        start_new_session=True,  # dbt gets one interrupt, from here, whoever was interrupted
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DBT_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def report() -> None:
    """Print what the build left in the warehouse."""
    with duckdb.connect(str(DATABASE), read_only=True) as warehouse:
        print_table("classified_reviews: the example of the Flink page", warehouse.sql(CLASSIFIED_REVIEWS))
        print_table("classified_snippets: five held-out reviews", warehouse.sql(CLASSIFIED_SNIPPETS))
        print_table("one model of each kind", warehouse.sql(KINDS))
        print_table("nearest_reviews: the nearest of all held-out reviews", warehouse.sql(NEAREST_REVIEWS))
        for accuracy, row_count in warehouse.sql(HELD_OUT_ACCURACY).fetchall():
            print(f"\nreview_accuracy: {accuracy:.1%} of {row_count:,} held-out reviews classified correctly")


def print_table(title: str, relation: duckdb.DuckDBPyRelation) -> None:
    """Print a title and the rows of a relation in aligned columns."""
    rows = [relation.columns, *([str(value) for value in row] for row in relation.fetchall())]
    widths = [max(display_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    print(f"\n{title}\n")
    for row in rows:
        cells = (cell + " " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def display_width(text: str) -> int:
    """Return the number of terminal columns: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


if __name__ == "__main__":
    sys.exit(main())
