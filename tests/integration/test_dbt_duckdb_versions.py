"""A small project of every kind of model on older versions of DuckDB and dbt; the other tests run on the installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dbt import DbtProject
from support.duckdb_version import duckdb_folder, python_path
from support.triton import Triton

pytestmark = pytest.mark.slow

PYTHON_MODEL = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "review")
"""
UNIT_TEST = {
    "name": "with_fixture",
    "model": "predicted",
    "given": [
        {"input": "ref('reviews')", "format": "sql", "rows": "select 1 as id, 'a' as review union all select 2, 'b'"},
        {"input": "ref('upper')", "format": "sql", "rows": "select 'a' as review, 'of a' as output"},
    ],
    "expect": {"rows": [{"id": 1, "output": "of a"}, {"id": 2, "output": None}]},
}


@pytest.mark.parametrize(
    ("version", "others"),
    [("1.4.4", ()), ("1.5.5", ()), ("1.5.5", ("dbt-core==1.10.23", "dbt-duckdb==1.10.1"))],
    ids=["DuckDB 1.4", "DuckDB 1.5", "dbt 1.10"],
)
def test_every_kind_of_model_builds(
    version: str, others: tuple[str, ...], triton: Triton, serve: Callable[[str], str], project: DbtProject
) -> None:
    """On these versions doors 1 and 3, the stub, incremental models, stores and unit tests work as elsewhere."""
    order = {"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": [order]}
    project.write("dbt_project.yml", json.dumps(settings))
    project.model(
        "reviews",
        "{{ config(materialized='table') }} select id, review, duckdb_version.version as on_version from (values "
        "(1, 'fine'), (2, 'dull'), (3, null)) t(id, review), (select version() as version) as duckdb_version",
    )
    project.inference_model("upper", triton.url, serve("upper"), cache="persistent", on_error="null")
    project.inference_model("stubbed", triton.url, "nothing", provider="stub")
    for name, model, config in (
        ("predicted", "upper", ""),
        ("by_stub", "stubbed", ""),
        ("merged", "upper", ", incremental_strategy='merge', unique_key='id', indexes=[{'columns': ['id']}]"),
    ):
        head = f"{{{{ config(materialized='ml_predict'{config}) }}}} select id, output from"
        operands = f"TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('{model}') }}}}, DESCRIPTOR(review)"
        project.model(name, f"{head} ML_PREDICT({operands})")
    project.write("models/in_python.py", PYTHON_MODEL)
    project.write("models/models.yml", json.dumps({"unit_tests": [UNIT_TEST]}))
    path = python_path(duckdb_folder(version, others=others))
    first = project.build(PYTHONPATH=path)
    again = project.build(PYTHONPATH=path)
    assert "PASS predicted::with_fixture" in first.output
    assert ("Running with dbt=1.10.23" in first.output) == bool(others)
    assert "Commit failed" not in first.output + again.output
    assert {str(row[0]) for row in project.query("select on_version from reviews")} == {f"v{version}"}
    loud = [(1, "FINE"), (2, "DULL"), (3, None)]
    assert project.query("select * from predicted order by id") == loud
    assert project.query("select * from merged order by id") == loud
    assert project.query("select id, output from in_python order by id") == loud
    assert project.query("select output is null from by_stub order by id") == [(False,), (False,), (True,)]
    assert again.figures("predicted")["rows_reused"] == 2
    assert again.figures("merged")["requests"] == 0


@pytest.mark.parametrize("version", ["1.4.4", "1.5.5"])
def test_values_are_exact(version: str) -> None:
    """Casts and Arrow differ between versions; what is sent of a value does not."""
    root = Path(__file__).parents[2]
    files = [f"tests/unit/{name}.py" for name in ("test_values", "test_arrow_settings")]
    path = os.pathsep.join([python_path(duckdb_folder(version)), str(root)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *files],
        cwd=root,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")} | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
