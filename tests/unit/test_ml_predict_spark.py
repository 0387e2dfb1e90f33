"""ML_PREDICT within Spark's SQL, whose quotes and escapes are others than DuckDB's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.ddl import SPARK, Statement, parse_ml_predict
from dbt_triton.errors import SqlSyntaxError

CALL = "ML_PREDICT(TABLE `my reviews`, MODEL `s`.`m`, DESCRIPTOR(`a``b`, c), MAP['timeout', '5s'])"
_ANY = st.text(st.sampled_from(list("'\"`\\rR$-/* \n(),;a")) | st.characters(exclude_categories=["Cs"]), max_size=12)


def _parse(text: str) -> Statement:
    return parse_ml_predict(text, SPARK)


def _escaped(text: str, mark: str) -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


_STRINGS = st.builds(_escaped, _ANY, st.sampled_from("'\""))
_DOUBLED = st.builds(
    lambda text, mark: mark + text.replace("\\", "").replace(mark, 2 * mark) + mark, _ANY, st.sampled_from("'\"")
)
_RAW = st.builds(
    lambda text, mark, r: r + mark + text.replace(mark, "") + mark, _ANY, st.sampled_from("'\""), st.sampled_from("rR")
)
_NAMES = st.builds(lambda text: "`" + text.replace("`", "``") + "`", _ANY.filter(bool))
_COMMENTS = st.builds(lambda text: "--" + text.replace("\n", "") + "\n", _ANY) | st.builds(
    lambda text: "/*" + text.replace("*", "").replace("/", "") + "*/", _ANY
)
_QUOTED = _STRINGS | _DOUBLED | _RAW | _NAMES | _COMMENTS


def test_call_is_read() -> None:
    """A call in Spark's SQL is read as Flink's, with names in backticks, and is replaced alone."""
    statement = _parse(f"select 'it\\'s', \"ML_PREDICT(\" from {CALL} as p;")
    (call,) = statement.calls
    assert call.relation == ("my reviews",)
    assert call.model == "`s`.`m`"
    assert call.descriptor == ("a`b", "c")
    assert call.config == {"timeout": "5s"}
    assert statement.operand_sql(call, {}) == "`my reviews`"
    assert statement.input_query(call, {}) == "select * from `my reviews`"
    assert statement.render({call.span: "x"}) == "select 'it\\'s', \"ML_PREDICT(\" from x as p"


def test_names_keep_their_backticks() -> None:
    """An operand stays as it was written: in double quotes it would be a text."""
    query = "(select `a``b`, \"a text\" from `t` where x = 'it\\'s `quoted`')"
    statement = _parse(f"select * from ML_PREDICT(TABLE {query}, MODEL m, DESCRIPTOR(a))")
    assert statement.operand_sql(statement.calls[0], {}) == query


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'it''s'", "it's"),
        ("'it\\'s'", "it's"),
        ("'a\\\\b'", "a\\b"),
        ('"it\'s"', "it's"),
        ("'a\"b'", 'a"b'),
        ("'a\\nb'", "a\nb"),
    ],
)
def test_options_are_texts_of_spark(written: str, value: str) -> None:
    """The value of an option is what Spark 4 reads in such a text."""
    statement = _parse(f"select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a), MAP['custom-headers', {written}])")
    assert statement.calls[0].config == {"custom-headers": value}


def test_column_in_double_quotes_is_refused_with_advice() -> None:
    """A text is no column: the error says to leave out the quotes; and to name a column, backticks are advised."""
    with pytest.raises(SqlSyntaxError, match="without these quotes"):
        _parse('select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR("a"))')


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(_QUOTED, max_size=5), st.lists(_QUOTED, max_size=5))
def test_only_the_call_is_replaced(before: list[str], after: list[str]) -> None:
    """Whatever stands in quotes and comments around a call, the call is found, and nothing else is changed."""
    start, end = (" , ".join(["1", *parts, "2"]) for parts in (before, after))
    text = f"select {start} from {CALL} where ({end})"
    statement = _parse(text)
    assert len(statement.calls) == 1
    assert statement.render({statement.calls[0].span: "x"}) == text.replace(CALL, "x") or CALL in start + end
    assert statement.render({}) == text


@settings(max_examples=300, deadline=None, database=None)
@given(_ANY, _ANY, st.sampled_from(["'", '"', "`", "r'", 'R"', "--", "/*"]))
def test_call_in_a_text_is_none(before: str, after: str, kind: str) -> None:
    """What looks like a call within a text, a name or a comment is none."""
    inside = f"{before} from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a)) {after}"
    mark = kind[-1]
    quoted = {
        "'": lambda: _escaped(inside, mark),
        '"': lambda: _escaped(inside, mark),
        "`": lambda: mark + inside.replace(mark, 2 * mark) + mark,
        "r'": lambda: kind + inside.replace(mark, "") + mark,
        'R"': lambda: kind + inside.replace(mark, "") + mark,
        "--": lambda: "--" + inside.replace("\n", " ").replace("\r", " ") + "\n",
        "/*": lambda: "/*" + inside.replace("*", "").replace("/", "") + "*/",
    }[kind]()
    assert _parse(f"select 1 as x, {quoted} , 2").calls == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("select 1,\n'it\\'s", 2),
        ('select "a\\"', 1),
        ("select r'a\\' , 'b", 1),
        ("select `a", 1),
        ("select '$$'\n, 'x", 2),
        ("select 1 /* 'a' ", 1),
        ("select 'it''s', '\\\\', \n 'open", 2),
    ],
)
def test_quote_that_is_open_is_said_with_its_line(text: str, line: int) -> None:
    """An error names the line where a quote or a comment opens that is never closed."""
    with pytest.raises(SqlSyntaxError, match="never closed") as error:
        _parse(text)
    assert error.value.line == line
