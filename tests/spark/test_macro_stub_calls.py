"""What the macros make of texts, names and ML_PREDICT calls for Spark, by Spark itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.jinja_macros import MacroError, Macros

MACROS = Macros(
    "unit_tests/scanner.sql",
    "unit_tests/stub_calls.sql",
    "unit_tests/stub_call.sql",
    "internal/texts.sql",
    warehouse="spark",
    model=SimpleNamespace(name="m"),
)
FIXTURE = "MODEL (select 'glad' as mood), DESCRIPTOR(review)"
TABLE = "(select 1 as id, 'it\\'s' as review union all select 2, null)"
TEXTS = [
    "",
    "it's",
    '"',
    "\\",
    "\\'",
    "\\n",
    "a\nb\r\t",
    "${env:HOME}",
    "${TOKEN}",
    "$",
    "\\$",
    "\\u0041",
    "`",
    "é😀",
    "--",
    "/*",
    "%",
]


def _rows(spark: Any, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in spark.sql(MACROS.stub_calls(sql)).collect()]


def test_every_text(spark: Any) -> None:
    """Whatever a text holds, Spark reads it as it is: quotes, backslashes, and ${…}, which Spark would replace."""
    for text in [*TEXTS, "".join(TEXTS)]:
        assert spark.sql(f"select {MACROS.sql_text(text)} as said").first()[0] == text


def test_every_name(spark: Any) -> None:
    """Whatever a name holds, Spark reads it as it is."""
    for name in ["a", "A b", "a`b", "it's", '"', "select", "a.b", "é"]:
        assert spark.sql(f"select 1 as {MACROS.quoted(name)}").columns == [name]
    assert MACROS.full_name(None, "s", "t`") == "`s`.`t```"


@pytest.mark.parametrize("end", ["", " -- ML_PREDICT(\n", " /* ; */ ", "-- it's\\\n goes on ML_PREDICT("])
@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("'it\\'s ML_PREDICT('", "it's ML_PREDICT("),
        ("'it''s ML_PREDICT('", "it's ML_PREDICT("),
        ('"it\'s ML_PREDICT("', "it's ML_PREDICT("),
        ('"\\"ML_PREDICT("', '"ML_PREDICT('),
        ("r'ML_PREDICT(\\'", "ML_PREDICT(\\"),
        ("/* /* ' */ ' */ '`ML_PREDICT('", "`ML_PREDICT("),
        ("'\\\\'", "\\"),
    ],
)
def test_statements_of_every_form(spark: Any, said: str, text: str, end: str) -> None:
    """Whatever a text looks like, and the end of the statement, the call gives what the fixture says."""
    sql = f"select id, mood, {said} as said from ML_PREDICT(TABLE {TABLE}, {FIXTURE}) order by id{end}"
    assert _rows(spark, sql) == [(1, "glad", text), (2, None, text)]


@pytest.mark.parametrize("wrapped", ["ML_PREDICT({})", "TABLE(ml_predict({}))", "lateral table ( Ml_Predict ({}) )"])
def test_calls_of_every_form(spark: Any, wrapped: str) -> None:
    """Wrapped, named or nested, a call is found as in a build."""
    named = f"ARGS => DESCRIPTOR(`review`), input => table {TABLE}, Model => {FIXTURE.partition(', DESC')[0]}"
    for call in (f"TABLE {TABLE}, {FIXTURE}", named):
        assert len(_rows(spark, "select * from " + wrapped.format(call))) == 2
    nested = f"ML_PREDICT(TABLE {TABLE}, {FIXTURE}), MODEL (select 1 as score), DESCRIPTOR(mood)"
    rows = _rows(spark, "select * from " + wrapped.format(nested) + " order by id")
    assert [row[-1] for row in rows] == [1, None]


@pytest.mark.parametrize(
    ("fixture", "moods"),
    [
        ("select 'x' as mood", ["x", None, None, None]),
        ("select 'a' as text, 'x' as mood", ["x", None, None, None]),
        ("select null as text, 'x' as mood union all select 'a', 'y'", ["y", "x", None, None]),
        ("select null as STARS, 'x' as mood", [None, None, "x", None]),
        ("select null as text, null as stars, 'x' as mood", [None, None, None, "x"]),
        (
            "select * from values ('a', 1.0, 'x'), ('a', null, 'y'), (null, 1, 'z') as v(text, stars, mood)",
            ["x", "z", "y", None],
        ),
        ("select 'x' as mood where false", [None, None, None, None]),
    ],
)
def test_null_in_a_fixture(spark: Any, fixture: str, moods: list[str | None]) -> None:
    """A NULL predicts NULL, but where the fixture has a row for it, as on DuckDB."""
    table = "(select * from values (1, 'a', 1), (2, null, 1), (3, 'a', null), (4, null, null) as v(id, text, stars))"
    call = f"ML_PREDICT(TABLE {table}, MODEL ({fixture}), DESCRIPTOR(text, stars))"
    assert _rows(spark, f"select id, mood from {call} order by id") == list(enumerate(moods, 1))


def test_what_is_never_closed() -> None:
    """A quote that is never closed is one message with its line."""
    for text in ("select 'a", 'select "a\\"', "select `a", "/* /* */"):
        with pytest.raises(MacroError, match="line 1: a quote or comment is opened here and never closed"):
            MACROS.stub_calls(text)
