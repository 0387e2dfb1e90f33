"""Ctrl-C and SIGTERM while a step runs on Spark, and the tags by which jobs are cancelled."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support.spark import SparkProject

from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.spark.jobs import Jobs, node_of, running
from dbt_triton.warehouses.spark.session import SparkWarehouse

#: Each task writes a byte to a file of its own, again and again, as an engine sends requests.
_STEP = """
    {{% materialization long_step, adapter='spark' %}}
      {{% do model.config.update({{'submission_method': 'dbt_triton'}}) %}}
      {{% call statement('main', language='python') %}}
    def send(batches):
        import os, time
        for batch in batches:
            for _ in range(1200):
                with open({folder!r} + "/" + str(os.getpid()), "ab") as file:
                    file.write(b"x")
                time.sleep(0.1)
            yield batch

    spark.range(0, 4, 1, 2).mapInArrow(send, "id bigint").collect()
      {{% endcall %}}
      {{{{ return({{'relations': []}}) }}}}
    {{% endmaterialization %}}
"""


def sent(folder: Path) -> int:
    """Return how many bytes all tasks have written."""
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.fixture
def slow_project(tmp_path: Path) -> SparkProject:
    """A project of one step that takes minutes, for a process of its own."""
    project = SparkProject(tmp_path / "project")
    (tmp_path / "sent").mkdir()
    project.write("macros/long_step.sql", _STEP.format(folder=str(tmp_path / "sent")))
    project.model("slow", "{{ config(materialized='long_step') }} select 1")
    project.model("after", "{{ config(materialized='table') }} -- depends_on: {{ ref('slow') }}\nselect 1 as a")
    return project


@pytest.fixture
def started(slow_project: SparkProject, tmp_path: Path) -> Generator[tuple[subprocess.Popen[bytes], Path]]:
    """Its build, whose tasks send already, and the file of its console."""
    command, environment = slow_project.command("build")
    console = tmp_path / "console.txt"
    with (
        console.open("w") as out,
        subprocess.Popen(
            command, cwd=slow_project.root, env=environment | slow_project.apart(), stdout=out, stderr=out
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 200
            while sent(tmp_path / "sent") < 20 and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.2)
            yield process, console
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_run(
    started: tuple[subprocess.Popen[bytes], Path], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM cancel the jobs of the step, executors stop sending, and dbt ends and says so."""
    process, console = started
    assert sent(tmp_path / "sent") >= 20, console.read_text()
    process.send_signal(number)
    process.wait(60)
    time.sleep(1)  # a worker sees that Spark is gone when it has something to say
    at_the_end = sent(tmp_path / "sent")
    time.sleep(3)
    printed = console.read_text()
    assert sent(tmp_path / "sent") == at_the_end, printed
    assert process.returncode != 0, printed
    assert "CANCEL query model.shop.slow" in printed, printed
    assert "after" not in printed.partition("CANCEL query")[2].replace("Done", ""), printed


def test_a_step_cancels_its_own_jobs_only(spark: Any) -> None:
    """Cancelling one step leaves another one's jobs, in another thread of the same session, alone."""

    def slow(batches: Any) -> Any:
        for batch in batches:
            time.sleep(20)
            yield batch

    done: dict[str, object] = {}

    def step(name: str) -> None:
        with running(spark, node_of(name)) as jobs:
            steps[name] = jobs
            warehouse = SparkWarehouse(spark, {"unique_id": name})
            try:
                done[name] = warehouse.asked(spark.range(0, 1, 1, 1).mapInArrow(slow, "id bigint").collect)
            except WarehouseError as error:
                done[name] = str(error)

    steps: dict[str, Jobs] = {}
    threads = [threading.Thread(target=step, args=[name]) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    time.sleep(1)
    begun = time.monotonic()
    steps["one"].cancel()
    threads[0].join()
    assert time.monotonic() - begun < 10
    threads[1].join()
    assert done["one"] == "the run was interrupted"
    assert done["two"] == [(0,)]


def test_ctrl_c_in_the_thread_of_the_step(spark: Any) -> None:
    """Where dbt runs models in its main thread, Ctrl-C ends the step there, and its jobs are cancelled as well."""
    with pytest.raises(KeyboardInterrupt), running(spark, node_of("main")) as jobs:
        raise KeyboardInterrupt
    assert jobs.interrupted
    assert not spark.sparkContext.getJobTags()
