"""Three real Tritons share a run, and one of them is slow, busy, stalled, garbles texts, or serves something else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.dbt_pipeline import DbtPipeline, has_run
from faults.harness import Pipeline, Ran, meanwhile, wait_until
from faults.server import MortalServer

ROWS = 8_000
#: Seconds that the model takes for up to 256 rows at once.
SECONDS = 0.03
#: Many times what a run takes on a quiet machine.
MOST_SECONDS = 40


@dataclass
class Shared:
    """What came of a run: the rows that each server ran, also for nobody, and how long it took."""

    ran: Ran
    rows: list[int]
    seconds: float
    most_in_flight: int

    def check(self, *, twice: int = 0) -> None:
        """Check that each row is right, that no more rows than so many ran twice, and that it ended in time."""
        assert self.ran.error is None
        assert self.ran.right == ROWS
        assert ROWS <= sum(self.rows) <= ROWS + twice
        assert self.seconds < MOST_SECONDS

    @property
    def notes(self) -> list[str]:
        """What dbt warns of."""
        return self.ran.warnings


Run = Callable[..., Shared]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[list[MortalServer]]:
    """Return three servers, which all tests here use."""
    with ExitStack() as stack, ThreadPoolExecutor(3) as executor:
        made = [MortalServer(tmp_path_factory.mktemp("server")) for _ in range(3)]
        yield list(executor.map(stack.enter_context, made))


@pytest.fixture
def servers(started: list[MortalServer]) -> Generator[list[MortalServer]]:
    """Return them, each as healthy as the others; the last is the one that a test maltreats."""
    for server in started:
        take(server, SECONDS)
    yield started
    for server in started:
        for fault in ("busy", "garbled"):
            (server.folder / fault).unlink(missing_ok=True)
    with ThreadPoolExecutor(3) as executor:
        list(executor.map(serve_again, started))


def take(server: MortalServer, seconds: float) -> None:
    """Let each execution of its model take so long."""
    (server.folder / "slow").write_text(str(seconds))


def serve(server: MortalServer, version: int) -> None:
    """Kill a server, and start it again with another version of the model."""
    server.kill()
    server.have(version)
    server.restart()


def serve_again(server: MortalServer) -> None:
    """Let a server serve version 1, if it does not."""
    if server.version != 1:
        serve(server, 1)


@pytest.fixture
def run(servers: list[MortalServer], tmp_path: Path) -> Generator[Run]:
    """Return a function that runs a model on all three, while a function does something to the last server.

    It begins when that server has run a twentieth of the rows, unless there is none.
    """
    with ExitStack() as stack:

        def predict(harm: Callable[[], None] | None = None, **options: str) -> Shared:
            named = {"max-concurrent-operations": "24"} | {key.replace("_", "-"): one for key, one in options.items()}
            reviews = Pipeline(tmp_path, ", ".join(server.url for server in servers), ROWS, named)
            stack.callback(reviews.close)
            before, began = [server.rows() for server in servers], time.monotonic()

            def work() -> None:
                if harm is not None:
                    wait_until(lambda: servers[2].rows() - before[2] > ROWS / 20)
                    harm()

            with meanwhile(work):
                ran = reviews.run()
            seconds = time.monotonic() - began
            rows = [server.settled() - rows for server, rows in zip(servers, before, strict=True)]
            return Shared(ran, rows, seconds, reviews.in_flight)

        yield predict


def test_a_server_that_is_ten_times_as_slow(servers: list[MortalServer], run: Run) -> None:
    """It gets a small part of the rows, none runs twice, and the end does not wait for a pile of its requests."""
    take(servers[2], 10 * SECONDS)
    shared = run(max_concurrent_operations="auto")
    shared.check()
    assert 0 < shared.rows[2] < min(shared.rows[:2]) / 2
    assert shared.notes == []


def test_a_server_that_answers_503_only(servers: list[MortalServer], run: Run) -> None:
    """The others do its rows, none runs twice, and it is asked now and then."""
    (servers[2].folder / "busy").touch()
    shared = run(max_concurrent_operations="auto")
    shared.check()
    assert shared.rows[2] == 0
    assert shared.ran.figures["retries"] < 40
    assert all("busy" in note and servers[2].url in note for note in shared.notes)


def test_a_server_that_is_busy_for_a_while_gets_rows_again(servers: list[MortalServer], run: Run) -> None:
    """503 for a while in mid-run: no row runs twice, and it does its part after that."""
    for server in servers:
        take(server, 0.25)
    at: list[int] = []

    def be_busy() -> None:
        (servers[2].folder / "busy").touch()
        time.sleep(1.1)
        at.append(servers[2].rows())
        (servers[2].folder / "busy").unlink()

    shared = run(be_busy)
    shared.check()
    assert servers[2].rows() > at[0]
    # It is told where it was out for a second at least.
    said = f"Triton at {servers[2].url}: busy; it was left out for a while, and the other servers did its rows"
    assert set(shared.notes) <= {said}


def test_a_server_that_garbles_every_text(servers: list[MortalServer], run: Run) -> None:
    """Its answers of 200 are no UTF-8: other servers do these rows once more, none fails, and it is left out."""
    for server in servers:
        take(server, 0.2)
    (servers[2].folder / "garbled").touch()
    shared = run()
    # It is found out when the first answers are decoded, a second after they came.
    shared.check(twice=ROWS // 3)
    assert shared.rows[2] < sum(shared.rows) / 4
    (note,) = shared.notes
    assert servers[2].url in note
    assert "UTF-8" in note


def test_a_server_that_is_stopped_and_goes_on(servers: list[MortalServer], run: Run) -> None:
    """SIGSTOP in mid-run: connections are taken, nothing is answered. What was in flight there runs at most twice."""
    for server in servers:
        take(server, 0.15)
    at: list[int] = []

    def stall() -> None:
        servers[2].stall()
        time.sleep(2.5)
        at.append(servers[2].rows())
        servers[2].go_on()

    shared = run(stall, timeout="1s")
    shared.check(twice=2 * shared.most_in_flight)
    assert servers[2].rows() > at[0]
    (note,) = shared.notes
    assert servers[2].url in note
    assert "did not answer within 1000 ms; it was left out " in note


def test_a_server_that_is_stopped_from_the_start(servers: list[MortalServer], tmp_path: Path) -> None:
    """The run waits some seconds for its word, then begins without it, and says so; it gets rows when it goes on."""
    for server in servers:
        take(server, 0.15)
    options = {"max-concurrent-operations": "12", "timeout": "20s"}
    reviews = Pipeline(tmp_path, ", ".join(server.url for server in servers), ROWS, options)
    before = [server.rows() for server in servers]

    def go_on() -> None:
        wait_until(lambda: servers[0].rows() - before[0] > ROWS / 10)
        servers[2].go_on()

    servers[2].stall()
    try:
        with meanwhile(go_on):
            ran = reviews.run()
    finally:
        servers[2].go_on()
        reviews.close()
    assert ran.right == ROWS
    assert sum(server.settled() for server in servers) - sum(before) == ROWS
    assert servers[2].rows() > before[2]
    (note,) = ran.warnings
    assert note.startswith(f"Triton at {servers[2].url} did not answer within 5 s; rows go to the other servers")


def test_a_server_that_is_restarted_with_another_version(servers: list[MortalServer], tmp_path: Path) -> None:
    """It gets no row after that, no prediction of the other version is in the table, and dbt says so, once."""
    for server in servers:
        take(server, 0.25)
    before = [server.rows() for server in servers]
    options = {"batch-size": "32", "max-concurrent-operations": "24"}
    reviews = DbtPipeline(tmp_path / "shop", ", ".join(server.url for server in servers), ROWS, options)
    building = reviews.start()
    wait_until(lambda: has_run(servers[2], before[2] + ROWS / 20, building), 60)
    serve(servers[2], 2)
    at = servers[2].rows()
    printed = " ".join(building.communicate(timeout=90)[0].split())
    assert building.returncode == 0, printed
    assert reviews.check() == set()
    assert servers[2].rows() == at
    assert sum(server.rows() for server in servers) - sum(before) <= ROWS + reviews.in_flight
    said = f"Triton at {servers[2].url} serves version 2, but the run began with version 1"
    assert printed.count(said) == 1
    assert "it got no rows from then on" in printed


def test_all_servers_that_are_restarted_with_another_version_end_the_run(servers: list[MortalServer], run: Run) -> None:
    """None can come back to what the run began with: it ends at once, and says what each of them serves."""
    for server in servers:
        take(server, 0.3)

    def upgrade() -> None:
        with ThreadPoolExecutor(3) as executor:
            list(executor.map(lambda server: serve(server, 2), servers))

    shared = run(upgrade, circuit_breaker_timeout="60s")
    error = shared.ran.error
    assert error is not None
    assert "no server is left: Triton at http://127.0.0.1:" in error
    assert all(f"{server.url} serves version 2, but the run began with version 1" in error for server in servers)
    assert shared.seconds < MOST_SECONDS


def test_servers_that_serve_something_else_are_an_error_before_a_row_is_sent(
    servers: list[MortalServer], tmp_path: Path
) -> None:
    """Another version, and the same version with another schema: the error says which server serves what."""
    before = [server.rows() for server in servers]

    def refused(name: str) -> str:
        (tmp_path / name).mkdir()
        reviews = Pipeline(tmp_path / name, ", ".join(server.url for server in servers), 10)
        reviews.close()
        assert reviews.refused is not None
        return reviews.refused

    first, last = servers[0].url, servers[2].url
    serve(servers[2], 3)
    assert f"Triton at {first} serves version 1, and Triton at {last} serves version 3" in refused("version")
    config = servers[2].repository / "faulty" / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace("TYPE_FP64", "TYPE_FP32"))
    try:
        serve(servers[2], 1)
        assert re.search(rf"at {first} serves outputs .*FP64.* {last} serves outputs .*FP32", refused("schema"))
    finally:
        config.write_text(text)
        serve(servers[2], 1)
    assert [server.rows() for server in servers] == before
