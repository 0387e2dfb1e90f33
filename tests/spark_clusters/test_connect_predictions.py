"""ML_PREDICT by Spark Connect: the client has no JVM, and the tasks are the server's."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass

import pytest
from support.dbt import RUN_LOG
from support.spark_clusters import connect_server
from support.spark_shop import ALL_RIGHT, DISTINCT, RIGHT, between, shop
from support.spark_steps import Told, take_steps, write_project
from support.triton import Triton

PYTHON_MODEL = """
from dbt_triton import ml_predict


def model(dbt, session):
    dbt.config(materialized="table", submission_method="dbt_triton", file_format="parquet")
    long = dbt.ref("reviews").where("length(review) > 6")
    return ml_predict(dbt, session, long, dbt.ref("upper_"), "review")
"""
BROKEN_MODEL = """
def model(dbt, session):
    dbt.config(materialized="table", submission_method="dbt_triton", file_format="parquet")
    return session.range(3).selectExpr("id", "id + nothere as x")
"""


@dataclass
class Built:
    """What was built."""

    model: str
    told: dict[str, Told]


@pytest.fixture(scope="module")
def built(triton: Triton, tmp_path_factory: pytest.TempPathFactory) -> Generator[Built]:
    """A project that is counted, and then built; and one more with mistakes."""
    with connect_server() as server, triton.serving("upper") as model:
        models = shop(triton.url, model)
        models["long.py"] = PYTHON_MODEL
        models["broken.py"] = BROKEN_MODEL
        models["wrong"] = models["moods"].replace("DESCRIPTOR(review)", "DESCRIPTOR(nothere)")
        project = write_project(tmp_path_factory.mktemp("connect") / "shop", models)
        count = ("get", triton.metrics_url)
        steps = {
            "ready": ("dbt", "build", "-s", "upper_", "reviews"),
            "before": count,
            "dry run": ("dbt", "build", "-s", "moods", "--vars", json.dumps({"dbt_triton_dry_run": True})),
            "after dry run": count,
            "first": ("dbt", "build", "-s", "moods"),
            "rows": ("sql", RIGHT),
            "after first": count,
            "python": ("dbt", "build", "-s", "long"),
            "python rows": ("sql", "select count(*), count_if(output = upper(review)) from shop.long"),
            "after python": count,
            "mistakes": ("dbt", "build", "-s", "wrong", "broken"),
            "tables": ("sql", "show tables in shop"),
        }
        told = take_steps(server, project, *steps.values())
        yield Built(model, dict(zip(steps, told, strict=True)))


def test_dry_run(built: Built) -> None:
    """A dry run says what would be sent, and sends nothing."""
    assert built.told["ready"].error == ""
    assert built.told["dry run"].error == ""
    assert built.told["dry run"].figures["moods"]["to_send"] == DISTINCT
    assert between(built.told["before"].text, built.told["after dry run"].text, built.model).rows == 0


def test_two_statements(built: Built) -> None:
    """CREATE MODEL and ML_PREDICT give the right values, each distinct input is sent once, and no store stays."""
    assert built.told["first"].error == ""
    assert built.told["rows"].rows == ALL_RIGHT
    assert between(built.told["after dry run"].text, built.told["after first"].text, built.model).rows == DISTINCT
    assert {row[1] for row in built.told["tables"].rows} - RUN_LOG == {"long", "moods", "reviews", "upper_"}


def test_python_model(built: Built) -> None:
    """A Python model calls the inference model on the server's DataFrames."""
    assert built.told["python"].error == ""
    # "text 10" to "text 59", each in two rows.
    assert built.told["python rows"].rows == [[100, 100]]
    assert between(built.told["after first"].text, built.told["after python"].text, built.model).rows == DISTINCT - 10


def test_errors_are_one_line(built: Built) -> None:
    """What a user has written wrong is said in one line, without a traceback of Python's or Java's."""
    nodes = built.told["mistakes"].nodes
    for name in ("wrong", "broken"):
        status, message = nodes[name]
        assert status == "error"
        assert len([line for line in message.splitlines() if "nothere" in line]) == 1, message
        for trace in ("Traceback", "stacktrace", "at org.apache", "py4j"):
            assert trace not in message
    # dbt's own first line, and what it is told; dbt adds the macros where one of them raises it.
    assert len([line for line in nodes["broken"][1].splitlines() if line.strip()]) == 2, nodes["broken"][1]
