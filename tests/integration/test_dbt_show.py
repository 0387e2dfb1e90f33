"""`dbt show`, ML_PREDICT where dbt itself runs its SQL, and fixtures in rows: what works, and what is said else."""

from __future__ import annotations

import json

import pytest
from support.dbt import DbtProject, DbtResult
from support.dbt_session import dbt_session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only(
        "how `dbt show` runs a model is the adapter's; tests/spark/test_macros.py has dbt's commands on Spark"
    ),
]

VERBATIM = "select * from ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('mood') }}, DESCRIPTOR(review))"
EVALUATED = """
    select 'rows: ' || rows_evaluated as measured from ML_EVALUATE(
      TABLE {{ ref('reviews') }}, MODEL {{ ref('mood') }}, DESCRIPTOR(review), DESCRIPTOR(review))
"""
MACRO = "select * from {{ dbt_triton.ml_predict(ref('reviews'), ref('mood'), 'review') }}"
ENDINGS = {
    "later": "{{ config(materialized='ml_predict') }} " + MACRO,
    "verbatim": "{{ config(materialized='ml_predict') }} " + VERBATIM,
    "macro": "{{ config(materialized='ml_predict') }} " + MACRO,
    "part": "{{ config(materialized='ephemeral') }} " + MACRO,
    "whole": "{{ config(materialized='ml_predict') }} select * from {{ ref('part') }}",
}
ROWS = [{"input": "ref('reviews')", "format": "sql", "rows": "select 1 as id, 'x' as review"}]
COMMANDS = {
    "build": ["build", "--exclude", "later", "test_type:unit"],
    **{name: ["show", "-s", name] for name in ("later", "verbatim", "macro", "whole")},
    "all": ["show", "-s", "macro", "--limit", "-1"],
    "mood": ["show", "-s", "mood"],
    "inline": ["show", "--inline", "select output from {{ ref('macro') }}"],
    "inline_verbatim": ["show", "--inline", VERBATIM],
    "inline_evaluated": ["show", "--inline", EVALUATED],
    "inline_macro": ["show", "--inline", MACRO],
    "compile": ["compile", "--inline", MACRO],
    "dict": ["test", "-s", "dict_fixture"],
    "csv": ["test", "-s", "csv_fixture"],
}


def _run(project: DbtProject, *, dispatch: bool) -> dict[str, DbtResult]:
    order = [{"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}] if dispatch else []
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": order}
    project.write("dbt_project.yml", json.dumps(settings))
    project.inference_model("mood", "http://127.0.0.1:9", "x", provider="stub", **{"stub.output": "glad"})
    project.model("reviews", "select 1 as id, 'fine' as review")
    for name, sql in ENDINGS.items():
        project.model(name, sql)
    fixtures: dict[str, dict[str, object]] = {
        "dict_fixture": {"rows": [{"output": "glad"}]},
        "csv_fixture": {"format": "csv", "rows": "output\nglad\n"},
    }
    tests = [
        {"name": name, "model": "macro", "given": [*ROWS, {"input": "ref('mood')", **fixture}],
         "expect": {"rows": [{"id": 1, "output": "glad"}]}}
        for name, fixture in fixtures.items()
    ]  # fmt: skip
    project.write("models/tests.yml", json.dumps({"unit_tests": tests}))
    ran = dict(zip(COMMANDS, dbt_session(project, list(COMMANDS.values())), strict=True))
    assert ran["build"].code == 0, ran["build"].output
    return ran


def test_show_with_the_dispatch_line(project: DbtProject) -> None:
    """`show -s` shows what is built, and `show --inline` predicts, in either form; what cannot be is said, and why."""
    ran = _run(project, dispatch=True)
    for name in ("verbatim", "macro", "whole", "all", "inline", "inline_verbatim", "inline_macro"):
        assert "| glad" in ran[name].output, ran[name].output
    assert "| rows: 1" in ran["inline_evaluated"].output, ran["inline_evaluated"].output
    assert "| stub" in ran["mood"].output
    assert "later is not built, and dbt show shows its table: run `dbt build -s later`" in ran["later"].output
    assert "ML_PREDICT(TABLE" in ran["compile"].output
    for name in ("dict", "csv"):
        assert "the fixture of the inference model mood needs `format: sql`" in ran[name].output


def test_show_without_the_dispatch_line(project: DbtProject) -> None:
    """Without the line, `show -s` of the macro says what to do; `--inline` shows the table, and the macro's rows."""
    ran = _run(project, dispatch=False)
    assert "| glad" in ran["inline"].output
    assert "| glad" in ran["inline_macro"].output
    for name in ("later", "macro"):
        assert "dbt show makes no predictions" in ran[name].output
    assert "dbt show --inline \"select * from {{ ref('macro') }}\"" in ran["macro"].output
    for name in ("verbatim", "inline_verbatim"):
        assert 'syntax error at or near "TABLE"' in ran[name].output
    assert "ML_PREDICT(TABLE" in ran["compile"].output
    for name in ("dict", "csv"):
        assert "Invalid column name: 'output' in unit test fixture for 'mood'" in ran[name].output


def test_macro_where_dbt_runs_the_sql(project: DbtProject) -> None:
    """In a table, a test or a snapshot, the macro says which materialization ML_PREDICT needs."""
    project.inference_model("mood", "http://127.0.0.1:9", "x", provider="stub")
    project.model("reviews", "select 1 as id, 'fine' as review")
    kinds = ("table", "view", "incremental")
    for kind in kinds:
        project.model(kind, f"{{{{ config(materialized='{kind}') }}}} {MACRO}")
    project.write("tests/glad.sql", MACRO)
    snapshot = "config(strategy='check', unique_key='id', check_cols='all')"
    project.write("snapshots/kept.sql", f"{{% snapshot kept %}}{{{{ {snapshot} }}}} {MACRO}{{% endsnapshot %}}")
    built, tested, documented = dbt_session(
        project, [["build", "--exclude", "test_type:singular"], ["test"], ["docs", "generate"]]
    )
    for kind in kinds:
        assert (
            built.message(kind)
            .split(") ")[1]
            .startswith(f"{kind}: ML_PREDICT needs materialized='ml_predict', and this model is materialized as {kind}")
        )
    assert "with materialized='ml_predict', which this snapshot can select from" in built.message("kept")
    assert "with materialized='ml_predict', which this test can select from" in tested.message("glad")
    assert documented.code == 0, documented.output
