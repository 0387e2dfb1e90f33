"""Statements that are broken, hostile or very deep: an answer in time, and never a traceback."""

import contextlib
import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.session import Session

from dbt_triton.ddl import parse_create_model, parse_ml_predict
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError, SqlSyntaxError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.options import parse_options
from dbt_triton.tensors import parse_sql_type

#: A syntax error comes within a second; a loaded machine gets more.
SECONDS = 6
LONG = 100_000
COLUMNS = "INPUT (a STRING) OUTPUT (b STRING)"
MODEL = f"CREATE MODEL m {COLUMNS} WITH ('provider' = 'triton', 'endpoint' = 'http://h', 'model-name' = 'm'%s)"
CALL = "select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c)%s)"
REQUIRED: dict[str, Any] = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}


def in_time(work: Callable[[], object]) -> None:
    """Do the work within the seconds that it may take; a refusal is an answer, too."""
    started = time.perf_counter()
    said = ""
    try:
        work()
    except (SqlSyntaxError, ConfigurationError) as error:
        said = str(error)
    assert time.perf_counter() - started < SECONDS
    assert len(said) < 20_000


def create(text: str) -> InferenceModel:
    """Read a CREATE MODEL statement and what its options and types are."""
    return InferenceModel.from_definition(parse_create_model(text))


@pytest.mark.parametrize("parse", [parse_create_model, parse_ml_predict])
@pytest.mark.parametrize("quote", ["'", '"', "`", "/*", "$$", "$tag$", "e'", "/* /* */"])
def test_open_quotes_take_linear_time(parse: Callable[[str], object], quote: str) -> None:
    """A quote that is never closed is a syntax error with its line, at once, however many lines stand around it."""
    before = "-- it's fine\nselect 'a''b', \"c\"\"d\", /* e */ 1\n" * 2_000
    text = f"{before}select {quote} x\n" + "y z\n" * 5_000
    started = time.perf_counter()
    with pytest.raises(SqlSyntaxError, match="opened here and never closed") as caught:
        parse(text)
    assert caught.value.line == 4_001
    assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("depth", [1_000, LONG // 2])
@pytest.mark.parametrize(
    "nested",
    [
        "select {0}1{1}",
        "select * from {0}select 1{1}",
        "select {0}1",
        "select * from ML_PREDICT(TABLE {0}select 1{1}, MODEL m, DESCRIPTOR(c))",
        "select * from ML_PREDICT(TABLE t, MODEL {0}select * from m{1}, DESCRIPTOR(c))",
        "select * from ML_PREDICT(TABLE f{0}1{1}, MODEL m, DESCRIPTOR(c))",
        "with a{0}b{1} as (select 1) select 1",
    ],
)
def test_deep_parentheses(nested: str, depth: int) -> None:
    """Any number of parentheses within one another is read, or is a syntax error; never a RecursionError."""
    in_time(lambda: parse_ml_predict(nested.format("(" * depth, ")" * depth)))


@pytest.mark.parametrize("depth", [1_000, 5_000])
@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        ("ML_PREDICT(TABLE ", "t", ", MODEL m, DESCRIPTOR(c))"),
        ("(select * from ML_PREDICT(TABLE ", "t", ", MODEL m, DESCRIPTOR(c)))"),
        ("ML_PREDICT(TABLE (select * from ", "t", "), MODEL m, DESCRIPTOR(c))"),
        ("(with a as ", "(select 1)", " select 1)"),
        ("(with a as (select 1) select * from ", "t", ")"),
        ("/* ", "t", " */"),
    ],
)
def test_deep_calls(opening: str, inner: str, closing: str, depth: int) -> None:
    """So it is with calls, WITH clauses and comments within one another."""
    in_time(lambda: parse_ml_predict(f"select * from {opening * depth}{inner}{closing * depth}"))


def test_a_thousand_parentheses_are_too_many() -> None:
    """What DuckDB would not take either is a syntax error with its line and what to do."""
    with pytest.raises(
        SqlSyntaxError, match=r"^line 2: the statement is nested too deeply here; put a part of it into"
    ):
        parse_ml_predict("select\n" + "(" * 1_000 + "1" + ")" * 1_000)


@pytest.mark.parametrize(
    "opening", ["(", "(select * from (", "f(", "case when (", "(with a as (select 1) select * from ("]
)
def test_two_hundred_levels_work(opening: str) -> None:
    """A statement of 200 levels, which DuckDB takes, keeps its call and its text."""
    levels = 200 // opening.count("(")
    closing = ")" * opening.count("(") if "with" not in opening else "))"
    if "with" in opening:
        levels = 100
    text = f"select {opening * levels}select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c)){closing * levels}"
    statement = parse_ml_predict(text)
    assert statement.text == text
    assert [call.relation for call in statement.calls] == [("t",)]


@pytest.mark.parametrize("depth", [1_000, 20_000])
@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        ("ARRAY<", "INT", ">"),
        ("", "INT", "[]"),
        ("", "INT", "[3]"),
        ("", "INT", " ARRAY"),
        ("DECIMAL(", "1", ")"),
        ("ROW<a ", "INT", ">"),
        ("", "INT", " NOT NULL"),
        ("(", "INT", ")"),
        ("ARRAY<", "INT", ""),
        ("", "INT", "["),
    ],
)
def test_deep_types(opening: str, inner: str, closing: str, depth: int) -> None:
    """A type of thousands of levels is refused in time, as text, in SQL and in YAML."""
    kind = f"{opening * depth}{inner}{closing * depth}"
    started = time.perf_counter()
    parsed = parse_sql_type(kind)
    assert isinstance(parsed, str)
    assert len(parsed) < 2_000
    with pytest.raises((SqlSyntaxError, ConfigurationError)):
        create(f"CREATE MODEL m INPUT (a {kind}) OUTPUT (b INT) WITH ('k' = 'v')")
    definition = definition_from_yaml("m", {"input": {"a": kind}, "output": {"b": "INT"}})
    with pytest.raises(ConfigurationError):
        InferenceModel.from_definition(definition)
    assert time.perf_counter() - started < SECONDS


def test_deep_types_are_a_syntax_error_of_their_statement() -> None:
    """In a statement the error names the column and the line."""
    with pytest.raises(SqlSyntaxError, match=r"^line 2: the type of column a has more than 100 levels"):
        parse_create_model(
            f"CREATE MODEL m INPUT (\na {'ARRAY<' * 1_000}INT{'>' * 1_000}) OUTPUT (b INT) WITH ('k' = 'v')"
        )


def _config(text: str) -> dict[str, Any]:
    return dict(parse_ml_predict(text).calls[0].config)


DEEP_JSON = [
    "[" * LONG,
    "[" * LONG + "]" * LONG,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    "[1" * LONG,
    "9" * LONG,
    "[" + "9" * LONG + "]",
    '{"X-A": ' + "[" * 5_000 + "]" * 5_000 + "}",
]


@pytest.mark.parametrize("text", DEEP_JSON, ids=range(len(DEEP_JSON)))
@pytest.mark.parametrize(
    "key",
    [
        "custom-headers",
        "stub.b",
        "timeout",
        "max-retries",
        "model-version",
        "default-value",
        "sequence-id",
        "sequence-by",
        "priority",
        "auth-token",
        "unknown",
    ],
)
def test_deep_and_long_options(key: str, text: str) -> None:
    """A deep or long option is refused in time, in SQL, in MAP and in YAML."""
    in_time(lambda: create(MODEL % f", '{key}' = '{text}'"))
    in_time(lambda: parse_options(REQUIRED | _config(CALL % f", MAP['{key}', '{text}']"), "m"))
    in_time(lambda: parse_options(REQUIRED | {key: text}, "m"))


@pytest.mark.parametrize(
    "key", ["custom-headers", "stub.b", "timeout", "sequence-by", "default-value", "client_timeout", "x"]
)
def test_deep_yaml(key: str) -> None:
    """So it is with lists and maps of YAML, whatever key they stand under."""
    value: object = "x"
    for level in range(50_000):
        value = [value] if level % 2 else {"a": value}
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        parse_options(REQUIRED | {key: value}, "m")
    with pytest.raises(ConfigurationError, match="has no SQL type"):
        definition_from_yaml("m", {"input": {"a": value}, "output": {"b": "INT"}})


PIECES = [
    "'",
    "''",
    '"',
    "`",
    "$$",
    "$a$",
    "e'\\'",
    "/*",
    "*/",
    "--",
    "\n",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    "=",
    ".",
    "=>",
    "TABLE ",
    "MODEL ",
    "MAP[",
    "ML_PREDICT(",
    "DESCRIPTOR(",
    "WITH ",
    "a ",
    "AS (",
    "LATERAL ",
    "ARRAY<",
    "CREATE MODEL m ",
    "INPUT (",
    "OUTPUT (",
    "COMMENT 'x' ",
    "'k' = 'v', ",
    "é",
    "\0",
    "1",
    "x'zz' ",
    "{{",
    "\\",
]
VALID = [
    MODEL % ", 'custom-headers' = '{\"X-A\": \"1\"}'",
    CALL % ", MAP['timeout', '1s']",
    "with a as (select 1) select * from TABLE(ML_PREDICT(TABLE (select * from a), MODEL m, DESCRIPTOR(c)))",
]


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    """Break a valid statement in some places, or make one of pieces, and repeat pieces up to 100 kB."""
    text = draw(st.sampled_from(["", *VALID]))
    for _ in range(draw(st.integers(1, 6))):
        position = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 3))
        times = draw(st.sampled_from([1, 1, 2, 300, 5_000]))
        piece = draw(st.sampled_from(PIECES))
        text = text[:position] + piece * times + text[position + removed :]
    return text[:LONG]


@settings(max_examples=200)
@given(_mutated())
def test_broken_statements(text: str) -> None:
    """Whatever the text, the answer is a statement or a clean error, in time."""
    in_time(lambda: create(text))
    in_time(lambda: parse_ml_predict(text))
    in_time(lambda: parse_sql_type(text))


@pytest.mark.parametrize("key", ["option-{}", "k{}", "auth-token-{}", "async-enabled", "{}"])
def test_very_many_options(key: str) -> None:
    """Thousands of options that are none, or one again and again, are told in time, and not each of them."""
    numbers = range(6_000)
    keys = [key.format("".join(chr(97 + int(digit)) for digit in str(number))) for number in numbers]
    in_time(lambda: create(MODEL % "".join(f", '{name}' = 'auth-tokn'" for name in keys)))
    called = CALL % (", MAP[" + ", ".join(f"'{name}', 'some-value'" for name in keys) + "]")
    in_time(lambda: parse_options(REQUIRED | _config(called), "m"))
    in_time(lambda: parse_options(REQUIRED | dict.fromkeys(keys, "some-value"), "m"))


@pytest.mark.parametrize("wrong", ["INT", "INT COMMENT 'x'", "GEOMETRY", "ARRAY<GEOMETRY>", "ROW<a INT>"])
def test_very_many_columns(wrong: str) -> None:
    """So it is with thousands of columns."""
    columns = ", ".join(f"column_{number} {wrong}" for number in range(4_000))
    started = time.perf_counter()
    with contextlib.suppress(ConfigurationError):
        create(f"CREATE MODEL m INPUT ({columns}) OUTPUT (b INT) WITH ('provider' = 'stub')")
    assert time.perf_counter() - started < SECONDS


def test_time_is_linear() -> None:
    """Ten times the text takes about ten times as long, for random pieces in random order."""
    seconds = []
    for size in (5_000, 50_000):
        chosen = random.Random(7).choices([piece for piece in PIECES if piece != "\n"], k=size)  # noqa: S311 - a test
        text = "select 1 " + "".join(chosen)
        started = time.perf_counter()
        in_time(partial(parse_ml_predict, text))
        in_time(partial(parse_create_model, text))
        seconds.append(time.perf_counter() - started)
    assert seconds[1] < 60 * max(seconds[0], 0.01)


def test_json_that_is_nearly_right() -> None:
    """An error of JSON says where it ends to be JSON, and nothing of what is there."""
    with pytest.raises(ConfigurationError, match="line 1, column 8 is no JSON") as caught:
        parse_options(REQUIRED | {"custom-headers": json.dumps({"X-A": "SECRET"})[:-1].replace(": ", ":: ")}, "m")
    assert "SECRET" not in str(caught.value)


MANY_CALLS = {
    "comma": lambda count: "select * from " + ", ".join(f"{BARE} x{number}" for number in range(count)),
    "union": lambda count: " union all ".join([f"select * from {BARE}"] * count),
    "lateral": lambda count: (
        "select * from s" + "".join(f", lateral ML_PREDICT(TABLE t{n}, MODEL m, DESCRIPTOR(a))" for n in range(count))
    ),
    "ctes": lambda count: (
        "with c0 as (select 1 a)"
        + "".join(
            f", c{n} as (select * from z{n}, lateral ML_PREDICT(TABLE c{n - 1}, MODEL m, DESCRIPTOR(a)))"
            for n in range(1, count + 1)
        )
        + " select 1"
    ),
    "ctes that read two": lambda count: (
        "with c0 as (select 1), c1 as (select 1)"
        + "".join(f", c{n} as (select * from c{n - 1} join c{n - 2} on true)" for n in range(2, count))
        + " select * from z"
        + "".join(f", lateral ML_PREDICT(TABLE q{n}, MODEL m, DESCRIPTOR(a))" for n in range(count))
    ),
    "deep": lambda count: (
        f"select * from {'(select * from s, lateral ' * min(count, 450)}{BARE}{') x' * min(count, 450)}"
    ),
}
BARE = "ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a))"


@pytest.mark.parametrize("kind", MANY_CALLS)
def test_very_many_calls(kind: str) -> None:
    """A thousand calls are read in time, with the query of each one's input; thousands are refused in time."""

    def read(count: int) -> None:
        statement = parse_ml_predict(MANY_CALLS[kind](count))
        assert len(statement.calls) == (1 if kind == "deep" else count)
        replacements = {call.span: "x" for call in statement.calls}
        for call in statement.calls[:: max(count // 100, 1)]:
            statement.input_query(call, replacements)
        statement.render(replacements)

    in_time(partial(read, 1_000))
    if kind != "deep":
        with pytest.raises(SqlSyntaxError, match="more than 1,000 calls"):
            parse_ml_predict(MANY_CALLS[kind](5_000))


def test_very_many_ctes() -> None:
    """So it is with ten thousand CTEs that read one another, with a cross product at their end."""
    ctes = "".join(f", c{number} as (select * from c{number - 1})" for number in range(1, 10_000))
    started = time.perf_counter()
    with pytest.raises(SqlSyntaxError, match=r"beside c0 is a cross product"):
        parse_ml_predict(f"with c0 as (select 1){ctes} select * from c9999, lateral {BARE.replace('t,', 'c0,')}")
    assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("provider", ["stub"])
def test_calls_behind_one_another(provider: str) -> None:
    """Each of many calls reads the one before, by way of a CTE: the plan and the table are no longer than the text."""
    count = 40
    chain = "".join(f", c{n} as (select a from {BARE.replace('t,', f'c{n - 1},')})" for n in range(1, count))
    with Session() as session:
        session.create_model("m", "INPUT (a STRING) OUTPUT (o STRING)", {"provider": provider, "stub.o": "x"})
        started = time.perf_counter()
        rows = session.build("p", f"with c0 as (select 'b' as a){chain} select * from c{count - 1}", ["m"])
        assert rows == [("b",)]
        assert len(session.build_sql) < 1_000 * count
        assert time.perf_counter() - started < SECONDS


def test_five_hundred_calls_are_planned_in_time() -> None:
    """A build of 500 calls takes seconds."""
    with Session() as session:
        session.create_model("m", "INPUT (a STRING) OUTPUT (o STRING)", {"provider": "stub", "stub.o": "x"})
        session.sql("create table t as select 'b' as a")
        started = time.perf_counter()
        assert session.build("p", MANY_CALLS["union"](500), ["m"]) == [("b", "x")] * 500
        assert time.perf_counter() - started < 5 * SECONDS


@pytest.mark.parametrize(
    ("text", "is_cross"),
    [
        ("with c as (select * from t) select * from t, lateral {c}", True),
        ("with c as (select * from t), d as (select * from c) select * from t, lateral {d}", True),
        ("with c as (with t as (select 1) select * from t) select * from c, lateral {c}", True),
        (
            "with c as (select * from u) select * from (with c as (select * from v) select * from u, lateral {c}) x",
            False,
        ),
        (
            "with c as (select * from u) select * from (with c as (select * from v) select * from v, lateral {c}) x",
            True,
        ),
        ("with recursive c as (select * from c) select * from u, lateral {c}", False),
        ("with c as (select * from s.t) select * from t, lateral {c}", True),
        ("with c as (select * from r.t) select * from s.t, lateral {c}", False),
    ],
)
def test_ctes_are_followed(text: str, *, is_cross: bool) -> None:
    """What a CTE reads is found by way of others, by the one that is seen at each place."""
    calls = {name: BARE.replace("TABLE t", f"TABLE {name}") for name in "cd"}
    if not is_cross:
        assert len(parse_ml_predict(text.format(**calls)).calls) == 1
        return
    with pytest.raises(SqlSyntaxError, match="is a cross product"):
        parse_ml_predict(text.format(**calls))
