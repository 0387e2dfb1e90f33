"""Two pages, "still-good.md" and "champion-and-challenger.md", built as they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from importlib import import_module
from typing import Any

import pytest
from support.dbt import REPOSITORY, DbtProject
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only("the pages are built on DuckDB; tests/spark has their SQL on Spark")

PAGES = [REPOSITORY / "docs" / name for name in ("still-good.md", "champion-and-challenger.md")]
_FENCE = re.compile(r"^```(?:sql|yaml)\n(?:--|#) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What the first version knows, what only the second knows, what neither does, and what both refuse.
REVIEWS = [
    (1, "good", "positive"),
    (2, "great", "positive"),
    (3, "lovely", "positive"),
    (4, "dull", "negative"),
    (5, "not good", "negative"),
    (6, "fine", "positive"),
    (7, "REFUSE", "negative"),
    (8, "", "positive"),
    (11, "bad", ""),
    (12, "good REFUSE", "positive"),
    (13, "great but dull", "negative"),
]


@pytest.fixture(scope="module")
def built(triton: Triton, tmp_path_factory: pytest.TempPathFactory) -> Generator[DbtProject]:
    """Yield a project of the files of both pages, built once."""
    project = DbtProject(tmp_path_factory.mktemp("still_good") / "project")
    rows = "\n".join(f"{number},Alien,{review},{sentiment}" for number, review, sentiment in REVIEWS)
    project.write("seeds/movie_reviews.csv", f"id,movie_name,user_review,actual_sentiment\n{rows}\n")
    with triton.serving("opinions") as name:
        for page in PAGES:
            found = _FENCE.findall(page.read_text(encoding="utf-8"))
            assert len(found) == page.read_text("utf-8").count("\n```") / 2, "begin each with the name of its file"
            for file, text in found:
                # Of its own: another file of tests may serve a model of that name at the same time.
                project.write(file, text.replace("text-classification", name))
        project.environment["TRITON"] = triton.url
        project.build("--vars", _variables(project))
        yield project


def _variables(project: DbtProject, **more: Any) -> str:
    return json.dumps({"dbt_triton_endpoint": project.environment["TRITON"]} | more)


def _scikit_learn(rows: list[tuple[Any, ...]]) -> list[float]:
    """Return the accuracy, and the macro metrics, of rows of a label and a prediction."""
    metrics: Any = import_module("sklearn.metrics")
    truth, said = zip(*[(label, given or "none") for label, given in rows if label], strict=True)
    classes = sorted({*truth, *(given for _, given in rows if given)})
    found = metrics.precision_recall_fscore_support(truth, said, labels=classes, average="macro", zero_division=0)
    return [metrics.accuracy_score(truth, said), *found[:3]]


@pytest.mark.slow
def test_metrics_of_the_page_are_those_of_scikit_learn(built: DbtProject) -> None:
    """ML_EVALUATE, and the macro over the built table, say what scikit-learn says of the predictions."""
    rows = built.query("select actual_sentiment, predicted_sentiment from classified_reviews")
    expected = _scikit_learn(rows)
    (metrics,) = built.query("select accuracy, f1, rows_evaluated, rows_failed from classifier_metrics")
    assert metrics == (pytest.approx(expected[0]), pytest.approx(expected[3]), 10, 2)
    columns = "accuracy, precision, recall, f1, result['Accuracy'], rows_without_label"
    measured = built.query(f"select {columns} from measured_reviews order by part")
    assert measured[0] == (*map(pytest.approx, expected), pytest.approx(expected[0]), 1)
    assert measured[1][0] != measured[0][0]


@pytest.mark.slow
def test_champion_and_challenger(built: DbtProject) -> None:
    """Both versions predict the same sample; who is right where they differ is counted."""
    compared = built.query("select id, champion, challenger from compared_reviews order by id")
    good, bad = "positive", "negative"
    assert compared == [
        (1, good, good),
        (2, bad, good),
        (3, bad, good),
        (4, bad, bad),
        (12, None, None),
        (13, bad, good),
    ]
    assert built.query("from agreement") == [(6, 0.5, 2, 1, 2, 1)]
    metrics = built.query("select model, accuracy, recall from champion_and_challenger order by model")
    assert [row[0] for row in metrics] == ["challenger", "champion"]
    for model, *found in metrics:
        rows = built.query(f"select actual_sentiment, {model} from compared_reviews")
        accuracy, _, recall, _ = _scikit_learn(rows)
        assert found == [pytest.approx(accuracy), pytest.approx(recall)]


@pytest.mark.slow
def test_the_next_night(built: DbtProject) -> None:
    """With other reviews, the next build's tests notice: drift since the run before, and the history has a row more."""
    rows = "\n".join(f"{number},Alien,good,negative" for number in range(1, 20))
    built.write("seeds/movie_reviews.csv", f"id,movie_name,user_review,actual_sentiment\n{rows}\n")
    result = built.fails("-s", "movie_reviews+1", "sentiment_classifier", "--vars", _variables(built))
    said = {name.split("_classified")[0]: item for name, item in result.results.items() if "classified_reviews" in name}
    assert said["dbt_triton_min_accuracy"]["failures"] == 19
    assert said["dbt_triton_min_accuracy"]["status"] == "fail"
    assert said["dbt_triton_max_drift"]["status"] == "fail"
    assert said["dbt_triton_max_drift"]["failures"] >= 250
    for passing in ("dbt_triton_max_failed_ratio", "dbt_triton_prediction_freshness"):
        assert said[passing]["status"] == "pass"
    tables = "select table_name from information_schema.tables where table_schema = 'main_dbt_test__audit'"
    ((audit,),) = built.query(tables)
    bins = built.query(f"select bin, contribution, psi from main_dbt_test__audit.{audit} order by bin")
    assert [row[0] for row in bins] == ["NULL", "negative", "other values", "positive"]
    assert sum(row[1] for row in bins) == pytest.approx(bins[0][2])
    history = built.query("select rows_evaluated, accuracy from classifier_metrics order by evaluated_at")
    assert [row[0] for row in history] == [10, 19]
    assert history[1][1] == 0
