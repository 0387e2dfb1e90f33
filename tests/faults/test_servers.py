"""Faults of the server itself, in mid-run: a real Triton that hangs, dies, reloads and restarts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults.harness import Pipeline, meanwhile, wait_until
from faults.server import MortalServer

ROWS = 4_000
#: So slow that a run lasts while things happen to the server.
SLOW = "0.05"

Setting = Callable[..., tuple[MortalServer, Pipeline]]


def has_run(server: MortalServer, rows: float) -> bool:
    """Tell whether the model has run so many rows."""
    return server.rows() > rows


@pytest.fixture
def setting(tmp_path: Path) -> Generator[Setting, None, None]:
    """Return a function that makes a server to maltreat, and a pipeline."""
    with ExitStack() as stack:

        def make(rows: int, *extra_args: str, slow: str | None = None, **options: Any) -> tuple[MortalServer, Pipeline]:
            folder = tmp_path / "server"
            folder.mkdir()
            server = stack.enter_context(MortalServer(folder, *extra_args))
            if slow is not None:
                (folder / "slow").write_text(slow)
            named = {name.replace("_", "-"): str(value) for name, value in options.items()}
            reviews = Pipeline(tmp_path, server.url, rows, named)
            stack.callback(reviews.close)
            return server, reviews

        yield make


def test_a_model_that_never_answers_one_row_costs_that_row_alone(setting: Setting) -> None:
    """A model that swallows a request: it times out, is split, and the one row is marked."""
    _, reviews = setting(400, timeout="1s", max_retries=0, batch_size=16)
    reviews.put(200, "HANG on this")
    ran = reviews.run()
    assert ran.error is None
    assert list(ran.marked) == ["HANG on this"]
    assert "did not answer within 1000 ms" in ran.marked["HANG on this"]


def test_a_model_whose_process_died_ends_the_run_though_the_server_says_that_it_is_ready(setting: Setting) -> None:
    """A dead Python model answers 500 for ever: the run ends in time, marks no row, and goes on after a restart."""
    server, reviews = setting(ROWS, slow=SLOW, max_retries=1, circuit_breaker_timeout="3s")

    def die() -> None:
        wait_until(partial(has_run, server, ROWS / 4))
        (server.folder / "die").touch()

    with meanwhile(die):
        ended = reviews.run()
    assert ended.error is not None
    assert "is not healthy" in ended.error
    kept = reviews.kept()
    assert kept >= ROWS / 4 - reviews.in_flight
    (server.folder / "die").unlink()
    server.kill()
    server.restart()
    ran = reviews.run()
    assert ran.right == ROWS
    assert server.rows() - ROWS <= reviews.in_flight


def test_a_model_that_is_reloaded_in_mid_run_costs_nothing(setting: Setting) -> None:
    """A new file of the model is loaded while it runs: each row is right, and nothing is run twice."""
    server, reviews = setting(ROWS, "--model-control-mode=explicit", "--load-model=faulty", slow=SLOW)

    def reload() -> None:
        for share in (0.2, 0.4):
            wait_until(partial(has_run, server, ROWS * share))
            with (server.repository / "faulty" / "1" / "model.py").open("a") as model:
                model.write("\n# changed\n")
            server.post("/v2/repository/models/faulty/load")

    with meanwhile(reload):
        ran = reviews.run()
    assert ran.right == ROWS
    assert server.rows() == ROWS


def test_a_model_that_is_unloaded_in_mid_run_ends_it_and_what_was_done_is_kept(setting: Setting) -> None:
    """An unloaded model: the run ends with Triton's words, no row is marked; once it is loaded, the rest is sent."""
    server, reviews = setting(
        ROWS, "--model-control-mode=explicit", "--load-model=faulty", slow=SLOW, circuit_breaker_timeout="3s"
    )

    def unload() -> None:
        wait_until(partial(has_run, server, ROWS / 4))
        server.post("/v2/repository/models/faulty/unload")

    with meanwhile(unload):
        ended = reviews.run()
    assert ended.error is not None
    assert "Request for unknown model: 'faulty'" in ended.error
    server.post("/v2/repository/models/faulty/load")
    assert reviews.run().right == ROWS
    assert server.rows() - ROWS <= reviews.in_flight


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_in_mid_run_and_comes_back_costs_nothing(setting: Setting) -> None:
    """SIGTERM: Triton finishes what it has, ends, and is started again; the run goes on, each row is right."""
    server, reviews = setting(ROWS, "--exit-timeout-secs=2", slow=SLOW)

    def restart() -> None:
        wait_until(partial(has_run, server, ROWS / 4))
        server.terminate()
        server.restart()

    with meanwhile(restart):
        ran = reviews.run()
    assert ran.error is None
    assert ran.right == ROWS
    assert server.rows() - ROWS <= reviews.in_flight


@pytest.mark.slow
def test_a_server_that_is_killed_in_mid_run_and_comes_back_costs_what_was_in_flight(setting: Setting) -> None:
    """SIGKILL, twice, and a restart on the same port: the run goes on, and at most what was in flight runs again."""
    server, reviews = setting(ROWS, slow=SLOW)

    def restart() -> None:
        for share in (0.2, 0.6):
            wait_until(partial(has_run, server, ROWS * share))
            server.kill()
            server.restart()

    with meanwhile(restart):
        ran = reviews.run()
    assert ran.error is None
    assert ran.right == ROWS
    assert server.rows() - ROWS <= 2 * reviews.in_flight
