"""What is written to be read per row or per expression, and what the error says to write in its place."""

from __future__ import annotations

import re

import pytest

from dbt_triton.ddl import parse_ml_predict
from dbt_triton.errors import SqlSyntaxError

REST = "model m, descriptor(c)"
CALL = f"ml_predict(table t, {REST})"


def _error(sql: str) -> str:
    with pytest.raises(SqlSyntaxError) as caught:
        parse_ml_predict(sql)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "table", "descriptor"),
    [
        ("upper(name)", "select *, upper(name) as name_upper from t", "name_upper"),
        ("s.name", "select *, s.name as s_name from t", "s_name"),
        ("\"a\" || 'b, c'", "select *, \"a\" || 'b, c' as a_value from t", "a_value"),
        ("id, name::varchar", "select *, name::varchar as name_value from t", "id, name_value"),
        ("upper(name) as loud", "select *, upper(name) as loud from t", "loud"),
        ("names[1]", "select *, names[1] as names_value from t", "names_value"),
        ("1", "select *, 1 as descriptor_value from t", "descriptor_value"),
        ("case when a then b end", "select *, case when a then b end as case_value from t", "case_value"),
        ("'x' || upper(a), b + 1", "select *, 'x' || upper(a) as a_upper, b + 1 as b_value from t", "a_upper, b_value"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        "ml_predict(table t, model m, descriptor({}))",
        "ml_predict(args => descriptor({}), input => table t, model => model m)",
    ],
)
def test_expression_in_descriptor(call: str, written: str, table: str, descriptor: str) -> None:
    """The error of an expression in DESCRIPTOR has the call to write in its place, and that one can be read."""
    said = _error(f"select *\nfrom {call.format(written)}")
    assert said.startswith("line 2: expected a column of the input, found ")
    assert said.endswith(f"write TABLE ({table}) and DESCRIPTOR({descriptor})")
    (call_instead,) = parse_ml_predict(f"from ml_predict(table ({table}), model m, descriptor({descriptor}))").calls
    assert ", ".join(call_instead.descriptor) == descriptor


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("*", "name each column that the model is to get"),
        ("t.*", "name each column that the model is to get"),
        ("columns('a.*')", "name each column that the model is to get"),
        ("t.name", r"write DESCRIPTOR\(name\)"),
        ('db.t."the name"', r'write DESCRIPTOR\("the name"\)'),
        ("'name'", "write the name without these quotes"),
        ("E'name'", "write the name without these quotes"),
        ("$$name$$", "write the name without these quotes"),
    ],
)
def test_descriptor_that_is_a_column_in_other_words(written: str, words: str) -> None:
    """What can be a column is not told to be computed: the error says how to name it."""
    assert re.search(words, _error(f"from ml_predict(table db.t, model m, descriptor({written}))"))


@pytest.mark.parametrize(
    "rest",
    [
        "where a in (1, 2) and b = 'x, y'",
        "limit 5",
        "order by a, b desc",
        "as u(x, y)",
        "u where u.a > 1",
        "join v on v.a = t.a",
        "tablesample 10%",
        "where a -- it's\n > 1",
    ],
)
@pytest.mark.parametrize(
    "table", ["t", '"db"."the t"', "read_csv('f.csv', header = true)", "'f.csv'", "(select 1 as a)"]
)
def test_clauses_after_the_table(table: str, rest: str) -> None:
    """The error of a clause after the table has the query in parentheses to write, and that one can be read."""
    for call in (f"ml_predict(table {table} {rest}\n, {REST})", f"ml_predict(input => table {table} {rest})"):
        said = _error(f"from {call}")
        query = f"TABLE (select * from {table} {rest})"
        assert said.startswith("line 1: expected , or ) in ML_PREDICT, found ")
        assert said.endswith(f"write {query}")
        assert parse_ml_predict(f"from ml_predict({query}, {REST})").calls


@pytest.mark.parametrize("alias", ["as u", "u", '"u"', "AS `u`"])
def test_alias_of_the_table(alias: str) -> None:
    """An alias goes behind the call."""
    said = _error(f"from ml_predict(table t {alias}, {REST})")
    assert said.endswith(
        f"write TABLE t, and the alias after the call: ML_PREDICT(…) as {alias.rsplit(maxsplit=1)[-1]}"
    )


@pytest.mark.parametrize(
    "query",
    ["select a, b from t", "with x as (select 1) select * from x", "from t", "values (1), (2)", "SELECT(1)"],
)
def test_query_without_parentheses(query: str) -> None:
    """The error of a bare query has it in parentheses, with or without TABLE before it."""
    for table in ("table ", ""):
        said = _error(f"from ml_predict({table}{query}, {REST})")
        assert said.endswith(f"write TABLE ({query})")


@pytest.mark.parametrize("name", ["values", "select", '"select"', "from", "with.x"])
def test_table_with_the_name_of_a_keyword(name: str) -> None:
    """A table that is called as a keyword is a table."""
    assert parse_ml_predict(f"from ml_predict(table {name}, {REST})").calls


def test_function_of_another_system() -> None:
    """Confluent Cloud's function of the same name is told from Flink's."""
    assert "of Confluent Cloud" in _error("select * from t, lateral table(ml_predict('m', name))")


@pytest.mark.parametrize(
    "sql",
    [
        f"from t, lateral {CALL}",
        f"from t cross join lateral {CALL}",
        f"from t, lateral table({CALL}) as p",
        f"from t left join lateral table({CALL}) p on true",
        f"from db.t join lateral {CALL} p on 1 = 1 where p.x = 2",
        f"from t inner join lateral {CALL} on (true)",
        f"from t as r, lateral ml_predict(table r, {REST})",
        f"from lateral {CALL} p, t",
        f"from u, t, lateral {CALL}",
        f"from (t cross join lateral {CALL}) x",
        f"from (select * from t) s, lateral {CALL}",
        f"select (select count(*) from t, lateral {CALL})",
        f"with p as (select * from t, lateral {CALL}) from p",
        f"from t, lateral ml_predict(table (select * from t where a), {REST})",
        f"with n as (select * from t) select * from t, lateral ml_predict(table n, {REST})",
        f"with n as (from t), o as (from n) select * from t, lateral ml_predict(table o, {REST})",
        f'from "w"."main"."t", lateral table(ml_predict(table "w"."main"."t", {REST})) where 1 = 1',
        f"from T r JOIN LATERAL {CALL} AS q ON TRUE LEFT JOIN u on u.a = q.a",
        f"from t, lateral (select * from {CALL})",
        f"from t left join lateral (from {CALL} limit 1) p on true",
        f"from t,\n/* each */ lateral -- row\n table ( {CALL} )",
    ],
)
def test_lateral_call_beside_its_own_table(sql: str) -> None:
    """LATERAL ML_PREDICT beside the relation that it reads is a cross product, and is refused."""
    said = _error(sql)
    assert " is a cross product" in said
    assert " in Flink as well" in said
    assert "by itself, or join it by a condition" in said


@pytest.mark.parametrize(
    "sql",
    [
        f"from lateral table({CALL})",
        f"from lateral {CALL}",
        f"select a, b from lateral {CALL}",
        f"from t cross join {CALL}",
        f"from u, lateral {CALL}",
        f"from t join lateral {CALL} p on p.id = t.id",
        f"from t join {CALL} p using (id)",
        f"from t natural join lateral {CALL}",
        f"from t, lateral (select * from {CALL} p where p.id = t.id)",
        f"from t, (select * from {CALL})",
        f"select (select max(c) from {CALL}) from t",
        f"from u, lateral (select * from {CALL})",
        f"from u cross join lateral table({CALL}) p where u.id = p.id",
        f"from lateral table({CALL}) p join t on p.id = t.id",
        f"from lateral table({CALL}) as t, u",
        f"select * from lateral table({CALL}) where id in (select id from t, u)",
        f"select * from t where exists (from lateral {CALL})",
        f"from t union all from lateral {CALL}",
        f"from s1.t, lateral ml_predict(table s2.t, {REST})",
        f"from t join u on true, lateral ml_predict(table x, {REST})",
    ],
)
def test_other_joins_of_calls(sql: str) -> None:
    """A call by itself, a join by a condition and a join with another relation are what they say."""
    assert len(parse_ml_predict(sql).calls) == 1
