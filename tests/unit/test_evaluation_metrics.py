"""The metrics of ML_EVALUATE and of the macro `evaluate` agree with scikit-learn, and say what they leave out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import duckdb
import numpy as np
import pytest
from support.jinja_macros import MacroError, Macros

from dbt_triton.warehouses.duckdb.dialect import mapped
from dbt_triton.warehouses.evaluation import COUNTS, KEYS, Measured, metrics

sklearn_metrics = import_module("sklearn.metrics")

MACROS = Macros("evaluate.sql", "internal/texts.sql", "internal/evaluation.sql")
Row = dict[str, Any]


def measured(rows: Sequence[tuple[object, ...]], types: str, **said: Any) -> Row:
    """Return the metrics of rows of a prediction, a label and what else there is, by column."""
    names = [column.split()[0] for column in types.split(", ")]
    with duckdb.connect() as connection:
        connection.execute(f"create table t ({types})")
        if rows:
            connection.executemany(f"insert into t values ({', '.join('?' for _ in names)})", rows)
        what = Measured(**({"task": "classification", "predicted": "p", "actual": "a"} | said))
        answer = connection.execute(f"select * from {metrics(what, 't', 'varchar', mapped)}")
        columns = [item[0] for item in answer.description]
        (values,) = answer.fetchall()
    return dict(zip(columns, values, strict=True))


def close(found: float | None, expected: float) -> bool:
    """Tell whether a metric is what scikit-learn says."""
    return found is not None and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("varchar", ["a", "b"]),
        ("varchar", ["a", "b", "c", "it's", ""]),
        ("boolean", [True, False]),
        ("integer", [3, 1, 2]),
        ("double", [0.5, 1.5]),
        ("varchar", ["only"]),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_classification_as_scikit_learn_has_it(kind: str, classes: list[Any], seed: int) -> None:
    """Whatever the classes are, and how many, the metrics are scikit-learn's, with a precision of 0 where it warns."""
    random = np.random.default_rng(seed)
    # The last class is never predicted, or never true, by turns.
    labels = [classes[i] for i in random.integers(0, max(1, len(classes) - seed % 2), 200)]
    given = [classes[i] for i in random.integers(0, max(1, len(classes) - (seed + 1) % 2), 200)]
    found = measured(list(zip(given, labels, strict=True)), f"p {kind}, a {kind}")
    place = {value: number for number, value in enumerate(classes)}
    truth, said = [place[value] for value in labels], [place[value] for value in given]
    for ending, average in (("", "macro"), ("_weighted", "weighted")):
        expected = sklearn_metrics.precision_recall_fscore_support(truth, said, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            assert close(found[name + ending], value), (name + ending, found, value)
    assert close(found["accuracy"], sklearn_metrics.accuracy_score(truth, said))
    assert [found[name] for name in COUNTS] == [200, 200, 0, 0, 0]
    assert found["result"] == {key: found[name] for name, key in KEYS["classification"].items()}


@pytest.mark.parametrize("seed", range(3))
def test_regression_as_scikit_learn_has_it(seed: int) -> None:
    """Errors and R² are scikit-learn's, also of labels that are 0, negative, or far from 0."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([random.normal(10.0**seed, 3, 200), [0.0, -1.5]])
    given = labels + random.normal(0, 1, 202)
    found = measured(
        [(float(p), float(a)) for p, a in zip(given, labels, strict=True)], "p double, a double", task="regression"
    )
    assert close(found["mae"], sklearn_metrics.mean_absolute_error(labels, given))
    assert close(found["mse"], sklearn_metrics.mean_squared_error(labels, given))
    assert close(found["rmse"], sklearn_metrics.root_mean_squared_error(labels, given))
    assert close(found["mape"], sklearn_metrics.mean_absolute_percentage_error(labels, given))
    assert close(found["r2"], sklearn_metrics.r2_score(labels, given))
    assert found["result"] == {key: found[name] for name, key in KEYS["regression"].items()}


@pytest.mark.parametrize(
    ("given", "labels"), [([1.0, 2.0], [3.0, 3.0]), ([3.0, 3.0], [3.0, 3.0]), ([3, 4, 5], [3, 4, 6])]
)
def test_r2_at_its_edges(given: list[float], labels: list[float]) -> None:
    """Labels that are all the same have an R² of 0, or of 1 where each was met, as scikit-learn has it."""
    found = measured(list(zip(given, labels, strict=True)), "p double, a double", task="regression")
    assert close(found["r2"], sklearn_metrics.r2_score(labels, given))
    single = measured([(1.0, 2.0)], "p double, a double", task="regression")
    assert (single["mae"], single["r2"]) == (1, None)


@pytest.mark.parametrize("huge", [1e141, 1e155, 1e300, -1.7e308, math.inf, math.nan])
def test_numbers_whose_squares_are_none(huge: float) -> None:
    """A number that no sum of squares can hold is as NULL, and the metrics of all other rows stay what they are."""
    rows = [(1.0, 2.0), (3.0, 3.5), (4.0, 4.0)]
    plain = measured(rows, "p double, a double", task="regression")
    found = measured([*rows, (huge, 1.0), (1.0, huge), (huge, -huge)], "p double, a double", task="regression")
    names = ("mae", "mse", "rmse", "mape", "r2")
    assert [found[name] for name in names] == [plain[name] for name in names]
    assert (found["rows"], found["rows_evaluated"], found["rows_without_prediction"]) == (6, 3, 1)


@pytest.mark.parametrize("largest", [1e100, 9e139])
def test_large_numbers(largest: float) -> None:
    """Below that, numbers are as scikit-learn has them."""
    given, labels = [largest, 2.0, -largest], [-largest, 2.5, largest]
    found = measured(list(zip(given, labels, strict=True)), "p double, a double", task="regression")
    assert close(found["mse"], sklearn_metrics.mean_squared_error(labels, given))
    assert close(found["rmse"], sklearn_metrics.root_mean_squared_error(labels, given))
    assert close(found["r2"], sklearn_metrics.r2_score(labels, given))


@pytest.mark.parametrize("classes", [["no", "yes"], [False, True], [0, 1]])
@pytest.mark.parametrize("positive", [None, "first", "last"])
def test_scores_as_scikit_learn_has_them(classes: list[Any], positive: str | None) -> None:
    """AUC and log loss are scikit-learn's, with scores that many rows share, and for either class."""
    random = np.random.default_rng(7)
    truth = random.integers(0, 2, 300)
    scores = np.round(np.clip(0.3 * truth + random.random(300) * 0.7, 0, 1), 1)
    rows = [(classes[1], classes[int(label)], float(score)) for label, score in zip(truth, scores, strict=True)]
    kind = {str: "varchar", bool: "boolean", int: "integer"}[type(classes[0])]
    place = 0 if positive == "first" else 1
    word = None if positive is None else f"'{str(classes[place]).lower()}'"
    found = measured(rows, f"p {kind}, a {kind}, s double", score="s", positive=word)
    is_positive = truth == place
    assert close(found["auc"], sklearn_metrics.roc_auc_score(is_positive, scores))
    assert close(found["log_loss"], sklearn_metrics.log_loss(is_positive, scores))


@pytest.mark.parametrize(
    "rows",
    [
        [("x", "x", 0.5)],
        [("x", "x", 0.5), ("x", "y", 0.5), ("x", "z", 0.5)],
        [("x", "x", None), ("x", "y", 0.2)],
        [("x", None, 0.1), ("x", "y", 0.2)],
        [],
    ],
)
def test_scores_of_other_than_two_classes(rows: list[tuple[object, ...]]) -> None:
    """Without two classes that have scores there is no AUC: NULL, and no error."""
    found = measured(rows, "p varchar, a varchar, s double", score="s")
    assert (found["auc"], found["log_loss"]) == (None, None)


def test_scores_that_are_no_probabilities() -> None:
    """AUC needs an order only; the log loss of something that is no probability is NULL."""
    found = measured([("x", "x", 3.0), ("x", "y", 7.0)], "p varchar, a varchar, s double", score="s")
    assert (found["auc"], found["log_loss"]) == (1.0, None)


def test_what_null_is() -> None:
    """A label that is NULL is left out, a prediction that is NULL is wrong, and one of a failed row is none."""
    rows = [
        ("a", "a", None),
        (None, "a", None),
        ("a", None, None),
        ("b", "b", "timed out"),
        (None, None, None),
        ("b", "a", None),
    ]
    found = measured(rows, "p varchar, a varchar, e varchar", failed="e is not null")
    assert [found[name] for name in COUNTS] == [6, 4, 2, 2, 1]
    assert found["accuracy"] == 0.25  # one of four
    truth, said = ["a", "a", "b", "a"], ["a", "none", "none", "b"]
    expected = sklearn_metrics.precision_recall_fscore_support(
        truth, said, labels=["a", "b"], average="macro", zero_division=0
    )
    assert all(close(found[name], value) for name, value in zip(("precision", "recall", "f1"), expected, strict=False))


def test_numbers_that_are_none() -> None:
    """NaN and infinity are no numbers: such a label, or prediction, counts as missing."""
    rows = [(1.0, 2.0), (math.nan, 2.0), (1.0, math.nan), (math.inf, 1.0), (2.0, -math.inf), (3.0, 3.0)]
    found = measured(rows, "p double, a double", task="regression")
    assert [found[name] for name in COUNTS] == [6, 2, 2, 2, 0]
    assert (found["mae"], found["mse"]) == (0.5, 0.5)


@pytest.mark.parametrize("task", KEYS)
@pytest.mark.parametrize("rows", [[], [(None, None)], [(1, None)]])
def test_nothing_to_measure(task: str, rows: list[tuple[object, ...]]) -> None:
    """Without a label there is one row all the same, with counts, and NULL in place of metrics."""
    found = measured(rows, "p integer, a integer", task=task)
    assert (found["rows"], found["rows_evaluated"]) == (len(rows), 0)
    assert {found[name] for name in KEYS[task]} == {None}


@pytest.mark.parametrize("warehouse", ["duckdb", "spark"])
@pytest.mark.parametrize(
    ("task", "score", "positive"),
    [
        ("regression", None, None),
        ("classification", None, None),
        ("classification", "sc", None),
        ("classification", "sc", "yes"),
    ],
)
def test_the_macro_writes_the_same(task: str, warehouse: str, score: str | None, positive: str | None) -> None:
    """The macro for a built table and ML_EVALUATE are one text of SQL, so that no two answers are possible."""
    macros = Macros("evaluate.sql", "internal/texts.sql", "internal/evaluation.sql", warehouse=warehouse)
    by_macro = macros.evaluate("shop.t", "p", "a", task=task, error="ml_error", score=score, positive=positive)
    quote = macros.quoted
    what = Measured(
        task,
        quote("p"),
        quote("a"),
        f"{quote('ml_error')} is not null",
        quote(score) if score else None,
        f"'{positive}'" if positive else None,
    )
    write_map = mapped if warehouse == "duckdb" else lambda values: f"map({', '.join(values)})"
    by_statement = metrics(what, "shop.t", "varchar" if warehouse == "duckdb" else "string", write_map)
    assert by_macro.split() == by_statement.split()


def test_a_macro_that_is_told_too_little() -> None:
    """A macro sees no types, so it is told the task; a wrong word is an error that says which there are."""
    with pytest.raises(MacroError, match="task of evaluate: write 'classification' or 'regression', not 'guess'"):
        MACROS.evaluate("t", "p", "a", task="guess")
    with pytest.raises(MacroError, match="positive of evaluate is the class of a score"):
        MACROS.evaluate("t", "p", "a", task="classification", positive="x")
    with pytest.raises(MacroError, match="a regression has no score"):
        MACROS.evaluate("t", "p", "a", task="regression", score="x")


def test_odd_names_in_the_macro() -> None:
    """Names with spaces, quotes and words of SQL are columns as any others; `where` chooses rows."""
    with duckdb.connect() as connection:
        connection.execute(
            """create table "my table" as from (values ('a', 'a', 1), ('b', 'a', 2), ('a', 'b', 3))
            v("select", "it""s", n)"""
        )
        sql = MACROS.evaluate('"my table"', "select", 'it"s', task="classification", where="n < 3 -- the first")
        assert connection.execute(f"select rows, accuracy from {sql}").fetchall() == [(2, 0.5)]
