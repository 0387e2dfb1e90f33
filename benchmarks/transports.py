"""The same inference requests over every transport that could carry them: why dbt-triton uses the one that it uses.

Every client sends one request over and over, from a fixed number of tasks, and reads the whole answer. tritonclient
cannot send a request that is made already, so its figures hold its encoding and decoding.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.report import markdown_table, number, origin
from harness.transport_clients import OPENERS, Opener, Send, Setting
from harness.workload import MODEL_REPOSITORY, infer_url
from harness.wrk import ClientFigures, run_wrk, wrk_is_installed

from dbt_triton.server import TritonServer

RESULTS = Path(__file__).resolve().with_name("transports.md")
WRK = "wrk (the server's limit)"
WARM_UP_REQUESTS = 64

#: By setting and client, one a round.
Measured = dict[Setting, dict[str, list[ClientFigures]]]


def main() -> int:
    """Measure, print, and write the tables."""
    arguments = parse_arguments()
    settings = [
        Setting(rows, in_flight, binary)
        for rows in arguments.batch_sizes
        for in_flight in arguments.in_flight
        for binary in (False, True)
    ]
    with TritonServer(MODEL_REPOSITORY) as server:
        measured = measure(server.url, settings, arguments.rounds, arguments.seconds)
    report = write_report(measured, arguments)
    print(f"\n{report}")
    if arguments.quick:
        print(f"\n--quick: too short to compare; {RESULTS.name} is left as it is.")
        return 0
    RESULTS.write_text(f"# Transports\n\n{report}\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line; ``--quick`` changes the defaults."""
    quick = "--quick" in sys.argv[1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a moment each")
    parser.add_argument("--rounds", type=int, default=1 if quick else 3)
    parser.add_argument("--seconds", type=float, default=0.3 if quick else 1.5, help="of one client and setting")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 64, 256], help="rows a request")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[8, 32], help="requests in flight")
    return parser.parse_args()


def measure(endpoint: str, settings: Sequence[Setting], rounds: int, seconds: float) -> Measured:
    """Run every client in every setting, round by round."""
    clients = [*OPENERS, *([WRK] if wrk_is_installed() else [])]
    measured: Measured = {setting: {client: [] for client in clients} for setting in settings}
    for round_number in range(1, rounds + 1):
        for setting in settings:
            print(f"round {round_number}: {setting}", flush=True)
            for client, opener in OPENERS.items():
                measured[setting][client].append(asyncio.run(run_client(opener, endpoint, setting, seconds)))
            if wrk_is_installed():
                ran = run_wrk(
                    infer_url(endpoint), setting.request, in_flight=setting.in_flight, seconds=max(1, seconds)
                )
                measured[setting][WRK].append(ran)
    return measured


async def run_client(opener: Opener, endpoint: str, setting: Setting, seconds: float) -> ClientFigures:
    """Send for some seconds, after a few requests that open the connections."""
    async with opener(endpoint, setting) as send:
        await asyncio.gather(*[send() for _ in range(min(WARM_UP_REQUESTS, setting.in_flight))])
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        counts = await asyncio.gather(*[repeat(send, started + seconds) for _ in range(setting.in_flight)])
        took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ClientFigures(sum(counts) / took, cpu * 1000 / sum(counts))


async def repeat(send: Send, deadline: float) -> int:
    """Send one request after the other until the time is over, and count them."""
    count = 0
    while time.perf_counter() < deadline:
        await send()
        count += 1
    return count


def write_report(measured: Measured, arguments: argparse.Namespace) -> str:
    """Write one table for each number of rows and of requests in flight."""
    introduction = (
        f"Medians of {arguments.rounds} round(s) of {arguments.seconds:g} s each. CPU is the client process's own, "
        "all threads; the server has what is left of the same cores."
    )
    parts = [introduction]
    pairs = {(setting.rows, setting.in_flight) for setting in measured}
    for rows, in_flight in sorted(pairs):
        parts.append(f"{rows} row(s) a request, {in_flight} in flight:")
        json, binary = (measured[Setting(rows, in_flight, binary=binary)] for binary in (False, True))
        parts.append(table(json, binary, rows))
    return "\n\n".join([*parts, origin()])


def table(json: dict[str, list[ClientFigures]], binary: dict[str, list[ClientFigures]], rows: int) -> str:
    """Write one line a client: JSON beside binary."""
    headings = [f"{name}: {what}" for name in ("JSON", "binary") for what in ("requests/s", "rows/s", "CPU ms/request")]
    lines = [[client, *cells(json[client], rows), *cells(binary[client], rows)] for client in json]
    return markdown_table(["client", *headings], lines)


def cells(figures: Sequence[ClientFigures], rows: int) -> list[str]:
    """Write the medians of one client."""
    rate = statistics.median(figure.requests_per_second for figure in figures)
    cpu = statistics.median(figure.cpu_ms_per_request for figure in figures)
    return [number(rate), number(rate * rows), number(cpu, 3)]


if __name__ == "__main__":
    sys.exit(main())
