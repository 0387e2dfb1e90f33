"""What the macros make of ML_EVALUATE in a unit test, where the fixture of the inference model is what it predicts."""

from __future__ import annotations

from types import SimpleNamespace

import duckdb
import pytest
from support.jinja_macros import MacroError, Macros

MACROS = Macros(
    "unit_tests/scanner.sql",
    "unit_tests/stub_calls.sql",
    "unit_tests/stub_call.sql",
    "unit_tests/stub_evaluation.sql",
    "internal/texts.sql",
    "internal/evaluation.sql",
    "evaluate.sql",
    "ml_evaluate.sql",
    "ml_predict.sql",
    model=SimpleNamespace(name="m", resource_type="unit_test", config=SimpleNamespace(materialized="ml_predict")),
    flags=SimpleNamespace(WHICH="test"),
)
SAID = "'classification', MAP['predicted', 'mood']"


def _rows(sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute(
            "create table t as from (values (1, 'a', 'glad'), (2, 'b', 'glad'), (3, null, 'sad')) v(id, review, truth)"
        )
        connection.execute("create table fixture as from (values ('a', 'glad'), ('b', 'sad')) v(review, mood)")
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    "call",
    [
        f"ML_EVALUATE(TABLE t, MODEL fixture, DESCRIPTOR(truth), DESCRIPTOR(review), {SAID})",
        """ml_evaluate(table `t`, model fixture, descriptor(`truth`), descriptor(review),
        MAP['task', 'classification', 'predicted', 'mood'])""",
        """ML_EVALUATE(FEATURES => DESCRIPTOR(review), LABEL => DESCRIPTOR(truth), TASK => 'classification',
        CONFIG => MAP['predicted', 'mood', 'timeout', '1s'], INPUT => TABLE t, MODEL_INPUT => MODEL fixture)""",
        f"LATERAL TABLE(ML_EVALUATE((select * from t), MODEL fixture, DESCRIPTOR(truth), DESCRIPTOR(review), {SAID}))",
    ],
)
def test_fixture_is_what_is_measured(call: str) -> None:
    """The metrics are those of the fixture's predictions: of two that it knows one is right, and NULL predicts none."""
    sql = f"with x as (select * from {call}) select rows, rows_without_prediction, accuracy from x where rows > 0;"
    assert _rows(MACROS.stub_calls(sql)) == [(3, 1, pytest.approx(1 / 3))]


def test_macro() -> None:
    """The macro writes the same call, and stubs it by itself."""
    stub = MACROS.ml_evaluate("t", "fixture", "truth", "review", "classification", {"predicted": "mood"})
    assert _rows(f"select accuracy from {stub}") == [(pytest.approx(1 / 3),)]


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (
            "",
            r"task and the OUTPUT column into the call: ML_EVALUATE\(…, 'classification', MAP\['predicted', '…'\]\)",
        ),
        (", 'regression'", r"'regression', MAP\['predicted', '…'\]"),
        (", MAP['predicted', 'mood']", r"'classification', MAP\['predicted', 'mood'\]"),
    ],
)
def test_what_a_unit_test_has_to_be_told(rest: str, words: str) -> None:
    """A unit test has neither types nor the OUTPUT of the model: what is missing is told, as it is written."""
    with pytest.raises(MacroError, match=words):
        MACROS.stub_calls(
            f"select * from ML_EVALUATE(TABLE t, MODEL fixture, DESCRIPTOR(truth), DESCRIPTOR(review){rest})"
        )


def test_other_calls_stay_as_they_were() -> None:
    """ML_PREDICT beside it is its input with the fixture, as ever."""
    one = f"ML_EVALUATE(TABLE t, MODEL fixture, DESCRIPTOR(truth), DESCRIPTOR(review), {SAID})"
    sql = f"select id, mood, accuracy from ML_PREDICT(TABLE t, MODEL fixture, DESCRIPTOR(review)), {one} order by id"
    assert [row[:2] for row in _rows(MACROS.stub_calls(sql))] == [(1, "glad"), (2, "sad"), (3, None)]
