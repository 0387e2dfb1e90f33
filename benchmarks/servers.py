"""Several servers: rows a second of one, two and three real Tritons, round by round, in one run.

The model sleeps, as one on a GPU lets the client's cores sleep, so that the servers are the limit and not this machine.
``--quick`` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
from harness.report import markdown_table, number, origin
from harness.workload import MODEL_REPOSITORY

from dbt_triton.client.fleet import ask_all
from dbt_triton.ddl import parse_create_model
from dbt_triton.engine import Engine, FailedRows
from dbt_triton.inference_model import InferenceModel, bind
from dbt_triton.server import TritonServer
from dbt_triton.warehouses.requests import open_servers, request_format

RESULTS = Path(__file__).resolve().with_name("servers.md")
MODEL = "sleeping"
MOST = 3


class _Counted:
    """A sink that counts."""

    rows = 0

    def predictions(self, keys: list[pa.Array], outputs: list[pa.Array]) -> None:  # noqa: ARG002 - a sink's
        self.rows += len(keys[0])

    def failures(self, failed: Sequence[FailedRows]) -> None:
        raise RuntimeError(failed[0].error.message)


def main() -> int:
    """Measure, print, and write the table."""
    quick = "--quick" in sys.argv[1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a moment each")
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--seconds", type=float, default=2 if quick else 8, help="for which each has rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        repository = Path(folder)
        (repository / MODEL).symlink_to(MODEL_REPOSITORY / MODEL)
        servers = [stack.enter_context(TritonServer(repository)) for _ in range(MOST)]
        measured = measure([server.url for server in servers], arguments.rounds, arguments.seconds)
    report = write_report(measured, arguments.rounds)
    print(f"\n{report}")
    if not arguments.quick:
        RESULTS.write_text(f"# Several servers\n\n{report}\n")
    return 0


def measure(urls: Sequence[str], rounds: int, seconds: float) -> dict[int, list[float]]:
    """Return rows a second by the number of servers, one figure a round."""
    measured: dict[int, list[float]] = {count: [] for count in range(1, MOST + 1)}
    for round_number in range(1, rounds + 1):
        for count, figures in measured.items():
            rows = int(12_800 * seconds * count)
            figures.append(rows / asyncio.run(_seconds(", ".join(urls[:count]), rows)))
            print(f"round {round_number}, {count} server(s): {figures[-1]:,.0f} rows/s", flush=True)
    return measured


async def _seconds(endpoint: str, rows: int) -> float:
    options = f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = '{MODEL}'"
    statement = f"CREATE MODEL m INPUT (`number` DOUBLE) OUTPUT (`same` DOUBLE) WITH ({options})"
    model = InferenceModel.from_definition(parse_create_model(statement))
    binding = bind(model, (await ask_all(model.options, {})).served)
    sink = _Counted()
    numbers = pa.array(range(rows), pa.int64())
    batch = pa.RecordBatch.from_arrays([numbers, numbers.cast(pa.float64())], names=["key", "number"])
    started = time.perf_counter()
    async with open_servers(model.options, binding, {}) as servers:
        engine = Engine(
            servers,
            request_format(model.options, binding),
            batch_size=binding.batch_size,
            key_columns=1,
            sink=sink,
            shared_batches=binding.shared_batches,
            version=binding.version,
        )
        await engine.run([batch])
    took = time.perf_counter() - started
    assert sink.rows == rows
    return took


def write_report(measured: dict[int, list[float]], rounds: int) -> str:
    """Write the table, and where it comes from."""
    one = statistics.median(measured[1])
    lines = []
    for count, figures in measured.items():
        median = statistics.median(figures)
        spread = f"{min(figures):,.0f} to {max(figures):,.0f}"
        lines.append([str(count), number(median), spread, number(median / one, 2)])
    what = "A model that sleeps 20 ms a request of 64 rows, four at a time on each server"
    said = f"{what}; {rounds} round(s), medians.\n\n"
    headings = ["servers", "rows/s", "from … to", "times one"]
    return f"{said}{markdown_table(headings, lines)}\n\n{origin()}"


if __name__ == "__main__":
    raise SystemExit(main())
