"""The SQL of metrics: one row from the rows of a call, with what was predicted and what is true.

Every warehouse reads the same words, but for maps. The macro `dbt_triton.evaluate` writes the same text for any
relation; a test compares the two. A task reads the rows once, and a score reads them once more, in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbt_triton.ddl.evaluation import CLASSIFICATION, REGRESSION

#: The largest double; whatever is not between it and its negative is infinite, or not a number.
_LARGEST = "1.7976931348623157e308"
#: The square of what is larger, or a sum of such squares, is no number any more.
_LARGEST_OF_SQUARES = "1e140"
#: What is added or left away near 0, as in scikit-learn.
_EPSILON = "2.220446049250313e-16"
#: Counts of rows, of every task.
COUNTS = ("rows", "rows_evaluated", "rows_without_label", "rows_without_prediction", "rows_failed")
#: The metrics of each task, and what they are called in the map of Confluent's manual.
KEYS = {
    CLASSIFICATION: {"accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "f1": "F1"},
    REGRESSION: {"mae": "MAE", "mse": "MSE", "rmse": "RMSE", "mape": "MAPE", "r2": "R²"},
}
#: Those that have no key there.
MORE = {CLASSIFICATION: ("precision_weighted", "recall_weighted", "f1_weighted"), REGRESSION: ()}
SCORES = ("auc", "log_loss")

_CLASSIFICATION = (
    "select sum(n) as rows, sum(support) as rows_evaluated, sum(n) - sum(support) as rows_without_label, "
    "sum(missing) as rows_without_prediction, sum(failed) as rows_failed, "
    "sum(hits) / cast(nullif(sum(support), 0) as double) as accuracy, "
    "avg(class_precision) as precision, avg(class_recall) as recall, avg(class_f1) as f1, "
    "sum(class_precision * support) / nullif(sum(support), 0) as precision_weighted, "
    "sum(class_recall * support) / nullif(sum(support), 0) as recall_weighted, "
    "sum(class_f1 * support) / nullif(sum(support), 0) as f1_weighted "
    "from (select n, support, missing, failed, hits, "
    # A class that is never predicted, or never true, has a precision, or a recall, of 0.
    "case when class is not null then coalesce(hits / cast(nullif(given, 0) as double), 0) end as class_precision, "
    "case when class is not null then coalesce(hits / cast(nullif(support, 0) as double), 0) end as class_recall, "
    "case when class is not null then 2 * hits / cast(given + support as double) end as class_f1 "
    "from (select class, sum(case when side = 1 then n else 0 end) as n, "
    "sum(case when side = 1 then failed else 0 end) as failed, "
    "sum(case when side = 1 and actual is not null then n else 0 end) as support, "
    "sum(case when side = 1 and actual is not null and predicted is null then n else 0 end) as missing, "
    "sum(case when side = 2 and actual is not null and predicted is not null then n else 0 end) as given, "
    "sum(case when side = 1 and predicted = actual then n else 0 end) as hits "
    # Each pair of a label and a prediction counts for the class that is true, and for the one that was predicted.
    "from (select predicted, actual, failed, n, side, "
    "case when actual is not null then case when side = 1 then actual else predicted end end as class "
    "from (select predicted, actual, sum(failed) as failed, count(*) as n from {rows} group by predicted, actual) "
    "as pairs cross join (select 1 as side union all select 2 as side) as sides) as both_sides "
    "group by class) as classes) as by_class"
)
_REGRESSION = (
    "select count(*) as rows, count(difference) as rows_evaluated, count(*) - count(actual) as rows_without_label, "
    "count(actual) - count(difference) as rows_without_prediction, coalesce(sum(failed), 0) as rows_failed, "
    "avg(abs(difference)) as mae, avg(difference * difference) as mse, sqrt(avg(difference * difference)) as rmse, "
    f"avg(abs(difference) / greatest(abs(actual), {_EPSILON})) as mape, "
    # Of labels that are all the same, as scikit-learn has it.
    "case when count(difference) < 2 then null "
    "when var_pop(case when difference is not null then actual end) = 0 "
    "then case when avg(difference * difference) = 0 then 1 else 0 end "
    "else 1 - avg(difference * difference) / var_pop(case when difference is not null then actual end) end as r2 "
    "from (select actual, failed, predicted - actual as difference "
    f"from (select case when predicted between -{_LARGEST_OF_SQUARES} and {_LARGEST_OF_SQUARES} then predicted end "
    f"as predicted, case when actual between -{_LARGEST_OF_SQUARES} and {_LARGEST_OF_SQUARES} then actual end "
    "as actual, failed "
    "from (select cast(predicted as double) as predicted, cast(actual as double) as actual, failed from {rows}) "
    "as doubles) as numbers) as differences"
)
_SCORES = (
    "select case when min(positives) > 0 and min(negatives) > 0 and max(other) = 0 then "
    "(sum(case when is_positive then place end) - min(positives) * (min(positives) + 1) / 2) "
    "/ (min(positives) * min(negatives)) end as auc, "
    "case when min(positives) > 0 and min(negatives) > 0 and max(other) = 0 and min(score) >= 0 and max(score) <= 1 "
    f"then -avg(ln(least(greatest(case when is_positive then score else 1 - score end, {_EPSILON}), 1 - {_EPSILON}))) "
    "end as log_loss from (select is_positive, other, score, "
    "cast(sum(case when is_positive then 1 else 0 end) over () as double) as positives, "
    "cast(sum(case when is_positive then 0 else 1 end) over () as double) as negatives, "
    # Rows of one score share their places.
    "rank() over (order by score) + (count(*) over (partition by score) - 1) / cast(2 as double) as place "
    "from (select score, {positive} as is_positive, {other} as other "
    "from (select actual, score, min(actual) over () as lowest, max(actual) over () as highest "
    "from (select actual, cast(score as double) as score from {rows}) as scored "
    f"where actual is not null and score between -{_LARGEST} and {_LARGEST}) as bounded) as sides) as places"
)


@dataclass(frozen=True)
class Measured:
    """What is measured, as SQL of the columns of some rows.

    Args:
        task: `classification` or `regression`.
        predicted: the prediction.
        actual: the label.
        failed: is true for a row that failed, whose prediction does not count.
        score: the probability of one class; None where there is none.
        positive: that class as the literal of a text; None for the later one of two.
    """

    task: str
    predicted: str
    actual: str
    failed: str = "false"
    score: str | None = None
    positive: str | None = None


def metrics(measured: Measured, rows: str, text_type: str, mapped: Callable[[Sequence[str]], str]) -> str:
    """Return the one row of metrics as a FROM clause.

    Args:
        measured: what is measured.
        rows: the rows, as a FROM clause.
        text_type: what texts are called.
        mapped: writes a map of the SQL of keys and values, in turn.
    """
    keys = KEYS[measured.task]
    inner = (_CLASSIFICATION if measured.task == CLASSIFICATION else _REGRESSION).format(rows=_read(measured, rows))
    columns = [f"cast('{measured.task}' as {text_type}) as task"]
    columns += [f"cast(coalesce(m.{name}, 0) as bigint) as {name}" for name in COUNTS]
    columns += [f"cast(m.{name} as double) as {name}" for name in (*keys, *MORE[measured.task])]
    beside = ""
    if measured.score is not None:
        columns += [f"cast(s.{name} as double) as {name}" for name in SCORES]
        beside = f" cross join ({_scores(measured, rows, text_type)}) as s"
    values = [text for name, key in keys.items() for text in (f"'{key}'", f"cast(m.{name} as double)")]
    return f"(select {', '.join(columns)}, {mapped(values)} as result from ({inner}) as m{beside})"


def _read(measured: Measured, rows: str) -> str:
    """Return what is measured as columns of known names."""
    failed = measured.failed
    return (
        f"(select case when {failed} then null else {measured.predicted} end as predicted, "
        f"{measured.actual} as actual, case when {failed} then 1 else 0 end as failed "
        f"from {rows} as measured_rows) as measured"
    )


def _scores(measured: Measured, rows: str, text_type: str) -> str:
    read = (
        f"(select {measured.actual} as actual, case when {measured.failed} then null else {measured.score} end "
        f"as score from {rows} as measured_rows) as measured"
    )
    positive, other = "actual = highest", "case when actual = lowest or actual = highest then 0 else 1 end"
    if measured.positive is not None:
        positive, other = f"cast(actual as {text_type}) = {measured.positive}", "0"
    return _SCORES.format(rows=read, positive=positive, other=other)
