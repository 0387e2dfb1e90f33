"""Ctrl-C in the middle of a run."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable

import pytest
from support.dbt import DbtProject
from support.proxy import RecordingProxy
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only("Ctrl-C reaches DuckDB by its own way; tests/spark/test_cancel.py has it on Spark")

ROWS = 80
BEFORE_THE_INTERRUPT = 30


@pytest.mark.slow
def test_interrupted_run_is_resumed(
    triton: Triton, serve: Callable[[str], str], proxy: RecordingProxy, project: DbtProject
) -> None:
    """Ctrl-C ends dbt, closes every connection and keeps the predictions; the next run sends only the rest."""
    model = serve("slow")
    project.model("reviews", f"select i as id, 'review ' || i as review from range(1, {ROWS + 1}) t(i)")
    project.inference_model("classifier", proxy.url, model, batch_size="1", max_concurrent_operations="2")
    project.model(
        "classified",
        "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT(TABLE {{ ref('reviews') }}, "
        "MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
    )
    command, environment = project.command("build")
    console = project.root / "console.txt"
    with (
        console.open("w") as out,
        subprocess.Popen(command, cwd=project.root, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            begun = proxy.wait_for(lambda p: len(p.exchanges) > BEFORE_THE_INTERRUPT)
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            process.kill()
    printed = console.read_text()
    assert begun, printed
    assert process.returncode != 0, printed
    assert proxy.wait_for(lambda p: p.open_connections == 0)
    sent = len(proxy.inferences)
    assert sent < ROWS, "the run was over before the interrupt"
    assert "classified" not in project.relations()
    kept = project.query("select count(*) from classified__ml_predictions")[0][0]
    assert 0 < kept <= sent

    proxy.clear()
    result = project.build()
    assert len(proxy.inferences) == ROWS - kept
    assert result.figures("classified")["rows_reused"] == kept
    assert project.query("select count(*), count(output) from classified") == [(ROWS, ROWS)]
    assert triton.counters(model).rows >= ROWS


@pytest.mark.slow
def test_interrupt_while_the_server_is_asked(project: DbtProject) -> None:
    """Ctrl-C ends dbt soon, too, while a server that does not answer is asked what it serves."""
    project.model("reviews", "select 1 as id, 'fine' as review")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        project.inference_model("classifier", endpoint, "m", preflight="false", timeout="50s", max_retries="0")
        project.model(
            "classified",
            "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT(TABLE {{ ref('reviews') }}, "
            "MODEL {{ ref('classifier') }}, DESCRIPTOR(review))",
        )
        command, environment = project.command("build")
        silent.settimeout(60)
        with subprocess.Popen(command, cwd=project.root, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                connection, _ = silent.accept()
                with connection:
                    interrupted = time.monotonic()
                    process.send_signal(signal.SIGINT)
                    process.wait(40)
            finally:
                process.kill()
    assert process.returncode != 0
    assert time.monotonic() - interrupted < 15
