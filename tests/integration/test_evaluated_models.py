"""ML_EVALUATE on a warehouse: the metrics are those that scikit-learn makes of what ML_PREDICT predicts."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from support.session import Steps
from support.triton import Triton

REVIEWS = ["good", "great", "lovely", "dull", "fine but dull", "REFUSE", "", None, "good REFUSE", "not good"]
TRUTH = [
    "positive",
    "positive",
    "positive",
    "negative",
    "negative",
    "negative",
    "positive",
    "negative",
    "positive",
    None,
]
PREDICT = "select truth, said from ML_PREDICT(TABLE reviews, MODEL opinion, DESCRIPTOR(review))"
EVALUATE = "ML_EVALUATE(TABLE {table}, MODEL opinion, DESCRIPTOR(truth), DESCRIPTOR(review))"


def _reviews(session: Steps) -> None:
    rows = ", ".join(
        f"({number}, {'null' if review is None else repr(review)}, {'null' if truth is None else repr(truth)})"
        for number, (review, truth) in enumerate(zip(REVIEWS, TRUTH, strict=True))
    )
    session.sql(f"create table reviews as select * from (values {rows}) as t(id, review, truth)")


def test_with_a_server(triton: Triton, serve: Callable[[str], str], session: Steps) -> None:
    """Rows that fail, and rows without a prediction, are wrong; the label that is NULL does not count."""
    _reviews(session)
    options = {"endpoint": triton.url, "model-name": serve("opinions"), "on-error": "null", "default-value": "positive"}
    session.create_model("opinion", "INPUT (review STRING) OUTPUT (said STRING)", options | {"cache": "persistent"})
    columns = "rows, rows_evaluated, rows_without_label, rows_without_prediction, rows_failed, accuracy, f1"
    select = f"select {columns}, result['Accuracy'] from {EVALUATE.format(table='reviews')}"
    (row,) = session.build("metrics", select, ["opinion"])
    predicted = session.build("out", PREDICT + " where ml_error is null and truth is not null", ["opinion"])
    metrics: Any = import_module("sklearn.metrics")
    truth, said = zip(*[(label, given or "none") for label, given in predicted], strict=True)
    truth, said = (*truth, "negative", "positive"), (*said, "none", "none")  # those that were refused
    assert row[:5] == (10, 9, 1, 3, 2)
    assert row[5] == pytest.approx(metrics.accuracy_score(truth, said)) == pytest.approx(row[7])
    expected = metrics.f1_score(truth, said, labels=["negative", "positive"], average="macro", zero_division=0)
    assert row[6] == pytest.approx(expected)

    # A second time nothing is sent; within a CTE, with a condition, and beside another.
    select = (
        "with few as (select * from reviews where id < 4), metrics as (select 'few' as part, accuracy from "
        + EVALUATE.format(table="few")
        + ") select part, accuracy from metrics where accuracy > 0 union all select 'all', accuracy from "
        + EVALUATE.format(table="reviews")
        + " as m where m.rows_failed > 0"
    )
    rows: dict[str, float] = dict(session.build("metrics", select, ["opinion"]))
    assert rows == {"few": 1.0, "all": pytest.approx(row[5])}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_without_one(session: Steps, task: str) -> None:
    """Of a stub, too, and with a score, or with numbers."""
    session.sql(
        "create table reviews as select i as id, concat('review ', i) as review, "
        "case when i % 3 = 0 then 'yes' else 'no' end as truth, cast(i % 7 as double) as stars "
        "from (select a * 10 + b as i from (values (0), (1), (2), (3), (4)) as x(a) cross join "
        "(values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as y(b)) as numbers"
    )
    options = {"provider": "stub", "stub.said": '["yes", "no"]', "stub.p": "[0.125, 0.25, 0.5, 0.75, 1]"}
    session.create_model("opinion", "INPUT (review STRING) OUTPUT (said STRING, p DOUBLE)", options)
    call = "ML_PREDICT(TABLE reviews, MODEL opinion, DESCRIPTOR(review))"
    rows = session.build("out", f"select truth, stars, said, p from {call}", ["opinion"])
    metrics: Any = import_module("sklearn.metrics")
    truth, stars, said, p = zip(*rows, strict=True)
    if task == "classification":
        columns = "accuracy, precision, recall_weighted, auc, log_loss"
        label, config = "truth", "'predicted', 'said', 'score', 'p', 'positive', 'yes'"
        is_yes = [label == "yes" for label in truth]
        expected = [
            metrics.accuracy_score(truth, said),
            metrics.precision_score(truth, said, average="macro"),
            metrics.recall_score(truth, said, average="weighted"),
            metrics.roc_auc_score(is_yes, p),
            metrics.log_loss(is_yes, p),
        ]
    else:
        columns, label, config = "mae, mse, rmse, mape, r2, result['R²']", "stars", "'predicted', 'p'"
        r2 = metrics.r2_score(stars, p)
        expected = [
            metrics.mean_absolute_error(stars, p),
            metrics.mean_squared_error(stars, p),
            metrics.root_mean_squared_error(stars, p),
            metrics.mean_absolute_percentage_error(stars, p),
            *(r2, r2),
        ]
    call = f"ML_EVALUATE(TABLE reviews, MODEL opinion, DESCRIPTOR({label}), DESCRIPTOR(review), MAP[{config}])"
    (found,) = session.build("metrics", f"select task, {columns} from {call}", ["opinion"])
    assert found == (task, *map(pytest.approx, expected))
