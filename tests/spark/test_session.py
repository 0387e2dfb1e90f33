"""What a step asks of the Spark session."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from dbt_triton.warehouses import WarehouseError
from dbt_triton.warehouses.spark import jobs as spark_jobs
from dbt_triton.warehouses.spark.session import SparkWarehouse
from dbt_triton.warehouses.spark.substitution import text_literal, without_substitution

#: Every kind of character that has a meaning somewhere between Python and Spark's parser.
AWKWARD = [
    "",
    "plain",
    "it's",
    'a "quoted" word',
    "`backticks`",
    "back\\slash, \\n and \\u0024 as they are",
    "line\nbreak\ttab\r",
    "${env:HOME} ${HOME} ${hiveconf:x} $ $$ ${",
    "--no comment /* nor this */",
    "100 % and _",
    "é 漢 🙂",
    ":value ?",
    "zero\0byte",
]


@pytest.fixture
def warehouse(spark: Any) -> SparkWarehouse:
    """The session of a node."""
    return SparkWarehouse(spark, {"unique_id": "model.shop.predicted", "name": "predicted"})


def raised(warehouse: SparkWarehouse, sql: str) -> str:
    """Return the error of a query."""
    with pytest.raises(WarehouseError) as caught:
        warehouse.rows(sql)
    return str(caught.value)


@pytest.mark.parametrize("text", AWKWARD)
def test_text_stays_what_it_is(warehouse: SparkWarehouse, text: str) -> None:
    """Every text that the package writes into SQL arrives as it was: Spark replaces nothing in it."""
    assert warehouse.rows(f"select {text_literal(text)} as it") == [{"it": text}]


@pytest.mark.parametrize("sql", ["'${env:HOME}'", '"${env:HOME}"', "r'${env:HOME}'", 'R"${env:HOME}"'])
def test_every_kind_of_literal_is_protected(warehouse: SparkWarehouse, sql: str) -> None:
    """A dollar within any literal of Spark's is no variable, and what stands beside it is left alone."""
    query = f"select {sql} as it /* ${{x}} */ -- '$'\n, 'it is \\'$' as `a'$`"
    assert list(warehouse.rows(without_substitution(query))[0].values()) == ["${env:HOME}", "it is '$"]


def test_a_users_own_variables_are_theirs(warehouse: SparkWarehouse) -> None:
    """SQL is run as it is: a user's ``${…}`` means what it means on Spark."""
    assert warehouse.rows("select '${spark.sql.shuffle.partitions}' as it") == [{"it": "2"}]


@pytest.mark.parametrize("text", AWKWARD)
def test_a_result_reaches_jinja(warehouse: SparkWarehouse, text: str) -> None:
    """What a step says is read from the view of its node, whatever is in it; secrets' names do not redact it."""
    result = {"error": text, "token": "a", "password": [1, None, True]}
    warehouse.set_result(result)
    (row,) = warehouse.spark.sql(f"select * from dbt_triton_result_{warehouse.node}").collect()
    assert json.loads(row["result"]) == result
    assert row.asDict().keys() == {"result"}
    assert warehouse.spark.catalog.dropTempView(f"dbt_triton_result_{warehouse.node}")


def test_results_of_two_nodes_are_apart(spark: Any) -> None:
    """All of dbt's threads share one session, and each reads its own result."""
    nodes = [SparkWarehouse(spark, {"unique_id": f"model.shop.{name}"}) for name in ("one", "two")]
    for number, node in enumerate(nodes):
        node.set_result({"number": number})
    views = [spark.table(f"dbt_triton_result_{node.node}").collect()[0][0] for node in nodes]
    assert views == ['{"number": 0}', '{"number": 1}']


def test_describe_runs_nothing(warehouse: SparkWarehouse) -> None:
    """The columns of a query are told without running it, in their order, with Spark's names of types."""
    columns = {
        "a": ("raise_error('run')", "void"),
        "b": ("cast(1 as decimal(20, 0))", "decimal(20,0)"),
        "c": ("array(1.5f)", "array<float>"),
        "d": ("timestamp_ntz'2020-01-01'", "timestamp_ntz"),
        "e": ("named_struct('x', 1, 'y', 'z')", "struct<x:int,y:string>"),
    }
    query = "select " + ", ".join(f"{sql} as {name}" for name, (sql, _) in columns.items())
    assert warehouse.describe(query) == [(name, kind) for name, (_, kind) in columns.items()]


def test_first_rows(warehouse: SparkWarehouse, schema: str) -> None:
    """The first rows come by the names of their columns, no more than asked for."""
    warehouse.sql("create table things using parquet as select id, 'x' as `a name` from range(5)")
    rows = warehouse.first_rows(f"{schema}.things", 2)
    assert len(rows) == 2
    assert all(row.keys() == {"id", "a name"} and row["a name"] == "x" for row in rows)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("selec 1", "[PARSE_SYNTAX_ERROR] Syntax error at or near 'selec'."),
        ("select a from (select 1 as b)", "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function param"),
        ("select * from nothere", "[TABLE_OR_VIEW_NOT_FOUND] The table or view `nothere` cannot be found."),
        ("select raise_error('two words. And; more')", "[USER_RAISED_EXCEPTION] two words. And; more"),
        ("create or replace table q using parquet as select 1", "[UNSUPPORTED_FEATURE.TABLE_OPERATION] The feature is"),
        ("insert into nothere select 1", "[TABLE_OR_VIEW_NOT_FOUND] "),
    ],
)
def test_errors_are_spark_s_own_words(
    warehouse: SparkWarehouse, sql: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error is one line with Spark's condition, without the statement, the plan and the stacks of Java.

    Nor does pyspark write them to standard error, where a literal of the statement would stand as well.
    """
    error = raised(warehouse, sql)
    printed = capfd.readouterr()
    assert "QueryContextLogger" not in printed.err + printed.out
    assert error.startswith(said)
    for noise in ("\n", "SQLSTATE", "== SQL", "Relation", "org.apache", "java.", "at o.", "+- "):
        assert noise not in error


def test_an_error_of_python_in_a_task(spark: Any, warehouse: SparkWarehouse, schema: str) -> None:
    """What Python code raises in a task is said in its own words, when rows are read as when a table is written."""

    def fails(batches: Any) -> Any:
        for batch in batches:
            if batch.num_rows:
                raise ValueError("the model said 'no': 400")
            yield batch

    frame = spark.range(3).mapInArrow(fails, "id bigint")
    for ask in (frame.collect, lambda: frame.write.saveAsTable(f"{schema}.failed")):
        with pytest.raises(WarehouseError) as caught:
            warehouse.asked(ask)
        assert str(caught.value) == "ValueError: the model said 'no': 400"


def test_what_is_a_table(warehouse: SparkWarehouse, schema: str) -> None:
    """Only a table of files is the same whenever it is read; views and what is not there are no tables."""
    for format_ in ("parquet", "orc", "csv", "json"):
        warehouse.sql(f"create table t_{format_} using {format_} as select 'x' as provider, 'Provider' as b")
        assert warehouse.is_table(["spark_catalog", schema, f"t_{format_}"])
        assert warehouse.is_table([schema, f"T_{format_}"])
        assert warehouse.is_table([f"t_{format_}"])
    warehouse.sql("create table hive_made (a int) stored as parquet")
    assert warehouse.is_table(["hive_made"])
    warehouse.sql("create view a_view as select 1 as a")
    warehouse.sql("create or replace temporary view t_parquet as select 2 as a")
    elsewhere = "using jdbc options (url 'jdbc:derby:memory:x;create=true', dbtable 'sys.systables')"
    warehouse.sql(f"create table elsewhere {elsewhere}")
    for name in (["a_view"], [schema, "a_view"], ["t_parquet"], ["nothere"], ["noschema", "t"], ["elsewhere"]):
        assert not warehouse.is_table(name), name
    warehouse.spark.catalog.dropTempView("t_parquet")


def test_what_can_be_a_store(warehouse: SparkWarehouse, schema: str) -> None:
    """A user's own table or view of the store's name is never taken for one."""
    store = (
        "ml_key binary, output string, ml_error string, ml_reason string, ml_http_status int, ml_attempts int, "
        "ml_fingerprint string, ml_kind string"
    )
    warehouse.sql(f"create table store ({store}) using parquet partitioned by (ml_fingerprint, ml_kind)")
    warehouse.sql("create table theirs using parquet as select 1 as ml_key")
    warehouse.sql("create view of_store as select * from store")
    warehouse.sql("create table base using parquet as select 1 as a")
    warehouse.sql("create view broken as select a from base")
    warehouse.sql("drop table base")
    assert warehouse.refused_store(f"`{schema}`.`store`") is None
    assert warehouse.refused_store(f"`{schema}`.`nothere`") is None
    assert "has no ml_error, ml_reason" in str(warehouse.refused_store(f"`{schema}`.`theirs`"))
    assert "it is a view" in str(warehouse.refused_store(f"`{schema}`.`of_store`"))
    assert "it is a view" in str(warehouse.refused_store(f"`{schema}`.`broken`"))


def test_a_note_is_kept(warehouse: SparkWarehouse, schema: str) -> None:
    """What a table was built of is a property of it, whatever is in it; a table that is not there is no error."""
    warehouse.sql("create table noted using parquet as select 1 as a")
    for text in AWKWARD:
        if "\0" not in text:
            warehouse.take_note(text, f"{schema}.noted")
            (row,) = warehouse.rows(f"show tblproperties {schema}.noted ('dbt_triton.built_of')")
            assert row["value"] == text
    warehouse.take_note("note", f"{schema}.nothere")


def test_other_sql_is_refused(spark: Any) -> None:
    """A session that reads string literals in another way is refused by one sentence, before anything is done."""
    spark.conf.set("spark.sql.parser.escapedStringLiterals", "true")
    try:
        with pytest.raises(WarehouseError, match="escapedStringLiterals=true; set it to false"):
            SparkWarehouse(spark, {"unique_id": "a"})
    finally:
        spark.conf.unset("spark.sql.parser.escapedStringLiterals")


def test_asking_ends_with_the_run(spark: Any) -> None:
    """A server that does not answer is not waited for once the run is interrupted."""
    with spark_jobs.running(spark, spark_jobs.node_of("model.shop.asks")) as jobs:
        warehouse = SparkWarehouse(spark, {"unique_id": "model.shop.asks"})
        threading.Timer(0.3, jobs.cancel).start()
        begun = time.monotonic()
        with pytest.raises(WarehouseError, match="the run was interrupted"):
            warehouse.unless_interrupted(asyncio.sleep(60))
        assert time.monotonic() - begun < 10
        with pytest.raises(WarehouseError, match="the run was interrupted"):
            warehouse.sql("select 1")
        warehouse.set_result({"error": "the run was interrupted"})
    assert SparkWarehouse(spark, {"unique_id": "model.shop.asks"}).rows("select 1 as a") == [{"a": 1}]


async def _said() -> str:
    return "answer"


def test_an_answer_is_returned(warehouse: SparkWarehouse) -> None:
    """What a server answers is returned, and what it raises is raised."""
    assert warehouse.unless_interrupted(_said()) == "answer"
