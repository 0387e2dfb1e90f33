from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.ddl import Statement, parse_ml_predict
from dbt_triton.ddl.calls import Span
from dbt_triton.errors import SqlSyntaxError

CALL = "ML_PREDICT(TABLE reviews, MODEL m, DESCRIPTOR(text))"
PREDICTED = [(1, "good", "GOOD"), (2, "bad", "BAD")]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with two tables of reviews, one of them under an odd name."""
    with duckdb.connect() as opened:
        opened.execute("create table reviews as from (values (1, 'good'), (2, 'bad')) as t(id, text)")
        opened.execute('create table "odd «table»" as select id, text as "the ""text""" from reviews')
        yield opened


def _predict(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    """Run a statement as the step does, with upper() as the model: each input by itself, then the whole."""
    statement = parse_ml_predict(sql)
    replacements: dict[Span, str] = {}
    for number, call in enumerate(statement.calls):
        source = statement.input_query(call, replacements)
        connection.execute(source).fetchall()
        column = call.descriptor[0].replace('"', '""')
        name = "output" + str(number or "")
        replacements[call.span] = f'(select *, upper("{column}") as {name} from ({source}))'
    return connection.execute(statement.render(replacements)).fetchall()


EPHEMERAL = "with __dbt__cte__stg as (\nselect * from reviews\n) "
ON_T = "MODEL m, DESCRIPTOR(text))"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"select * from {CALL}", PREDICTED),
        (f"select * from {CALL.lower()}", PREDICTED),
        (f"from {CALL} select *", PREDICTED),
        ("select * from Ml_Predict\n(\tTable reviews,model M , Descriptor ( text ) )", PREDICTED),
        ("select * from ml_predict(input => table reviews, model => model m, args => descriptor(text))", PREDICTED),
        ("select * from ml_predict(ARGS => DESCRIPTOR(text), MODEL => MODEL m, INPUT => TABLE reviews)", PREDICTED),
        (f"select * from {CALL[:-1]}, MAP['batch-size', '4'])", PREDICTED),
        (f"select p.output, r.id from {CALL} as p join reviews r using (id)", [("GOOD", 1), ("BAD", 2)]),
        (f"select * from {CALL} where output = 'BAD'; -- done\n", PREDICTED[1:]),
        (f'select * from ml_predict(table "memory"."main"."reviews", {ON_T}', PREDICTED),
        ('select * from ml_predict(table "odd «table»", model "ö", descriptor("the ""text"""))', PREDICTED),
        (f"select * from ml_predict(table query_table('reviews'), {ON_T}", PREDICTED),
        (f"select * from ml_predict(table (select * from reviews where id = 1), {ON_T}", PREDICTED[:1]),
        (f"select * from ml_predict((select * from reviews where id = 1), {ON_T}", PREDICTED[:1]),
        (f"select * from ml_predict(((from reviews)), {ON_T}", PREDICTED),
        (f"select * from ml_predict(-- the table,\n table /* (not this) */ reviews /* ) */, {ON_T}", PREDICTED),
        (f"with r as (select * from reviews) select * from ml_predict(table R, {ON_T}", PREDICTED),
        (
            """with r as materialized (from reviews), s(n, t) as (select * from r)
            select * from ml_predict(table s, model m, descriptor(t))""",
            PREDICTED,
        ),
        (
            f"""with recursive n(i) as (select 1 union all select i + 1 from n where i < 2),
            r as (from reviews semi join n on id = i) select * from ml_predict(table r, {ON_T}""",
            PREDICTED,
        ),
        # dbt's ephemeral models, alone and with the user's own WITH.
        (EPHEMERAL + "SELECT * FROM ML_PREDICT(TABLE __dbt__cte__stg, " + ON_T, PREDICTED),
        (
            f"""{EPHEMERAL}, import as (from __dbt__cte__stg), final as (
            select * from ml_predict(table import, {ON_T}) select * from final""",
            PREDICTED,
        ),
        # dbt's --empty.
        (
            """select * from ml_predict(table (select * from "memory"."main"."reviews" where false limit 0),
            model (select * from "a"."b"."m" where false limit 0), descriptor(text))""",
            [],
        ),
        (
            f"""{EPHEMERAL} select * from ml_predict(table (select * from __dbt__cte__stg where false limit 0),
            model (select * from "m" where false limit 0), descriptor(text))""",
            [],
        ),
        # WITH clauses within each other.
        (
            f"with a as (from reviews) select * from (with b as (from a) select * from ml_predict(table b, {ON_T})",
            PREDICTED,
        ),
        (f"with a as (with b as (from reviews) select * from ml_predict(table b, {ON_T}) from a", PREDICTED),
        (
            f"""with a as (from reviews), b as (from a where id = 1)
            select * from ml_predict(table (with a as (from b) from a), {ON_T}""",
            PREDICTED[:1],
        ),
        # A CTE with the name of a table hides it, from where it is complete.
        (f"with reviews as (from reviews limit 1) select * from {CALL}", PREDICTED[:1]),
        (f"with reviews as (select * from {CALL}) select * from reviews", PREDICTED),
        (
            f"select * from {CALL} cross join (with reviews as (select 3) from reviews)",
            [(*row, 3) for row in PREDICTED],
        ),
        # Several calls, and calls on calls.
        (f"select id, output from {CALL} union all select id, output1 from {CALL}", [(1, "GOOD"), (2, "BAD")] * 2),
        (f"select id from reviews where text in (select lower(output) from {CALL} where id > 1)", [(2,)]),
        (
            f"select * from ml_predict({CALL}, model n, descriptor(output))",
            [(1, "good", "GOOD", "GOOD"), (2, "bad", "BAD", "BAD")],
        ),
        (
            f"""select output2 from ml_predict(input => table ml_predict({CALL}, model n, descriptor(output)),
            args => descriptor(output1), model => o)""",
            [("GOOD",), ("BAD",)],
        ),
        (
            f"""with a as (select * from {CALL}), b as (select * from ml_predict(table a, model n, descriptor(output)))
            select * from ml_predict(table (select * from b where id = 2), model o, descriptor(output1))""",
            [(2, "bad", "BAD", "BAD", "BAD")],
        ),
    ],
)
def test_runs_in_duckdb(connection: duckdb.DuckDBPyConnection, sql: str, expected: list[tuple[object, ...]]) -> None:
    """Every form of call becomes SQL that DuckDB runs: the input by itself, and the statement around it."""
    found = _predict(connection, sql)
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_call() -> None:
    """A call tells its line, its relation, its model as SQL, its columns in order and its options."""
    sql = """select *
    from ml_predict(table a."B c".d, model "x"."y", descriptor(p, "Q"),
    map['k', 'it''s', 'l', ''])"""
    call = parse_ml_predict(sql).calls[0]
    assert (call.line, call.relation, call.model) == (2, ("a", "B c", "d"), '"x"."y"')
    assert call.descriptor == ("p", "Q")
    assert call.config == {"k": "it's", "l": ""}


def test_empty_model_operand() -> None:
    """Of dbt's --empty form of a MODEL operand, the relation is what counts."""
    sql = 'from ml_predict(table t, model (select * from "db"."s"."m" where false limit 0), descriptor(c))'
    assert parse_ml_predict(sql).calls[0].model == '"db"."s"."m"'


def test_order_of_calls() -> None:
    """A call comes after every call that its input depends on."""
    sql = """with a as (from ml_predict(table t, model m1, descriptor(c)))
    from ml_predict(ml_predict(table a, model m2, descriptor(c)), model m3, descriptor(c)),
    ml_predict(table a, model m4, descriptor(c))"""
    assert [call.model for call in parse_ml_predict(sql).calls] == ["m1", "m2", "m3", "m4"]


def test_backticks() -> None:
    """Flink's backticks within a call become quotes that every version of DuckDB reads (1.x knows no backticks)."""
    statement = parse_ml_predict("select * from ml_predict(table `db`.`the table`, model `m`, descriptor(`c`))")
    call = statement.calls[0]
    assert (call.relation, call.descriptor) == (("db", "the table"), ("c",))
    assert "`" not in statement.input_query(call, {}) + call.model


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 -- ML_PREDICT(TABLE t)",
        "select 1 /* ML_PREDICT(TABLE t) /* ML_PREDICT( */ ML_PREDICT( */",
        "select 'ML_PREDICT(TABLE t)', 'it''s ML_PREDICT(', e'\\'ML_PREDICT('",
        'select "ML_PREDICT"(1), "a ""b ML_PREDICT("',
        "select $$ML_PREDICT(TABLE t)$$, $tag$ ML_PREDICT( $$ ML_PREDICT( $tag$",
        'select x.ml_predict(1), x . ML_PREDICT (2), "x".ml_predict(3)',
        "select ml_predict, ml_predict_2(1), my_ml_predict(2) from ml_predict",
    ],
)
def test_left_alone(sql: str) -> None:
    """What only mentions ML_PREDICT is no call: comments, strings, quoted names, methods, other names."""
    assert parse_ml_predict(sql) == Statement(sql, ())


# What may stand around a call; none of it is one.
PIECES = st.sampled_from(
    [
        *(
            "select ",
            "'ML_PREDICT(TABLE t'",
            '"ML_PREDICT" (1)',
            "-- ML_PREDICT(TABLE é\n",
            "/* ML_PREDICT( \U0001f600 */",
        ),
        *("$$ML_PREDICT($$", "$a$'ML_PREDICT($a$", "好 ", "'it''s \U0001f600'", "x.ml_predict(1)", "e'\\'ML_PREDICT('"),
        *("(a + b)", "[1, 2]", "{'a': 1}", ",", "\r\n", "\t", "--\n", "1e5 ", "::int ", "->>'x'", '"ﬁ ""x"" \u200b"'),
        *("ml_predict, ", "(with é as (select ') with') select 1)", "'\\'", "/**/", "// 2 ", "% ", "?", "@>"),
    ]
)
LITERALS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9).map(
    lambda text: "'" + text.replace("'", "''") + "'"
)
CALLS = st.sampled_from(
    [
        CALL,
        'ml_predict(input => (select \')\' from "ﬁ"), model => m, args => descriptor("é"))',
        "Ml_Predict (\n" + CALL[11:],
    ]
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.lists(PIECES | LITERALS, max_size=6), CALLS), max_size=4), st.lists(PIECES | LITERALS))
def test_other_sql_is_untouched(groups: list[tuple[list[str], str]], tail: list[str]) -> None:
    """The user's SQL outside calls stays byte for byte, whatever it holds."""
    around = [" ".join([*pieces, ""]) for pieces, _ in groups] + [" ".join(["", *tail])]
    sql = "".join(before + call for before, (_, call) in zip(around, groups, strict=False)) + around[-1]
    statement = parse_ml_predict(sql)
    spans = [call.span for call in statement.calls]
    assert [sql[span.start : span.end] for span in spans] == [call for _, call in groups]
    assert statement.render(dict.fromkeys(spans, "«call»")) == "«call»".join(around)
    assert statement.render({}) == sql


@pytest.mark.parametrize("end", [";", " ; ;\n", ";-- ML_PREDICT(\n", " ;/* ; */ "])
def test_trailing_semicolon(end: str) -> None:
    """A trailing semicolon is dropped, with what comes after it; one within a string stays."""
    assert parse_ml_predict(f"select ';' from {CALL}{end}").text == f"select ';' from {CALL}"


@pytest.mark.parametrize(
    ("sql", "line", "message"),
    [
        ("select 1\nfrom ml_predict(table t, model m)", 2, "needs TABLE, MODEL and DESCRIPTOR; missing: DESCRIPTOR"),
        ("from ml_predict(args => descriptor(c))", 1, "missing: TABLE …, MODEL …"),
        ("from ml_predict(\nt, model m, descriptor(c))", 2, "expected TABLE and a relation, .* found 't'"),
        ("from ml_predict()", 1, "expected TABLE and a relation, .* found '\\)'"),
        ("from ml_predict(table range(3) r, model m, descriptor(c))", 1, r"expected , or \) in ML_PREDICT, found 'r'"),
        ("from ml_predict(table t model m)", 1, r"expected , or \) in ML_PREDICT, found 'model'"),
        ("from ml_predict(table t,\nmodel 'm')", 2, "expected the inference model after MODEL, found \"'m'\""),
        ("from ml_predict(table t, model (select 1), descriptor(c))", 1, r"expected .*\(select \* from a relation\)"),
        ("from ml_predict(table t, model m,\ncolumns(c))", 2, "expected DESCRIPTOR, found 'columns'"),
        ("from ml_predict(table t, model m, descriptor c)", 1, r"expected \( after DESCRIPTOR, found 'c'"),
        ("from ml_predict(table t, model m, descriptor())", 1, r"expected a column of the input, found '\)'"),
        ("from ml_predict(table t, model m, descriptor('c'))", 1, "expected a column of the input, found \"'c'\""),
        ("from ml_predict(table t, model m, descriptor(a b))", 1, r"expected \) after the columns of DESCRIPTOR"),
        ("from ml_predict(table t, model m, descriptor(c), 'x')", 1, "expected MAP, found \"'x'\""),
        ("from ml_predict(table t, model m, descriptor(c), map('k', 'v'))", 1, r"expected \[ after MAP"),
        ("from ml_predict(table t, model m, descriptor(c), map[\n'k'])", 2, "expected , after 'k', found '\\]'"),
        ("from ml_predict(table t, model m, descriptor(c), map['k', 1])", 1, "expected the value of 'k'.* found '1'"),
        ("from ml_predict(table t, model m, descriptor(c), map['k', 'v' 'l', 'w'])", 1, r"expected , or \] after 'k'"),
        ("from ml_predict(table t, model m, descriptor(c), map['k', 'v', 'k', 'w'])", 1, "option k is given twice"),
        ("from ml_predict(table t, model m, descriptor(c), map['k', 'v'], 1)", 1, "at most four arguments"),
        ("from ml_predict(table t, model m, descriptor(c)", 1, "expected , or .* found the end of the statement"),
        ("from ml_predict(input => table t, model m)", 1, "expected a named argument"),
        (
            "from ml_predict(input => table t,\nrows => m)",
            2,
            "expected INPUT, MODEL, ARGS or CONFIG before =>, found 'rows'",
        ),
        ("from ml_predict(table t, input => table u)", 1, "INPUT is given twice"),
        ("select 1\nfrom (select *\nfrom t", 2, "a parenthesis is never closed"),
        ("select (1\n)) from ml_predict(table t, model m, descriptor(c))", 2, r"found '\)'"),
        ("with a select 1", 1, "expected AS"),
        ("with a as\nselect 1", 2, r"expected \( and the query of a, found 'select'"),
        ("with 'a' as (select 1) select 1", 1, "expected the name of a CTE, found \"'a'\""),
        ("select 1;\nselect 2", 2, "expected one statement only, found 'select'"),
        ("select 1\nfrom 't", 2, "never closed"),
    ],
)
def test_errors(sql: str, line: int, message: str) -> None:
    """What does not follow the grammar is an error with its line, and with what was expected."""
    with pytest.raises(SqlSyntaxError, match=f"^line {line}: .*{message}"):
        parse_ml_predict(sql)


def test_file_is_a_table(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """TABLE may be a file in quotes, as dbt-duckdb writes the source of an external location."""
    connection.execute(f"copy reviews to '{tmp_path}/reviews.csv'")
    assert _predict(connection, f"select * from ml_predict(table '{tmp_path}/reviews.csv', {ON_T}") == PREDICTED
