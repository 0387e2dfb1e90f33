"""Build the example with a real Triton server, and show the result: ``make demo``, on Spark ``make demo-spark``.

Set ``TRITON_URL`` to use a server of yours; else one is started here, and stopped at the end. ``VERBOSE=1`` shows
dbt's own lines.
"""

# ruff: noqa: T201 - a command that prints what it did

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import demo_duckdb
import demo_spark
from demo_build import run_dbt, shown_path
from demo_tables import show
from train import train
from train_kinds import MissingPackageError, prepare

from dbt_triton.errors import ServeError
from dbt_triton.server import TritonServer
from dbt_triton.standard_streams import make_usable

PROJECT = Path(__file__).resolve().parent
WAREHOUSES: dict[str, ModuleType] = {"duckdb": demo_duckdb, "spark": demo_spark}
# The server that the Flink page's own statement names.
PAGE_PORT = 8000
PAGE_ENDPOINT = f"http://localhost:{PAGE_PORT}"
EXIT_INTERRUPTED = 130


def main(warehouse: ModuleType) -> int:
    """Run the demo on a warehouse and return dbt's exit code."""
    make_usable()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A script's background commands inherit that, and dbt would, too: it could not be told to end.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if missing := warehouse.what_is_missing():
        print(missing, file=sys.stderr)
        return 1
    # A stop by `kill` or a scheduler must stop the server too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            exit_code = build(find_or_start_triton(stack), warehouse)
    except (ServeError, MissingPackageError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    if exit_code == 0:
        with warehouse.reader() as read:
            show(read)
        print(how_to_go_on(warehouse.TARGET))
    return exit_code


def how_to_go_on(target: str) -> str:
    """Return what to type next, as it works from here."""
    folder = Path(os.path.relpath(Path(sys.executable).parent, PROJECT))
    dbt, dbt_triton = (shlex.quote(str(folder / name)) for name in ("dbt", "dbt-triton"))
    option = "" if target == "dev" else f" --target {target}"
    return f"""
Go on, in {shown_path(PROJECT)}, where models/ has the SQL of these tables:

  {dbt} show{option} --limit 5 --inline "select * from {{{{ ref('classified_snippets') }}}}"
  {dbt_triton} serve model_repository    # the server, until Ctrl-C; then, in another terminal:
  {dbt_triton} predict review_classifier 'A slow start, and a moving end.'
  {dbt} build{option}

A project of your own: {shown_path(PROJECT.parent / "docs" / "getting-started.md")}"""


def find_or_start_triton(stack: ExitStack) -> str:
    """Return the endpoint of a server with the example's models; the stack stops one that is started here."""
    if made := prepare(PROJECT):
        print(f"Made {', '.join(made)}.")
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


def build(endpoint: str, warehouse: ModuleType) -> int:
    """Run ``dbt deps`` and ``dbt build`` against the server and return the exit code."""
    # What configures the user's own dbt is not for this project, and a proxy does not lead to this machine.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBT_") or "TRITON" in name}
    not_by_proxy = f"{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')},localhost,127.0.0.1".lstrip(",")
    environment = inherited | {
        "no_proxy": not_by_proxy,
        "NO_PROXY": not_by_proxy,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_TRITON_DEMO_IMAGES": str(PROJECT / "images"),
        "DBT_TRITON_DEMO_SOUNDS": str(PROJECT / "sounds"),
        "TRITON_URL": endpoint,
        **warehouse.environment(),
    }
    arguments = ["--target", warehouse.TARGET]
    if endpoint != PAGE_ENDPOINT:
        arguments += ["--vars", json.dumps({"dbt_triton_endpoint": endpoint})]
    return run_dbt(["deps"], environment) or run_dbt(["build", *arguments], environment)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("warehouse", nargs="?", choices=WAREHOUSES, default="duckdb")
    sys.exit(main(WAREHOUSES[parser.parse_args().warehouse]))
