"""CREATE MODEL without INPUT and OUTPUT in a dbt project: every door, contracts, unit tests, docs, the command."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.dbt import DbtProject
from support.triton import Triton

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("the schema of a server is taken without a warehouse; test_interfaces takes one on Spark"),
]

CONFIG = "{{ config(materialized='inference_model') }}\n"
PYTHON = """
    from dbt_triton import ml_predict

    def model(dbt, session):
        dbt.config(materialized="table")
        return ml_predict(dbt, session, dbt.ref("sales"), dbt.ref("taken"), ["amount", "price"])
"""
PREDICTED = (
    "select id, TOTAL, is_large from ML_PREDICT(TABLE {{ ref('sales') }}, MODEL {{ ref('%s') }}, DESCRIPTOR(%s))"
)
MACRO = "select * from {{ dbt_triton.ml_predict(ref('sales'), ref('of_yaml'), ['price', 'quantity']) }}"
CONTRACT = {
    "name": "predicted",
    "config": {"materialized": "ml_predict", "contract": {"enforced": True}},
    "columns": [
        {"name": "id", "data_type": "integer"},
        {"name": "TOTAL", "data_type": "double"},
        {"name": "IS_LARGE", "data_type": "boolean"},
    ],
}
UNIT_TEST = {
    "name": "with_a_fixture",
    "model": "by_macro",
    "given": [
        {"input": "ref('sales')", "format": "sql", "rows": "select 1 as id, 2 as price, 3 as quantity"},
        {"input": "ref('of_yaml')", "format": "sql", "rows": "select 6.5 as total, true as is_large"},
    ],
    "expect": {"rows": [{"id": 1, "price": 2, "quantity": 3, "total": 6.5, "is_large": True}]},
}
ROWS = [(1, 6.0, False), (2, 2000.0, True), (3, None, None)]


def _write(project: DbtProject, endpoint: str, model: str) -> None:
    options = {"provider": "triton", "endpoint": endpoint, "model-name": model}
    written = ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
    project.model(
        "sales",
        "{{ config(materialized='table') }} select * from (values (1, 2, 3), (2, 20, 100), (3, null, 1)) "
        "t(id, price, quantity)",
    )
    project.model("taken", f"{CONFIG}CREATE MODEL taken\nCOMMENT 'As served'\nWITH ({written})")
    project.model("half", f"{CONFIG}CREATE MODEL half OUTPUT (is_large BOOLEAN, total DOUBLE) WITH ({written})")
    project.model("of_yaml", "{{ dbt_triton.create_model() }}")
    project.model("half_of_yaml", "{{ dbt_triton.create_model() }}")
    project.model("predicted", PREDICTED % ("taken", "price, quantity"))
    project.model(
        "predicted_by_half",
        "{{ config(materialized='ml_predict') }} " + PREDICTED % ("half", "quantity, price"),
    )
    project.model("by_macro", "{{ config(materialized='ml_predict') }} " + MACRO)
    project.write("models/in_python.py", PYTHON.replace('"amount", "price"', '"quantity", "price"'))
    yaml = [
        {"name": name, "config": {"materialized": "inference_model", "meta": {"inference_model": meta}}}
        for name, meta in (
            ("of_yaml", options),
            ("half_of_yaml", options | {"input": {"price": "DOUBLE", "quantity": "BIGINT"}}),
        )
    ]
    project.write("models/models.yml", json.dumps({"models": [CONTRACT, *yaml], "unit_tests": [UNIT_TEST]}))


def test_every_door(triton: Triton, serve: Callable[[str], str], project: DbtProject) -> None:
    """SQL, YAML, the macros and Python models predict by a schema that the server has said, and what is told of it."""
    _write(project, triton.url, serve("arithmetic"))
    built = project.build()
    assert "PASS by_macro::with_a_fixture" in built.output
    for table in ("predicted", "predicted_by_half", "by_macro", "in_python"):
        assert project.query(f"select id, total, is_large from {table} order by id") == ROWS, table
    # Names as they are served, after the columns of the input.
    assert [row[0] for row in project.query("describe by_macro")] == ["id", "price", "quantity", "TOTAL", "IS_LARGE"]
    schemas = dict(
        project.query("select name, output_schema from taken union all from (select name, output_schema from half)")
    )
    assert [item["type"] for item in json.loads(schemas["taken"])] == ["DOUBLE", "BOOLEAN"]
    assert json.loads(schemas["half"])[0] == {"name": "is_large", "type": "BOOLEAN"}
    (comment,) = project.query("select comment from duckdb_tables() where table_name = 'taken'")[0]
    assert "As served" in comment
    assert "INPUT (PRICE DOUBLE, QUANTITY BIGINT) OUTPUT (TOTAL DOUBLE, IS_LARGE BOOLEAN)" in comment
    assert "Taken from the server: INPUT, OUTPUT" in comment

    dry = project.build("--select", "predicted", "--vars", "{dbt_triton_dry_run: true}")
    assert dry.figures("predicted")["to_send"] == 2
    empty = project.build("--empty", "--select", "taken predicted")
    assert empty.status("predicted") == "success"
    assert project.query("select count(*) from predicted") == [(0,)]

    checked = project.dbt_triton("check")
    assert checked.returncode == 0, checked.stdout
    assert "4 inference models, 0 with problems" in checked.stdout
    described = project.dbt_triton("describe", "of_yaml")
    assert "PRICE DOUBLE is bound to PRICE FP64" in described.stdout
    assert "Taken from the server: INPUT, OUTPUT" in described.stdout

    stub = project.dbt("build", "--vars", "{dbt_triton_provider: stub}")
    assert "INPUT and OUTPUT can be left out only where a server says the schema, but a stub" in stub.message("taken")
    assert "INPUT can be left out only" in stub.message("half")
    stubbed = project.dbt_triton("check", "--vars", "{dbt_triton_provider: stub}")
    assert stubbed.stdout.count("invalid") == 4
    # The table that is built has the schema, so a stub of it has one.
    project.build("--select", "taken")
    project.build("--select", "predicted", "--vars", "{dbt_triton_provider: stub}")
    assert project.query("select count(total) from predicted") == [(2,)]
