"""ML_PREDICT on a standalone cluster of two workers: what travels to them, and what must not."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass

import pytest
from support.proxy import Exchange, RecordingProxy
from support.spark_clusters import Cluster, events, files_with, standalone
from support.spark_shop import ALL_RIGHT, DISTINCT, RIGHT, STORED, between, shop
from support.spark_steps import Told, take_steps, write_project
from support.triton import Triton

EXECUTORS, DRIVER, LITERAL = "token-of-the-executors", "token-of-the-driver", "token-written-down"


@dataclass
class Built:
    """What was built, and what went over the wire meanwhile."""

    cluster: Cluster
    model: str
    told: dict[str, Told]
    exchanges: list[Exchange]


@pytest.fixture(scope="module")
def built(triton: Triton, tmp_path_factory: pytest.TempPathFactory) -> Generator[Built]:
    """A project that was built twice, and another one with a literal token."""

    def slow(exchange: Exchange) -> None:
        if exchange.path.endswith("/infer"):
            time.sleep(0.2)  # long enough for the other executor to take a part

    with (
        standalone(executor_environment={"SHOP_TOKEN": EXECUTORS}) as cluster,
        triton.serving("upper") as model,
        RecordingProxy(triton.url, slow) as proxy,
    ):
        options = {"cache": "persistent", "batch_size": "4", "spark_tasks": "4", "max_concurrent_operations": "4"}
        models = shop(proxy.url, model, auth_token="${SHOP_TOKEN}", **options)  # noqa: S106 - a name
        # With a literal token, beside the others.
        wrong = shop(proxy.url, model, auth_token=LITERAL, **options)
        models["upper_literal"] = wrong["upper_"].replace("CREATE MODEL upper_", "CREATE MODEL upper_literal")
        models["moods_literal"] = wrong["moods"].replace("upper_", "upper_literal")
        project = write_project(tmp_path_factory.mktemp("standalone") / "shop", models)
        count = ("get", triton.metrics_url)
        two = ("dbt", "build", "--exclude", "upper_literal", "moods_literal")
        steps = {
            "before": count,
            "first": two,
            "rows": ("sql", RIGHT),
            "stored": ("sql", STORED),
            "between": count,
            "second": two,
            "rows again": ("sql", RIGHT),
            "after": count,
            "literal": ("dbt", "build", "-s", "upper_literal", "moods_literal"),
            "after literal": count,
        }
        told = take_steps(cluster, project, *steps.values(), SHOP_TOKEN=DRIVER)
        yield Built(cluster, model, dict(zip(steps, told, strict=True)), list(proxy.exchanges))


def test_two_statements(built: Built) -> None:
    """CREATE MODEL and ML_PREDICT give the right values, and the server counts each distinct input once."""
    assert built.told["first"].error == ""
    assert built.told["rows"].rows == ALL_RIGHT
    assert built.told["stored"].rows == [[DISTINCT, DISTINCT]]
    counters = between(built.told["before"].text, built.told["between"].text, built.model)
    assert (counters.rows, counters.failed_requests) == (DISTINCT, 0)
    assert built.told["first"].figures["moods"]["rows_predicted"] == DISTINCT


def test_second_build_sends_nothing(built: Built) -> None:
    """With a persistent cache a second build has the same rows, and not one request for inference."""
    assert built.told["second"].error == ""
    assert built.told["rows again"].rows == ALL_RIGHT
    assert between(built.told["between"].text, built.told["after"].text, built.model).rows == 0
    assert built.told["second"].figures["moods"]["requests"] == 0


def test_both_workers_send(built: Built) -> None:
    """Rows are sent from tasks on both machines, by the package that the driver has sent to them."""
    tasks = [
        event["Task Info"]
        for event in events(built.cluster, "SparkListenerTaskEnd")
        if event["Task Info"]["Finish Time"] - event["Task Info"]["Launch Time"] > 400
    ]
    assert {task["Host"] for task in tasks} == {"127.0.0.1", "127.0.0.2"}
    for worker in ("worker-1", "worker-2"):
        assert list((built.cluster.folder / worker).rglob("dbt_triton-*.zip"))


def test_secret_is_the_executors_own(built: Built) -> None:
    """Rows are sent with the token of the executors' own environment; the driver's is for its own questions alone."""
    of_inference = {
        exchange.request.header("Authorization") for exchange in built.exchanges if exchange.path.endswith("/infer")
    }
    others = {exchange.request.header("Authorization") for exchange in built.exchanges if exchange.method == "GET"}
    assert of_inference == {f"Bearer {EXECUTORS}"}
    assert f"Bearer {DRIVER}" in others


def test_secret_stands_nowhere(built: Built) -> None:
    """Neither value is in a file of Spark's: event logs, settings, tables, closures, the logs of workers and tasks."""
    assert events(built.cluster, "SparkListenerTaskEnd")
    for token in (EXECUTORS, DRIVER, LITERAL):
        assert files_with(built.cluster.folder, token) == []


def test_literal_token(built: Built) -> None:
    """A token that is written down is refused before a row is sent, in one error that says what to write."""
    nodes = built.told["literal"].nodes
    assert nodes["upper_literal"][0] == "success"
    status, message = nodes["moods_literal"]
    assert status == "error"
    assert "auth-token holds a literal value" in message
    assert "Write ${NAME} in the inference model, and set NAME in the environment of the executors" in message
    assert "Traceback" not in message
    assert between(built.told["after"].text, built.told["after literal"].text, built.model).rows == 0
