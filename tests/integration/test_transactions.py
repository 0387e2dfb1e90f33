"""Models build whatever state the session is in: Jinja and hooks may have begun a transaction, or ended one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.duckdb_version import duckdb_folder, python_path
from support.triton import Triton

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("Spark has no transactions")]

#: What the Jinja of a model may do before its materialization begins.
PRELUDES = {
    "nothing": "",
    "columns_in_relation": "{% set found = adapter.get_columns_in_relation(ref('t')) %}",
    "missing_columns": "{% set found = adapter.get_missing_columns(ref('t'), ref('other')) %}",
    "get_relation": "{% set found = adapter.get_relation(this.database, this.schema, 't') %}",
    "list_relations": "{% set found = list_relations_without_caching(this) if execute else [] %}",
    "schema_exists": "{% set found = adapter.check_schema_exists(this.database, this.schema) %}",
    "create_schema": "{% if execute %}{% do adapter.create_schema(api.Relation.create(database=this.database, "
    "schema='made_by_jinja')) %}{% endif %}",
    "load_relation": "{% set found = load_relation(ref('t')) %}",
    "query_columns": "{% set found = get_columns_in_query('select * from ' ~ ref('t')) if execute else [] %}",
    "run_query": "{% set found = run_query('select distinct name from ' ~ ref('t') ~ ' limit 3') %}",
    "run_query_write": "{% if execute %}{% do run_query('insert into jinja_log values (1)') %}{% endif %}",
    "run_query_commit": "{% if execute %}{% call statement('found') %}select 1{% endcall %}"
    "{% do run_query('commit') %}{% endif %}",
    "run_query_begin": "{% if execute %}{% do run_query('begin') %}{% do run_query('from t') %}{% endif %}",
    "statement": "{% call statement('found', fetch_result=True) %}select max(id) from {{ ref('t') }}{% endcall %}"
    "{% set found = load_result('found') %}",
    "statement_begin": "{% if execute %}{% call statement('found', auto_begin=False) %}begin{% endcall %}{% endif %}",
    "execute": "{% if execute %}{% set found = adapter.execute('select count(*) from ' ~ ref('t'), fetch=True) %}"
    "{% endif %}",
    "execute_begin": "{% if execute %}{% do adapter.execute('select count(*) from ' ~ ref('t'), auto_begin=True) %}"
    "{% endif %}",
    "commit": "{% if execute %}{% do run_query('select 1') %}{% do adapter.commit() %}{% endif %}",
    "macro_of_a_package": "{{ read_and_write(ref('t')) }}",
    "pre_hook": "{{ config(pre_hook='insert into hook_log values (1)') }}",
    "pre_hook_after_query": "{{ config(pre_hook='insert into hook_log values (1)') }}"
    "{% set found = run_query('select 1 from ' ~ ref('t')) %}",
    "pre_hook_outside": "{{ config(pre_hook=before_begin('insert into hook_log values (1)')) }}"
    "{% set found = adapter.get_columns_in_relation(ref('t')) %}",
    "pre_hook_commit": "{{ config(pre_hook=['insert into hook_log values (1)', 'commit']) }}",
    "post_hooks": "{{ config(post_hook=['insert into hook_log values (1)', "
    "after_commit('insert into hook_log values (1)')]) }}"
    "{% set found = adapter.get_columns_in_relation(ref('t')) %}",
    "sql_header": "{{ config(sql_header=\"set timezone = 'Asia/Tokyo'; "
    'create temporary macro shouted(x) as upper(x);") }}'
    "{% set found = adapter.get_columns_in_relation(ref('t')) %}",
}
#: How the predictions are kept, and the table made.
KINDS: dict[str, dict[str, object]] = {
    "run": {},
    "persistent": {"meta": {"ml_predict": {"cache": "persistent"}}},
    "routed": {"meta": {"ml_predict": {"cache": "off", "on-error": "null"}}},
    "incremental": {"incremental_strategy": "append"},
    "merged": {"incremental_strategy": "merge", "unique_key": "id", "meta": {"ml_predict": {"cache": "persistent"}}},
}
_PLAIN = ("run", "persistent")
_ALL_ROWS = "{{ ref('t') }}"
_NEW_ROWS = (
    "(select * from {{ ref('t') }}{% if dbt_triton.is_incremental() %}"
    " where id > (select coalesce(max(id), 0) from {{ this }}){% endif %})"
)


def _models() -> dict[str, str]:
    """Return every model by its name: each prelude with the two common kinds, and a telling one with every kind."""
    models = {}
    for prelude, jinja in PRELUDES.items():
        every_kind = prelude in {"columns_in_relation", "run_query_write", "pre_hook_after_query", "sql_header"}
        for kind, config in KINDS.items():
            if kind not in _PLAIN and not every_kind:
                continue
            settings = "".join(f", {key}={value!r}" for key, value in config.items())
            label = "shouted(label) as label" if prelude == "sql_header" else "label"
            rows = _NEW_ROWS if kind == "incremental" else _ALL_ROWS
            rows = f"(select id, shouted(name) as name from {rows})" if prelude == "sql_header" else rows
            models[f"{prelude}__{kind}"] = (
                f"{{{{ config(materialized='ml_predict'{settings}) }}}}\n{jinja}\nselect id, {label} "
                f"from ML_PREDICT(TABLE {rows}, "
                "MODEL {{ ref('names') }}, DESCRIPTOR(name))"
            )
    return models


MODELS = _models()
#: Of DuckDB; the first is the installed one.
VERSIONS = ("installed", "1.4.4")
_ON_RUN_START = [
    "create table if not exists rows_so_far (id integer, name varchar)",
    "create table if not exists hook_log (x integer)",
    "create table if not exists jinja_log (x integer)",
    (
        "insert into rows_so_far select i, 'n' || i "
        "from range({{ 10 * var('round') - 9 }}, {{ 10 * var('round') + 1 }}) r(i)"
    ),
]


@dataclass
class Builds:
    """Every model built three times, with new rows between, and a dry run."""

    project: DbtProject
    results: list[DbtResult]
    dry_run: DbtResult


@pytest.fixture(scope="module", params=VERSIONS)
def builds(
    request: pytest.FixtureRequest,
    triton: Triton,
    serve: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Builds:
    """Run the builds."""
    project = DbtProject(tmp_path_factory.mktemp("transactions") / "project")
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "on-run-start": _ON_RUN_START}
    project.write("dbt_project.yml", json.dumps(settings))
    project.write(
        "macros/read_and_write.sql",
        """
        {% macro read_and_write(relation) %}
          {%- if execute -%}
            {%- set found = run_query('select * from ' ~ relation ~ ' limit 1') -%}
            {%- do run_query('create or replace table made_by_' ~ model.name ~ ' as select 1 as x') -%}
            {%- set columns = adapter.get_columns_in_relation(relation) -%}
          {%- endif -%}
        {% endmacro %}
        """,
    )
    project.model("t", "{{ config(materialized='view') }} select * from rows_so_far")
    project.model("other", "select 1 as id")
    project.model(
        "names",
        "{{ config(materialized='inference_model', pre_hook='insert into hook_log values (1)') }}\n"
        "{% set columns = adapter.get_columns_in_relation(ref('other')) %}"
        "{% if execute %}{% do run_query('insert into jinja_log values (2)') %}{% endif %}\n"
        "CREATE MODEL names INPUT (name STRING) OUTPUT (label STRING)\n"
        f"WITH ('provider' = 'triton', 'endpoint' = '{triton.url}', 'model-name' = '{serve('upper')}')",
    )
    for name, sql in MODELS.items():
        project.model(name, sql)
    if request.param != VERSIONS[0]:
        project.environment["PYTHONPATH"] = python_path(duckdb_folder(request.param))
    results = [project.dbt("build", "--vars", f"round: {number}") for number in (1, 2, 3)]
    dry_run = project.dbt("build", "--vars", "{round: 3, dbt_triton_dry_run: true}")
    return Builds(project, results, dry_run)


@pytest.mark.parametrize("name", MODELS)
def test_builds_three_times(builds: Builds, name: str) -> None:
    """A model with this Jinja, hook or header builds each time, with a prediction for each row, new ones included."""
    assert [result.status(name) for result in builds.results] == ["success"] * 3, builds.results[-1].printed
    rows = sorted(builds.project.query(f"select distinct id, label from {name}"))
    assert rows == [(number, f"N{number}") for number in range(1, 31)]


def test_nothing_that_was_done_before_is_lost(builds: Builds) -> None:
    """What pre-hooks and Jinja wrote is there, once for each build that wrote; a dry run runs no hook."""
    assert all(result.code == 0 for result in builds.results)
    writers = [name for name in MODELS if name.startswith("run_query_write")]
    written = builds.project.query("select count(*) filter (where x = 1), count(*) filter (where x = 2) from jinja_log")
    assert written == [(4 * len(writers), 4)]
    hooked = [name for name in MODELS if name.startswith("pre_hook")]
    after = [name for name in MODELS if name.startswith("post_hooks")]
    assert builds.project.query("select count(*) from hook_log") == [(3 * (len(hooked) + 2 * len(after)) + 4,)]


def test_dry_run(builds: Builds) -> None:
    """A dry run counts, whatever the session's state."""
    assert builds.dry_run.code == 0, builds.dry_run.printed
    assert all(builds.dry_run.figures(name)["rows"] >= 10 for name in MODELS if "incremental" not in name)
