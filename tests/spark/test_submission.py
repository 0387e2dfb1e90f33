"""Python on the Spark session of dbt: users' own Python models, and the channel of the package's steps."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from dbt.exceptions import DbtRuntimeError  # type: ignore[attr-defined] # not re-exported by name
from support.dbt import DbtResult
from support.spark import SparkProject

from dbt_triton.warehouses.spark.submission import SessionJobHelper

_CONFIG = 'dbt.config(materialized="{kind}", submission_method="dbt_triton", file_format="parquet"{more})'


def python_model(project: SparkProject, name: str, body: str, *, kind: str = "table", more: str = "") -> None:
    """Write a Python model whose first line is the fourth of its file."""
    config = _CONFIG.format(kind=kind, more=more)
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    project.write(
        f"models/{name}.py", f"import pandas as pd\n\ndef model(dbt, session):\n{lines}\n".replace("CONFIG", config)
    )


@pytest.fixture(scope="module")
def built(module_project: Callable[[], SparkProject]) -> tuple[SparkProject, DbtResult]:
    """A project of Python models that work and that do not, built once."""
    project = module_project()
    project.model("numbers", "{{ config(materialized='table') }} select id, id * 2 as twice from range(4)")
    python_model(project, "by_spark", 'CONFIG\nreturn dbt.ref("numbers").where("id > 1")')
    python_model(project, "by_pandas", 'CONFIG\nreturn pd.DataFrame({"a": [1, 2], "b": ["x", "it\'s"]})')
    python_model(
        project,
        "by_function",
        """CONFIG
class Adds:
    n = 10
def add(batches):
    for batch in batches:
        frame = batch.to_pandas()
        frame["id"] += Adds.n
        yield type(batch).from_pandas(frame[["id"]])
return dbt.ref("numbers").mapInArrow(add, "id bigint")""",
    )
    python_model(
        project,
        "grows",
        """CONFIG
frame = dbt.ref("numbers")
if dbt.is_incremental:
    frame = frame.selectExpr("id + 100 as id", "twice")
return frame""",
        kind="incremental",
        more=', incremental_strategy="append"',
    )
    python_model(project, "raises", 'CONFIG\n\nraise ValueError("no such\\n  thing")\nreturn None')
    python_model(project, "typo", 'CONFIG\nreturn dbt.ref("numbers").select("nothere")')
    python_model(project, "bad_syntax", 'CONFIG\nreturn session.sql("selec 1")')
    python_model(
        project,
        "fails_in_task",
        """CONFIG
def fail(batches):
    for batch in batches:
        raise RuntimeError("row 7 is bad")
    yield
return dbt.ref("numbers").mapInArrow(fail, "id bigint")""",
    )
    python_model(project, "exits", "CONFIG\nimport sys\nsys.exit(3)\nreturn None")
    python_model(project, "returns_text", 'CONFIG\nreturn "text"')

    project.write(
        "models/other_format.py",
        "def model(dbt, session):\n"
        '    dbt.config(materialized="table", submission_method="dbt_triton", file_format="dleta")\n'
        '    session.sql("create table paid_in_vain as select 1 as a")\n'
        '    return dbt.ref("numbers")\n',
    )
    project.write("models/default.py", "def model(dbt, session):\n    return 1\n")
    return project, project.dbt("build")


def test_models_that_work(built: tuple[SparkProject, DbtResult]) -> None:
    """Python models of dbt-spark run on the session: frames of Spark and of pandas, and functions sent to tasks."""
    project, result = built
    for name in ("by_spark", "by_pandas", "by_function", "grows"):
        assert result.status(name) == "success", result.message(name)
    assert project.query("select id, twice from by_spark order by id") == [(2, 4), (3, 6)]
    assert project.query("select a, b from by_pandas order by a") == [(1, "x"), (2, "it's")]
    assert [row[0] for row in project.query("select id from by_function order by id")] == [10, 11, 12, 13]


def test_incremental(built: tuple[SparkProject, DbtResult]) -> None:
    """An incremental Python model adds to its table at the second build."""
    project, _ = built
    before = project.query("select count(*) from grows")[0][0]
    result = project.build("--select", "grows")
    assert result.status("grows") == "success"
    assert project.query("select count(*), max(id) from grows") == [(before + 4, 103)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "ValueError: no such thing (line 6 of models/raises.py)"),
        ("typo", "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `nothere`"),
        ("bad_syntax", "[PARSE_SYNTAX_ERROR] Syntax error at or near 'selec'. (line 5 of models/bad_syntax.py)"),
        ("fails_in_task", "RuntimeError: row 7 is bad"),
        ("exits", "the Python model ended the program: exit(3)"),
        ("returns_text", "Exception: <class 'str'> is not a supported type for dbt Python materialization"),
    ],
)
def test_errors_are_one_line(built: tuple[SparkProject, DbtResult], name: str, said: str) -> None:
    """An error is said in one line, with its place in the user's file, without stack traces and source lines."""
    _, result = built
    message = result.message(name)
    assert said in message
    for noise in ("Traceback", "File ", "org.apache", "SQLSTATE", "== SQL", "+-", "dbt_triton/"):
        assert noise not in message
    assert len(message) < 500


def test_a_table_that_cannot_be_written_is_told_first(built: tuple[SparkProject, DbtResult]) -> None:
    """A format that Spark does not have fails the model before its code runs, so that nothing is predicted in vain."""
    project, result = built
    assert "file_format 'dleta' is none that this Spark has; nothing was run" in result.message("other_format")
    assert 'dbt.config(file_format="parquet")' in result.message("other_format")
    assert project.query("show tables like 'paid_in_vain'") == []


@pytest.mark.usefixtures("spark_project")
def test_the_format_of_dbt_spark_is_named() -> None:
    """A model without a file_format would be written as delta, which is told where Spark does not have it."""
    model = {"unique_id": "model.shop.m", "language": "python", "config": {"file_format": None}}
    credentials = SimpleNamespace(method="session", server_side_parameters={})
    with pytest.raises(DbtRuntimeError, match="has no file_format, so dbt-spark would write delta, which this Spark"):
        SessionJobHelper(model, credentials).submit("raise ValueError('it was run')")
    with pytest.raises(DbtRuntimeError, match="it was run"):  # a step of the package writes no such table
        SessionJobHelper(model | {"language": "sql"}, credentials).submit("raise ValueError('it was run')")


def test_other_methods_are_dbt_spark_s(built: tuple[SparkProject, DbtResult]) -> None:
    """A Python model without the submission method is still dbt-spark's own affair."""
    _, result = built
    assert result.status("default") == "error"
    assert "dbt_triton" not in result.message("default")


_MATERIALIZATION = """
    {% materialization probe, adapter='spark' %}
      {% do model.config.update({'submission_method': 'dbt_triton'}) %}
      {% call statement('main', language='python') %}
    from dbt_triton.warehouses.spark.session import SparkWarehouse
    warehouse = SparkWarehouse(spark, {'unique_id': {{ tojson(model.unique_id) }}})
    tags = sorted(spark.sparkContext.getJobTags())
    warehouse.set_result({'tags': tags, 'tag': warehouse.tag, 'sql': warehouse.rows("select 1 as a")})
      {% endcall %}
      {% set view = 'dbt_triton_result_' ~ local_md5(model.unique_id)[:12] %}
      {% set result = fromjson(run_query('select result from ' ~ view).columns[0].values()[0]) %}
      {% do run_query('drop view ' ~ view) %}
      {% do store_raw_result('main', message=result.tag, code=tojson(result), rows_affected=0) %}
      {{ return({'relations': []}) }}
    {% endmaterialization %}
"""


def test_a_step_tells_jinja(spark_project: SparkProject) -> None:
    """Several models at once: each leaves its result for its own Jinja, under a tag of its own, and nothing stays."""
    spark_project.write("macros/probe.sql", _MATERIALIZATION)
    names = [f"m{number}" for number in range(6)]
    for name in names:
        spark_project.model(name, "{{ config(materialized='probe') }} select 1")
    result = spark_project.build()
    tags = {result.message(name) for name in names}
    assert len(tags) == len(names)
    for name in names:
        figures = result.figures(name)
        assert figures["tags"] == [figures["tag"]]
        assert figures["sql"] == [{"a": 1}]
    left = [row["viewName"] for row in spark_project.spark.sql("show views").collect()]
    assert not [view for view in left if view.startswith("dbt_triton_result")]
    assert not spark_project.spark.sparkContext.getJobTags()
