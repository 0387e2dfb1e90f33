"""Where rows come from and go to, and the versions of DuckDB: files, an attached PostgreSQL, DuckLake, 1.4 and 1.5."""

from __future__ import annotations

import json
from collections.abc import Callable

import duckdb
import pytest
from support.dbt import DbtProject
from support.duckdb_version import duckdb_folder, extension_directory, python_path
from support.postgres import find_programs, postgres_server
from support.triton import Triton

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("it is about the places that DuckDB reads from and writes to")]

REVIEWS = [(1, "fine"), (2, "dull"), (3, None)]
LOUD = [(1, "FINE"), (2, "DULL"), (3, None)]
#: The newest one for which the registry has the extensions.
WITH_EXTENSIONS = "1.5.5"


def _profile(project: DbtProject, **settings: object) -> None:
    target = {"type": "duckdb", "threads": 4, "path": str(project.database), **settings}
    project.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": {"dev": target}}}))


def _predict(table: str, config: str = "") -> str:
    call = f"ML_PREDICT(TABLE {table}, MODEL {{{{ ref('upper') }}}}, DESCRIPTOR(review))"
    return f"{{{{ config(materialized='ml_predict'{config}) }}}} select id, output from {call}"


def test_parquet_and_csv_are_read_and_written(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """An external source, a table function and a SELECT from a file are inputs; dbt-duckdb's external is a sink."""
    files = project.root / "files"
    files.mkdir()
    connection = duckdb.connect()
    connection.execute("create table reviews as from (values (1, 'fine'), (2, 'dull'), (3, null)) as t(id, review)")
    connection.execute(f"copy reviews to '{files}/reviews.parquet'")
    connection.execute(f"copy reviews to '{files}/reviews.csv'")
    connection.close()
    source = {
        "name": "files",
        "meta": {"external_location": f"{files}/{{name}}.parquet"},
        "tables": [{"name": "reviews"}],
    }
    project.write("models/sources.yml", json.dumps({"sources": [source]}))
    project.inference_model("upper", triton.url, serve("upper"))
    project.model("from_source", _predict("{{ source('files', 'reviews') }}"))
    project.model("from_function", _predict(f"read_csv('{files}/reviews.csv', header = true)"))
    project.model("from_query", _predict(f"(select * from '{files}/reviews.csv')"))
    for kind in ("parquet", "csv"):
        location = f"materialized='external', location='{files}/loud.{kind}', format='{kind}'"
        project.model(f"to_{kind}", f"{{{{ config({location}) }}}} select * from {{{{ ref('from_source') }}}}")
    project.build()
    for name in ("from_source", "from_function", "from_query"):
        assert project.query(f"select * from {name} order by id") == LOUD
    for kind in ("parquet", "csv"):
        assert project.query(f"select * from '{files}/loud.{kind}' order by id") == LOUD


def test_attached_postgres_is_source_and_sink(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """A table of a real PostgreSQL is the input, and the predicting model's own table may be there, too."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    folder = duckdb_folder(WITH_EXTENSIONS, "postgres", "ducklake")
    upper = serve("upper")
    with postgres_server(programs) as postgres:
        postgres.sql("create table reviews as select * from (values (1, 'fine'), (2, 'dull'), (3, null)) t(id, review)")
        attached = {"path": postgres.connection_string, "type": "postgres", "alias": "pg"}
        settings = {"extension_directory": extension_directory(folder)}
        _profile(project, attach=[attached], extensions=["postgres"], config_options=settings)
        source = {"name": "pg", "database": "pg", "schema": "public", "tables": [{"name": "reviews"}]}
        project.write("models/sources.yml", json.dumps({"sources": [source]}))
        project.inference_model("upper", triton.url, upper, cache="persistent")
        project.model("here", _predict("{{ source('pg', 'reviews') }}"))
        project.model("there", _predict("{{ source('pg', 'reviews') }}", ", database='pg', schema='ml'"))
        # Of one name in two schemas: each has a store of its own.
        project.model(
            "beside", _predict("{{ source('pg', 'reviews') }}", ", database='pg', schema='dl', alias='there'")
        )
        before = triton.counters(upper)
        project.build(PYTHONPATH=python_path(folder))
        again = project.build(PYTHONPATH=python_path(folder))
        assert triton.counters(upper).rows - before.rows == 6
        assert [again.figures(name)["rows_reused"] for name in ("there", "beside")] == [2, 2]
        found = [postgres.sql(f"select id, output from main_{schema}.there order by id") for schema in ("ml", "dl")]
    assert [rows.splitlines() for rows in found] == [["1|FINE", "2|DULL", "3|"]] * 2


def test_ducklake_is_source_and_sink(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """A DuckLake holds the input, the inference model, the predicting model and its persistent predictions."""
    folder = duckdb_folder(WITH_EXTENSIONS, "postgres", "ducklake")
    lake = {
        "path": f"ducklake:{project.root}/catalog.ducklake",
        "alias": "lake",
        "options": {"data_path": "lake_files"},
    }
    settings = {"extension_directory": extension_directory(folder)}
    _profile(project, attach=[lake], database="lake", extensions=["ducklake"], config_options=settings)
    project.model(
        "reviews",
        "{{ config(materialized='table') }} select * from (values (1, 'fine'), (2, 'dull'), (3, null)) t(id, review)",
    )
    project.inference_model("upper", triton.url, serve("upper"), cache="persistent")
    project.model("predicted", _predict("{{ ref('reviews') }}"))
    project.model("added", _predict("{{ ref('reviews') }}", ", incremental_strategy='append'"))
    project.build(PYTHONPATH=python_path(folder))
    again = project.build(PYTHONPATH=python_path(folder))
    assert again.results["predicted"]["relation_name"] == '"lake"."main"."predicted"'
    assert again.figures("predicted")["rows_reused"] == 2
    assert again.figures("predicted")["requests"] == 0
