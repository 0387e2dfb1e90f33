"""cron and CI: dbt in a script."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

import duckdb
from support.dbt import REPOSITORY, DbtProject
from support.proxy import RecordingProxy
from support.triton import Triton

SCRIPT = "orchestration/nightly.py"
ROWS = 80
BEFORE_THE_SIGNAL = 30
PREDICTING = """
    {{ config(materialized='ml_predict') }}
    select * from ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('classifier') }}, DESCRIPTOR(review))
"""


def _command(project: DbtProject) -> tuple[list[str], dict[str, str]]:
    """Put the example's script into a project, and return its command line and environment."""
    (project.root / SCRIPT).parent.mkdir(exist_ok=True)
    shutil.copyfile(REPOSITORY / "example_project" / SCRIPT, project.root / SCRIPT)
    _, environment = project.command()
    return [sys.executable, SCRIPT], environment


def _exit_code(project: DbtProject, *arguments: str, **environment: str) -> int:
    """Run the script to its end."""
    command, variables = _command(project)
    done = subprocess.run(
        [*command, *arguments],
        cwd=project.root,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode


def test_exit_codes(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """0 when all was built, though a row failed that may fail; 1 when a model failed; 2 when dbt cannot run."""
    project.model("reviews", "select 1 as id, 'good' as review union all select 2, 'REFUSE this'")
    # The endpoint of the environment wins over that of the model, where nobody listens.
    project.inference_model("classifier", "http://127.0.0.1:9", serve("upper"), max_retries="0")
    project.model("strict", PREDICTING)
    project.model(
        "lenient", PREDICTING.replace("'ml_predict'", "'ml_predict', meta={'ml_predict': {'on-error': 'null'}}")
    )
    assert _exit_code(project, "--exclude", "strict", TRITON_URL=triton.url) == 0
    assert project.query("select id, output, ml_error is null from lenient order by id") == [
        (1, "GOOD", True),
        (2, None, False),
    ]
    assert _exit_code(project, TRITON_URL=triton.url) == 1
    project.write("models/broken.yml", "models: [{")
    assert _exit_code(project) == 2


def test_sigterm_loses_nothing(serve: Callable[[str], str], proxy: RecordingProxy, project: DbtProject) -> None:
    """SIGTERM in mid-run ends the script in order, with 143; the next run sends only what was not predicted."""
    project.model("reviews", f"select i as id, 'review ' || i as review from range(1, {ROWS + 1}) t(i)")
    project.inference_model("classifier", proxy.url, serve("slow"), batch_size="1", max_concurrent_operations="2")
    project.model("classified", PREDICTING)
    command, environment = _command(project)
    with subprocess.Popen(
        command, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            proxy.wait_for(lambda p: len(p.exchanges) > BEFORE_THE_SIGNAL, timeout=120)
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM, printed
    proxy.wait_for(lambda p: p.open_connections == 0)
    assert len(proxy.inferences) < ROWS, "the run was over before the signal"
    kept = project.query("select count(*) from classified__ml_predictions")[0][0]
    assert kept > 0

    proxy.clear()
    assert _exit_code(project) == 0
    assert len(proxy.inferences) == ROWS - kept
    assert project.query("select count(*), count(output) from classified") == [(ROWS, ROWS)]


def test_second_process_is_refused(project: DbtProject) -> None:
    """Why none may run a process a node: while one process has the DuckDB file, another cannot write to it."""
    project.model("anything", "select 1 as id")
    with duckdb.connect(str(project.database)):
        refused = project.fails()
    assert "Conflicting lock is held" in refused.printed
    assert _exit_code(project) == 0
