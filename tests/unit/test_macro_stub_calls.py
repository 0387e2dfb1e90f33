"""What the macros make of ML_PREDICT in a unit test, and what they refuse as a build does."""

from __future__ import annotations

import time
from types import SimpleNamespace

import duckdb
import pytest
from support.jinja_macros import MacroError, Macros

MACROS = Macros(
    "unit_tests/scanner.sql",
    "unit_tests/stub_calls.sql",
    "unit_tests/stub_call.sql",
    "internal/texts.sql",
    model=SimpleNamespace(name="m"),
)
REST = "MODEL fixture, DESCRIPTOR(review)"


def _rows(sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("create table t as select 1 as id, 'it''s' as review union all select 2, null")
        connection.execute("create table fixture as select 'glad' as mood")
        return connection.execute(MACROS.stub_calls(sql)).fetchall()


@pytest.mark.parametrize(
    "table", ["TABLE t", "table `t`", "(select * from `t`)", "TABLE (from t)", 'TABLE memory."main".t']
)
@pytest.mark.parametrize("end", ["", ";", " ; ;\n", ";-- ML_PREDICT(\n", " ;/* ; */ "])
@pytest.mark.parametrize(
    "said",
    ["E'it\\'s ML_PREDICT('", "$q$it's ML_PREDICT($q$", "'it''s ML_PREDICT('", "/* /* ' */ ' */ 'it''s ML_PREDICT('"],
)
def test_statements_of_every_form(said: str, table: str, end: str) -> None:
    """Whatever a text, a table and the end of the statement look like, the call gives what the fixture says."""
    sql = f"select id, mood, {said} as said from ML_PREDICT({table}, {REST}) order by id{end}"
    assert _rows(sql) == [(1, "glad", "it's ML_PREDICT("), (2, None, "it's ML_PREDICT(")]


@pytest.mark.parametrize(
    ("fixture", "moods"),
    [
        ("select 'x' as mood", ["x", None, None, None]),
        ("select 'a' as text, 'x' as mood", ["x", None, None, None]),
        # What the fixture says of NULL is predicted for NULL, and for nothing else.
        ("select null as text, 'x' as mood union all select 'a', 'y'", ["y", "x", None, None]),
        ("select null as STARS, 'x' as mood", [None, None, "x", None]),
        ("select null as text, null as stars, 'x' as mood", [None, None, None, "x"]),
        (
            "from (values ('a', 1.0, 'x'), ('a', null, 'y'), (null, 1, 'z')) as v(text, stars, mood)",
            ["x", "z", "y", None],
        ),
    ],
)
def test_null_in_a_fixture(fixture: str, moods: list[str | None]) -> None:
    """A NULL predicts NULL, but where the fixture has a row for it: an optional input, or one that is sent as NaN."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table t as from (values (1, 'a', 1), (2, null, 1), (3, 'a', null), (4, null, null)) "
            "as v(id, text, stars)"
        )
        call = f"ML_PREDICT(TABLE t, MODEL ({fixture}), DESCRIPTOR(text, stars))"
        rows = connection.execute(MACROS.stub_calls(f"select id, mood from {call} order by id")).fetchall()
    assert rows == list(enumerate(moods, 1))


@pytest.mark.parametrize("wrapped", ["ML_PREDICT({})", "TABLE(ml_predict({}))", "lateral table ( Ml_Predict ({}) )"])
def test_calls_of_every_form(wrapped: str) -> None:
    """Wrapped, named or nested, a call is found as in a build."""
    for call in (f"TABLE t, {REST}", "ARGS => DESCRIPTOR(`review`), input => table t, Model => MODEL fixture"):
        assert len(_rows("from " + wrapped.format(call))) == 2
    nested = f"ML_PREDICT(TABLE t, {REST}), MODEL (select 1 as score), DESCRIPTOR(mood)"
    assert [row[-1] for row in _rows("from " + wrapped.format(nested) + " order by id")] == [1, None]


@pytest.mark.parametrize(
    "column", ["upper(review)", "t.review", "review || 'x'", "*", "'review'", "E'review'", "1", "$$r$$"]
)
def test_expressions_in_descriptor_are_refused(column: str) -> None:
    """What a build refuses within DESCRIPTOR, a unit test refuses as well."""
    with pytest.raises(MacroError, match="expected a column of the input within DESCRIPTOR, found "):
        MACROS.stub_calls(f"from ML_PREDICT(TABLE t, MODEL fixture, DESCRIPTOR({column}))")


@pytest.mark.parametrize("rest", ["where id > 1", "as u", "u", "limit 5", "order by id"])
@pytest.mark.parametrize("table", ["t", '"a"."t"', "(select 1)", "range(3)", "'f.csv'"])
def test_clauses_after_the_table_are_refused(table: str, rest: str) -> None:
    """What a build refuses after TABLE, a unit test refuses as well."""
    with pytest.raises(MacroError, match=r"after its TABLE, found .*TABLE \(select \* from "):
        MACROS.stub_calls(f"from ML_PREDICT(TABLE {table} {rest}, {REST})")
    assert MACROS.stub_calls(f"from ML_PREDICT(TABLE {table}, {REST})")


@pytest.mark.parametrize("count", [21, 149, 500])
def test_calls_within_one_another(count: int) -> None:
    """Twenty calls within one another are read; more are refused in words, however many there are."""
    twenty = _rows(f"select id from {'ML_PREDICT(TABLE ' * 2}t{f', {REST})' * 2}")
    assert twenty == [(1,), (2,)]
    assert (
        MACROS.stub_calls(f"select * from {'ML_PREDICT(TABLE ' * 20}t{f', {REST})' * 20}").count("input_rows.*") == 20
    )
    with pytest.raises(MacroError, match="more than 20 calls within one another"):
        MACROS.stub_calls(f"select * from {'ML_PREDICT(TABLE ' * count}t{f', {REST})' * count}")


def test_very_many_calls() -> None:
    """A thousand calls side by side are read in seconds."""
    started = time.perf_counter()
    text = " union all ".join([f"select * from ML_PREDICT(TABLE t, {REST})"] * 1_000)
    assert MACROS.stub_calls(text).count("input_rows.*") == 1_000
    assert time.perf_counter() - started < 10
