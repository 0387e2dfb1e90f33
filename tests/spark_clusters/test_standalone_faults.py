"""What a cluster does to a run: a worker that dies in mid-wave, and tasks that are tried twice at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from support.proxy import Exchange, RecordingProxy
from support.spark_clusters import events, standalone
from support.spark_shop import ALL_RIGHT, DISTINCT, RIGHT, STORED, shop
from support.spark_steps import Told, take_steps, write_project
from support.triton import Triton

OPTIONS = {"cache": "persistent", "batch_size": "2", "spark_tasks": "4", "max_concurrent_operations": "4"}
STEPS = {"built": ("dbt", "build"), "rows": ("sql", RIGHT), "stored": ("sql", STORED)}


def _check(told: dict[str, Told]) -> None:
    assert told["built"].error == ""
    assert told["rows"].rows == ALL_RIGHT
    assert told["stored"].rows == [[DISTINCT, DISTINCT]]


@pytest.mark.spark_slow
def test_killed_worker(triton: Triton, tmp_path: Path) -> None:
    """After kill -9 of a worker in mid-wave its tasks run on the other one: nothing is lost, and no row is doubled."""

    def slow(exchange: Exchange) -> None:
        if exchange.path.endswith("/infer"):
            time.sleep(0.5)

    with standalone() as cluster, triton.serving("upper") as model, RecordingProxy(triton.url, slow) as proxy:
        project = write_project(tmp_path / "shop", shop(proxy.url, model, **OPTIONS))
        told: list[Told] = []
        driver = threading.Thread(target=lambda: told.extend(take_steps(cluster, project, *STEPS.values())))
        driver.start()
        # Each worker has one task at a time, and each task 15 rows or so.
        assert proxy.wait_for(lambda it: sum(one.path.endswith("/infer") for one in it.exchanges) >= 6, timeout=600)
        cluster.kill_worker(2)
        driver.join()
        _check(dict(zip(STEPS, told, strict=True)))
        ends = events(cluster, "SparkListenerTaskEnd")
        assert any(end["Task End Reason"]["Reason"] == "ExecutorLostFailure" for end in ends)
        assert len(proxy.inferences) > DISTINCT // 2, "nothing was sent again: the worker was killed too late"


@pytest.mark.spark_slow
def test_speculation(triton: Triton, tmp_path: Path) -> None:
    """Where Spark runs a slow task twice at once, the rows of one of the two are kept, and no input is there twice."""
    settings = {
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.minTaskRuntime": "0ms",
        "spark.speculation.multiplier": "1.1",
        "spark.speculation.quantile": "0.25",
    }
    slept = threading.Event()

    def slow(exchange: Exchange) -> None:
        # The first request of them all, so that one task is slow while the three others end; not its second try.
        if exchange.path.endswith("/infer") and not slept.is_set():
            slept.set()
            time.sleep(25)

    with (
        standalone(settings=settings) as cluster,
        triton.serving("upper") as model,
        RecordingProxy(triton.url, slow) as proxy,
    ):
        project = write_project(tmp_path / "shop", shop(proxy.url, model, **OPTIONS))
        told = take_steps(cluster, project, *STEPS.values())
        _check(dict(zip(STEPS, told, strict=True)))
        tasks = [end["Task Info"] for end in events(cluster, "SparkListenerTaskEnd")]
        assert any(task["Speculative"] for task in tasks), "Spark ran no task twice"
        assert len(proxy.inferences) > DISTINCT // 2
