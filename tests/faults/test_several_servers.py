"""Three real Tritons that share a run: one is killed in mid-run, and started again."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from faults.harness import Pipeline, meanwhile, wait_until
from faults.server import MortalServer

ROWS = 6_000
#: Seconds for a request, so that a run lasts while things happen.
SLOW = "0.2"


@pytest.fixture
def servers(tmp_path: Path) -> Generator[list[MortalServer]]:
    """Return three servers."""
    with ExitStack() as stack:
        made = []
        for number in range(3):
            folder = tmp_path / f"server{number}"
            folder.mkdir()
            (folder / "slow").write_text(SLOW)
            made.append(stack.enter_context(MortalServer(folder)))
        yield made


def test_one_of_three_that_is_killed_and_comes_back_costs_what_was_in_flight(
    servers: list[MortalServer], tmp_path: Path
) -> None:
    """SIGKILL in mid-run and a restart on the same port: each row is right, and the server gets rows again.

    No server runs more rows again than were in flight; another version that a server brings is no part of the table.
    """
    endpoint = ", ".join(server.url for server in servers)
    reviews = Pipeline(tmp_path, endpoint, ROWS, {"max-concurrent-operations": "12"})
    back: list[int] = []

    def restart() -> None:
        wait_until(lambda: servers[1].rows() > ROWS / 20)
        servers[1].kill()
        servers[1].restart()
        back.append(servers[1].rows())

    try:
        with meanwhile(restart):
            ran = reviews.run()
        assert ran.error is None
        assert ran.right == ROWS
        run_in_all = sum(server.settled() for server in servers)
        assert run_in_all - ROWS <= reviews.in_flight
        assert all(server.rows() > ROWS / 20 for server in servers)
        assert servers[1].rows() > back[0]
    finally:
        reviews.close()


def test_one_of_three_whose_model_died_is_left_out(servers: list[MortalServer], tmp_path: Path) -> None:
    """Its server says for ever that it is ready, and answers 500: the others do the work, and no row is marked."""
    for server in servers:
        (server.folder / "slow").write_text("0.05")
    reviews = Pipeline(tmp_path, ", ".join(server.url for server in servers), ROWS, {"max-retries": "1"})

    def die() -> None:
        wait_until(lambda: servers[2].rows() > ROWS / 20)
        (servers[2].folder / "die").touch()

    try:
        started = time.monotonic()
        with meanwhile(die):
            ran = reviews.run()
        assert ran.error is None
        assert ran.right == ROWS
        assert time.monotonic() - started < 60
        assert sum(server.rows() for server in servers) - ROWS <= reviews.in_flight
    finally:
        reviews.close()
