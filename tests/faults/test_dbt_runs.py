"""What happens to dbt itself in mid-run: it is killed or interrupted, loses its server or its disk; real processes."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from faults.dbt_pipeline import DbtPipeline, has_run
from faults.harness import meanwhile, wait_until
from faults.server import MortalServer

pytestmark = pytest.mark.slow

ROWS = 40_000
OPTIONS = {"batch-size": "256", "max-concurrent-operations": "4", "timeout": "20s"}
#: Seconds that the model takes for up to 256 rows.
SLOW = "0.04"


@pytest.fixture
def server(tmp_path: Path) -> Generator[MortalServer, None, None]:
    """Return a slow server, which keeps a ledger of the rows that it ran."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "slow").write_text(SLOW)
    with MortalServer(folder) as server:
        yield server


@pytest.fixture
def reviews(tmp_path: Path, server: MortalServer) -> DbtPipeline:
    """Return a dbt project with reviews for the server."""
    return DbtPipeline(tmp_path / "project", server.url, ROWS, OPTIONS)


def ended(dbt: subprocess.Popen[str], sign: int) -> str:
    """Send a signal to dbt, wait for its end, and return what it printed."""
    dbt.send_signal(sign)
    printed, _ = dbt.communicate(timeout=90)
    return printed


def finish(reviews: DbtPipeline, server: MortalServer) -> None:
    """Build to the end, and check that only what the store did not hold was sent."""
    kept, before = reviews.kept(), server.settled()
    built = reviews.project.build()
    assert reviews.check() == set()
    assert built.figures("classified")["rows_reused"] == kept
    assert server.rows() - before == ROWS - kept


def test_a_run_that_is_killed_twice_goes_on_where_it_was(reviews: DbtPipeline, server: MortalServer) -> None:
    """SIGKILL in mid-run, twice: what was committed is not sent again; the table has every row once, and right."""
    for _ in range(2):
        before, kept = server.settled(), reviews.kept()
        dbt = reviews.start()
        wait_until(partial(has_run, server, before + ROWS * 0.4, dbt), 90)
        ended(dbt, signal.SIGKILL)
        done, committed = server.settled() - before, reviews.kept() - kept
        assert committed > 0
        # Lost is what was not committed yet: about the last second's, and what was in flight.
        assert done - committed <= ROWS * 0.35
    finish(reviews, server)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=lambda sign: sign.name)
def test_an_interrupted_run_ends_and_goes_on_where_it_was(
    sign: signal.Signals, reviews: DbtPipeline, server: MortalServer
) -> None:
    """Ctrl-C, or SIGTERM of a scheduler: dbt ends soon, without a table; the next run sends only the rest."""
    dbt = reviews.start()
    wait_until(partial(has_run, server, ROWS * 0.4, dbt), 90)
    ended(dbt, sign)
    assert dbt.returncode != 0
    assert server.settled() < ROWS, "the run was not interrupted, it went on to its end"
    assert reviews.kept() > 0
    finish(reviews, server)


def test_a_server_that_is_killed_and_comes_back_is_waited_for(reviews: DbtPipeline, server: MortalServer) -> None:
    """SIGKILL of the server in mid-run and a restart on its port: dbt waits, succeeds, and sends little twice."""
    dbt = reviews.start()

    def restart() -> None:
        wait_until(partial(has_run, server, ROWS * 0.4, dbt), 90)
        server.kill()
        server.restart()

    with meanwhile(restart):
        printed, _ = dbt.communicate(timeout=200)
    assert dbt.returncode == 0, printed
    assert reviews.check() == set()
    assert server.rows() - ROWS <= reviews.in_flight


def test_a_disk_that_fills_up_ends_the_run_with_one_message(reviews: DbtPipeline, server: MortalServer) -> None:
    """No room for the warehouse in mid-run: the old table stays, the message says why, and the next run finishes."""
    reviews.project.build("-s", "faulty")
    reviews.write("create table classified as select 'the old table' as said")
    size = reviews.project.database.stat().st_size
    command, environment = reviews.project.command("build")
    done = subprocess.run(
        command,
        cwd=reviews.project.root,
        env=environment,
        # A file that may not grow fails a write as a full disk does.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300_000, size + 300_000)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 1, printed
    assert "Traceback" not in printed, printed
    assert "File too large" in printed
    assert "Predictions made so far are kept in" in printed
    assert reviews.project.query("select said from classified") == [("the old table",)]
    finish(reviews, server)


def test_a_warehouse_that_cannot_be_written_to_costs_nothing(
    tmp_path: Path, reviews: DbtPipeline, server: MortalServer
) -> None:
    """A read-only warehouse: the build fails with DuckDB's words before a row is sent."""
    profiles = tmp_path / "read_only"
    profiles.mkdir()
    text = (reviews.project.root / "profiles.yml").read_text()
    options = '"config_options": {"access_mode": "read_only"}, "threads"'
    (profiles / "profiles.yml").write_text(text.replace('"threads"', options))
    failed = reviews.project.fails(DBT_PROFILES_DIR=str(profiles))
    assert "read-only" in failed.printed
    assert "Traceback" not in failed.printed
    assert server.rows() == 0
