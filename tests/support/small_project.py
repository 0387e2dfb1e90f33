"""A small project of every kind of model, for the versions that the other tests do not run on."""

from __future__ import annotations

import json
from dataclasses import dataclass

from support.dbt import DbtProject, DbtResult

_PYTHON_MODEL = """
    import dbt_triton

    def model(dbt, session):
        return dbt_triton.ml_predict(dbt, session, dbt.ref("reviews"), dbt.ref("upper"), "review")
"""
_UNIT_TESTS = [
    {
        "name": f"{name}_with_fixture",
        "model": name,
        "given": [
            {"input": "ref('reviews')", "rows": [{"id": 1, "review": "a"}, {"id": 2, "review": "b"}]},
            {
                "input": f"ref('{model}')",
                "format": "sql",
                "rows": "select 'a' as review, 'of a' as output",
            },
        ],
        "expect": {"rows": [{"id": 1, "output": "of a"}, {"id": 2, "output": None}]},
    }
    for name, model in (("predicted", "upper"), ("by_stub", "stubbed"))
]
#: The rows of each table.
LOUD = [(1, "FINE"), (2, "DULL"), (3, None)]


@dataclass(frozen=True)
class Built:
    """What two builds said, one after the other."""

    first: DbtResult
    again: DbtResult

    @property
    def printed(self) -> str:
        """All of it."""
        return self.first.printed + self.again.printed


def write_small_project(project: DbtProject, endpoint: str, model_name: str) -> None:
    """Write a seed, inference models of a server and of the stub, all three doors, an incremental model, unit tests.

    Args:
        project: an empty one.
        endpoint: of a real server.
        model_name: what it serves, which answers in upper case.
    """
    order = {"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": [order]}
    project.write("dbt_project.yml", json.dumps(settings))
    project.write("seeds/reviews.csv", "id,review\n1,fine\n2,dull\n3,\n")
    project.model("warehouse", "{{ config(materialized='table') }} select library_version from pragma_version()")
    project.inference_model("upper", endpoint, model_name, cache="persistent", on_error="null")
    project.inference_model("stubbed", endpoint, "nothing", provider="stub")
    for name, model, config in (
        ("predicted", "upper", ""),
        ("by_stub", "stubbed", ""),
        ("merged", "upper", ", incremental_strategy='merge', unique_key='id', indexes=[{'columns': ['id']}]"),
    ):
        head = f"{{{{ config(materialized='ml_predict'{config}) }}}} select id, output from"
        operands = f"TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('{model}') }}}}, DESCRIPTOR(review)"
        project.model(name, f"{head} ML_PREDICT({operands})")
    project.model(
        "by_macro",
        "{{ config(materialized='ml_predict') }} select id, output from "
        "{{ dbt_triton.ml_predict(ref('reviews'), ref('upper'), 'review') }}",
    )
    project.write("models/in_python.py", _PYTHON_MODEL)
    project.write("models/models.yml", json.dumps({"unit_tests": _UNIT_TESTS}))


def build_small_project(project: DbtProject, *arguments: str, **environment: str) -> Built:
    """Build it twice, and check what is in its tables."""
    built = Built(project.build(*arguments, **environment), project.build(*arguments, **environment))
    for test in _UNIT_TESTS:
        assert f"PASS {test['model']}::{test['name']}" in built.first.output
    assert "Commit failed" not in built.printed
    for table in ("predicted", "by_macro", "merged", "in_python"):
        assert project.query(f"select id, output from {table} order by id") == LOUD, table
    assert project.query("select output is null from by_stub order by id") == [(False,), (False,), (True,)]
    assert built.again.figures("predicted")["rows_reused"] == 2
    assert built.again.figures("merged")["requests"] == 0
    return built


def duckdb_of(project: DbtProject) -> str:
    """Return the version of DuckDB that the project was built with, such as ``1.4.4``."""
    return str(project.query("select library_version from warehouse")[0][0]).removeprefix("v")
