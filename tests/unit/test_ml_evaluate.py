"""ML_EVALUATE in a statement: how it is read, what it measures, and what is said where it cannot."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from support.session import Session, StepError

from dbt_triton.ddl import parse_ml_predict
from dbt_triton.ddl.evaluation import Evaluation
from dbt_triton.errors import SqlSyntaxError

REST = "MODEL m, DESCRIPTOR(label), DESCRIPTOR(a, b)"
CALL = f"ML_EVALUATE(TABLE t, {REST})"
#: Of a stub that predicts one of some values, always the same for the same input.
STUB = {"provider": "stub", "stub.said": '["x", "y", "z"]'}
SELECT = "select * from ML_EVALUATE(TABLE reviews, MODEL classifier, DESCRIPTOR(truth), DESCRIPTOR(review){more})"


@pytest.fixture
def session() -> Generator[Session]:
    """Yield a warehouse with reviews, a classifier of texts, a regressor, and one with several outputs."""
    with Session() as steps:
        steps.sql(
            "create table reviews as select range as id, 'review ' || range as review, "
            "['x', 'y', 'z', null][1 + range % 4] as truth, cast(range % 3 as integer) as number, "
            "range / 7 as amount, range % 2 = 0 as liked, [1.0] as list from range(40)"
        )
        schema = "INPUT (review STRING) OUTPUT ({})"
        steps.create_model("classifier", schema.format("said STRING"), STUB)
        steps.create_model("regressor", schema.format("price DOUBLE"), {"provider": "stub"})
        steps.create_model("counter", schema.format("n INT"), {"provider": "stub", "stub.n": "[0, 1, 2]"})
        steps.create_model(
            "scored", schema.format("said STRING, p FLOAT, vector FLOAT[3]"), STUB | {"stub.p": "[0.5, 0.25]"}
        )
        steps.create_model("embedder", schema.format("e STRING"), {"provider": "stub", "task": "embedding"})
        yield steps


def build(session: Session, select: str, name: str = "out") -> list[dict[str, Any]]:
    """Build a table and return its rows by column."""
    rows = session.build(name, select, ["classifier", "regressor", "counter", "scored", "embedder"])
    return [dict(zip(session.columns(name), row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        f"ml_evaluate(TABLE t, {REST}, 'regression')",
        f"ML_EVALUATE(TABLE t, {REST}, 'regression', MAP['timeout', '1s'])",
        f"ML_EVALUATE(TABLE t, {REST}, MAP['timeout', '1s'])",
        "ML_EVALUATE(input => TABLE t, model => MODEL m, label => DESCRIPTOR(label), args => DESCRIPTOR(a, b))",
        """ML_EVALUATE(INPUT => TABLE t, MODEL_INPUT => MODEL m, LABEL => DESCRIPTOR(label),
        FEATURES => DESCRIPTOR(a, b), TASK => 'regression')""",
        """ML_EVALUATE(CONFIG => MAP['timeout', '1s'], FEATURES => DESCRIPTOR(a, b), LABEL => DESCRIPTOR(`label`),
        MODEL => MODEL m, INPUT => TABLE t)""",
        f"TABLE({CALL})",
        f"LATERAL TABLE({CALL})",
    ],
)
def test_every_form_is_read(call: str) -> None:
    """Flink's and FLIP-525's spellings are one call, with the task and the options where they stand."""
    (read,) = parse_ml_predict(f"select * from {call} where accuracy > 0").calls
    task = "regression" if "'regression'" in call else None
    assert read.evaluation == Evaluation("label", task)
    assert (read.relation, read.model, read.descriptor) == (("t",), "m", ("a", "b"))
    assert read.config == ({"timeout": "1s"} if "MAP" in call else {})


def test_what_is_measured_is_no_option() -> None:
    """Which output is compared, and which is a score, is said in MAP beside the options, of ML_EVALUATE only."""
    config = "MAP['predicted', 'said', 'timeout', '1s', 'score', 'p', 'positive', 'x']"
    (read,) = parse_ml_predict(f"select * from ML_EVALUATE(TABLE t, {REST}, {config})").calls
    assert read.evaluation == Evaluation("label", None, "said", "p", "x")
    assert read.config == {"timeout": "1s"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            "ML_EVALUATE(TABLE t, MODEL m, DESCRIPTOR(a))",
            r"ML_EVALUATE needs TABLE, MODEL and DESCRIPTOR twice; missing: DESCRIPTOR\(features…\)",
        ),
        (
            "ML_EVALUATE(TABLE t, MODEL m, DESCRIPTOR(a, b), DESCRIPTOR(c))",
            r"the label is one column, found DESCRIPTOR\(a, b\)",
        ),
        (f"ML_EVALUATE(TABLE t, {REST}, classification)", "expected the task in single quotes"),
        (f"ML_EVALUATE(TABLE t, {REST}, 'regression', MAP['a', 'b'], 1)", "ML_EVALUATE takes at most six arguments"),
        (
            "ML_EVALUATE(`m`, label, a)",
            r"Confluent Cloud's ML_EVALUATE\(model, label, column\) FROM t is written ML_EVALUATE\(TABLE t, MODEL mod",
        ),
        ("ML_EVALUATE(TABLE t, MODEL m, DESCRIPTOR(upper(l)), DESCRIPTOR(c))", "Compute it in the input"),
        (
            "ML_EVALUATE(TABLE t, MODEL m, LABELS => DESCRIPTOR(l))",
            "expected INPUT, MODEL, LABEL, ARGS, TASK or CONFIG before =>",
        ),
        ("ML_EVALUATE(TABLE t x, MODEL m, DESCRIPTOR(l), DESCRIPTOR(c))", r"expected , or \) in ML_EVALUATE.* as x"),
    ],
)
def test_what_is_said_of_mistakes(call: str, words: str) -> None:
    """A call that is not Flink's says what was expected, or how it is written here."""
    with pytest.raises(SqlSyntaxError, match=words):
        parse_ml_predict(f"select * from {call}")


def test_metrics_are_those_of_the_predictions(session: Session) -> None:
    """What is measured is what ML_PREDICT predicts for the same rows, one row, whatever the label."""
    call = "ML_PREDICT(TABLE reviews, MODEL classifier, DESCRIPTOR(review))"
    predicted = f"select said = truth as hit from {call} where truth is not null"
    hits = [row["hit"] for row in build(session, predicted)]
    (row,) = build(session, SELECT.format(more=""))
    assert (row["task"], row["rows"], row["rows_evaluated"], row["rows_without_label"]) == (
        "classification",
        40,
        30,
        10,
    )
    assert row["accuracy"] == pytest.approx(sum(hits) / 30)
    assert 0 < row["accuracy"] < 1
    assert row["result"]["Accuracy"] == row["accuracy"]


def test_within_a_statement(session: Session) -> None:
    """It stands in a CTE, with a WHERE around it, beside other calls, and over a query or the result of a call."""
    (whole,) = build(session, SELECT.format(more=""))
    one = "ML_EVALUATE(TABLE {}, MODEL classifier, DESCRIPTOR(truth), DESCRIPTOR(review))"
    rows = build(
        session,
        f"""with imported as (select * from reviews), few as (select * from imported where id < 20),
        measured as (select 'all' as part, accuracy, rows from {one.format("imported")})
        select * from measured
        union all select 'few', accuracy, rows from {one.format("few")} where rows > 0
        union all select 'none', accuracy, rows from {one.format("(select * from reviews where id < 0)")}
        union all select 'left out', accuracy, rows from {one.format("reviews")} as m where m.accuracy > 2
        union all select 'nested', accuracy, rows from ML_EVALUATE(
            TABLE ML_PREDICT(TABLE reviews, MODEL classifier, DESCRIPTOR(review)),
            MODEL classifier, DESCRIPTOR(truth), DESCRIPTOR(review))
        order by part""",
    )
    assert [row["part"] for row in rows] == ["all", "few", "nested", "none"]
    by_part = {row["part"]: row for row in rows}
    assert by_part["all"]["accuracy"] == by_part["nested"]["accuracy"] == whole["accuracy"]
    assert (by_part["few"]["rows"], by_part["none"]["rows"], by_part["none"]["accuracy"]) == (20, 0, None)


@pytest.mark.parametrize(
    ("model", "label", "more", "task"),
    [
        ("classifier", "truth", "", "classification"),
        ("counter", "number", "", "classification"),
        ("counter", "amount", "", "regression"),
        ("regressor", "amount", "", "regression"),
        ("regressor", "number", "", "regression"),
        ("counter", "number", ", 'REGRESSION'", "regression"),
        ("counter", "number", ", MAP['task', 'regression']", "regression"),
        ("counter", "number", ", 'classification', MAP['task', 'regression']", "classification"),
        ("scored", "truth", ", MAP['predicted', 'SAID']", "classification"),
        ("scored", "amount", ", MAP['predicted', 'p']", "regression"),
    ],
)
def test_which_task(session: Session, model: str, label: str, more: str, task: str) -> None:
    """The task is what the call or the model says, else what the types are: the row says which it was."""
    call = f"ML_EVALUATE(TABLE reviews, MODEL {model}, DESCRIPTOR({label}), DESCRIPTOR(review){more})"
    (row,) = build(session, f"select * from {call}")
    assert row["task"] == task
    assert ("mae" in row) == (task == "regression")


def test_a_task_of_the_model(session: Session) -> None:
    """WITH ('task' = …) says it for every call, as in Confluent's manual, and needs no warning."""
    session.create_model("rater", "INPUT (review STRING) OUTPUT (n INT)", {"provider": "stub", "task": "regression"})
    row = session.build(
        "out",
        "select task from ML_EVALUATE(TABLE reviews, MODEL rater, DESCRIPTOR(number), DESCRIPTOR(review))",
        ["rater"],
    )
    assert row == [("regression",)]


def test_scores(session: Session) -> None:
    """With a column of scores there are AUC and log loss, of the class that is named."""
    more = "'classification', MAP['predicted', 'said', 'score', 'p', 'positive', 'x']"
    (row,) = build(
        session,
        f"select * from ML_EVALUATE(TABLE reviews, MODEL scored, DESCRIPTOR(truth), DESCRIPTOR(review), {more})",
    )
    assert 0 < row["auc"] < 1
    assert row["log_loss"] > 0


def test_a_label_that_is_called_like_the_output(session: Session) -> None:
    """The label may be called like the OUTPUT column, whose name then has a counter."""
    (row,) = build(
        session,
        "select accuracy, rows_evaluated from ML_EVALUATE(TABLE (select review, truth as said from reviews), "
        "MODEL classifier, DESCRIPTOR(said), DESCRIPTOR(review))",
    )
    (known,) = build(session, SELECT.format(more=""))
    assert (row["accuracy"], row["rows_evaluated"]) == (known["accuracy"], 30)


@pytest.mark.parametrize(
    ("model", "label", "more", "words"),
    [
        ("classifier", "thruth", "", "the input has no column thruth; did you mean truth"),
        (
            "scored",
            "truth",
            "",
            r"scored has several OUTPUT columns \(said, p, vector\): write MAP\['predicted', '…'\]",
        ),
        (
            "scored",
            "truth",
            ", MAP['predicted', 'sad']",
            "'predicted' is 'sad', which is no OUTPUT of scored; it has said, p, vector",
        ),
        (
            "scored",
            "truth",
            ", MAP['predicted', 'vector']",
            "OUTPUT vector is an array; ML_EVALUATE measures classification and",
        ),
        ("classifier", "list", "", "the label list is an array"),
        ("classifier", "number", "", "the label number is a number, and OUTPUT said is a text; cast the label"),
        ("classifier", "liked", "", "the label liked is a boolean, and OUTPUT said is a text"),
        ("classifier", "truth", ", 'regression'", "the label truth is a text, and a regression needs numbers"),
        ("classifier", "truth", ", 'sentiment'", "the task is 'sentiment'; write 'classification' or 'regression'"),
        (
            "classifier",
            "truth",
            ", MAP['task', 'sentiment']",
            "task: write 'classification', 'clustering', 'embedding'",
        ),
        ("embedder", "truth", "", "the task is embedding, which has no metrics here"),
        (
            "scored",
            "truth",
            ", MAP['predicted', 'said', 'score', 'said']",
            "'score' names OUTPUT said, which is STRING, and no number",
        ),
        (
            "scored",
            "truth",
            ", MAP['predicted', 'said', 'positive', 'x']",
            "'positive' is the class of 'score', which is missing",
        ),
        ("scored", "amount", ", MAP['predicted', 'p', 'score', 'p']", "'score' is of a classification"),
    ],
)
def test_what_cannot_be_measured(session: Session, model: str, label: str, more: str, words: str) -> None:
    """What cannot be measured is told before a row is sent, with what to write."""
    call = f"ML_EVALUATE(TABLE reviews, MODEL {model}, DESCRIPTOR({label}), DESCRIPTOR(review){more})"
    with pytest.raises(StepError, match=words):
        build(session, f"select * from {call}")


def test_ml_predict_has_no_such_option(session: Session) -> None:
    """In a call of ML_PREDICT, what only ML_EVALUATE reads is an unknown option."""
    with pytest.raises(StepError, match="unknown option"):
        build(
            session,
            "select * from ML_PREDICT(TABLE reviews, MODEL classifier, DESCRIPTOR(review), MAP['predicted', 'said'])",
        )
