"""What dbt-duckdb's own table has, on both materializations, against the real server: one build, and the docs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult
from support.dbt_session import dbt_session
from support.triton import Triton

from dbt_triton.inference_model.row import COLUMNS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("it is about what dbt-duckdb's table has; tests/spark/test_macros.py is about dbt-spark's"),
]

MODELS: dict[str, Any] = {
    "models": [
        {
            "name": "upper",
            "description": "It shouts; that's all.",
            "config": {
                "contract": {"enforced": True},
                "persist_docs": {"relation": True, "columns": True},
                "tags": ["inference"],
                "schema": "ml",
                "alias": "shouting",
                "grants": {"select": ["somebody"]},
                "post_hook": "create or replace table {{ this.schema }}.after_upper as select * from {{ this }}",
            },
            "columns": [
                {"name": name, "data_type": kind.name.lower(), "description": f"The {name}."}
                for name, kind in COLUMNS.items()
            ],
        },
        {
            "name": "predicted",
            "description": "Loud reviews.",
            "config": {
                "contract": {"enforced": True},
                "persist_docs": {"relation": True, "columns": True},
                "tags": ["loud"],
                "schema": "ml",
                "alias": "loud reviews",
                "grants": {"select": ["somebody"]},
                "indexes": [{"columns": ["id"], "unique": True}],
                "pre_hook": "create or replace table {{ target.schema }}.hooks (said varchar)",
                "post_hook": [
                    "insert into {{ target.schema }}.hooks values ('inside')",
                    {"sql": "insert into {{ target.schema }}.hooks values ('outside')", "transaction": False},
                ],
            },
            "columns": [
                {"name": "id", "data_type": "integer", "constraints": [{"type": "not_null"}]},
                {"name": "loud", "data_type": "varchar", "description": "In capitals.", "data_tests": ["not_null"]},
            ],
        },
        {
            "name": "wrong",
            "config": {"contract": {"enforced": True}},
            "columns": [{"name": "id", "data_type": "bigint"}, {"name": "output", "data_type": "integer"}],
        },
    ],
    "exposures": [
        {"name": "dashboard", "type": "dashboard", "owner": {"name": "us"}, "depends_on": ["ref('predicted')"]}
    ],
}


TOKEN = "top-secret"  # noqa: S105 - of nothing


def _predict(model: str, column: str) -> str:
    call = f"ML_PREDICT(TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('{model}') }}}}, DESCRIPTOR(review))"
    return f"{{{{ config(materialized='ml_predict') }}}} select id, {column} from {call}"


@dataclass
class Docs:
    """A built project with its docs."""

    project: DbtProject
    build: DbtResult
    manifest: dict[str, Any]
    catalog: dict[str, Any]
    served_name: str
    requests_for_wrong: int


@pytest.fixture(scope="module")
def docs(triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Docs:
    """Build everything, and generate the docs; one model breaks its contract."""
    upper, unasked = serve("upper"), serve("upper")
    project = DbtProject(tmp_path_factory.mktemp("features") / "project")
    project.model("reviews", "select id, review from (values (1, 'fine'), (2, 'dull')) t(id, review)")
    project.inference_model("upper", triton.url, upper, auth_token=TOKEN)
    project.inference_model("unasked", triton.url, unasked)
    project.model("predicted", _predict("upper", "output as loud"))
    project.model("wrong", _predict("unasked", "output"))
    project.model("after", "select * from {{ ref('predicted') }}")
    project.write("models/models.yml", json.dumps(MODELS))
    build, generated = dbt_session(project, [["build"], ["docs", "generate"]])
    assert generated.code == 0, generated.printed
    target = project.root / "target"
    manifest, catalog = (json.loads((target / f"{name}.json").read_text()) for name in ("manifest", "catalog"))
    return Docs(project, build, manifest, catalog, upper, triton.counters(unasked).requests)


def test_alias_and_custom_schema_are_found(docs: Docs) -> None:
    """Both kinds of model take an alias and a schema; the predicting model finds its inference model there."""
    assert docs.build.status("predicted") == "success", docs.build.printed
    assert docs.project.query('select id, loud from main_ml."loud reviews" order by id') == [(1, "FINE"), (2, "DULL")]
    assert docs.project.query("select name from main_ml.shouting") == [("upper",)]


def test_contracts_are_enforced_before_a_row_is_sent(docs: Docs) -> None:
    """An enforced contract makes the declared columns and constraints; one that is broken fails and costs nothing."""
    constraints = docs.project.query(
        "select column_name, is_nullable from information_schema.columns where table_name = 'loud reviews' order by 1"
    )
    assert constraints == [("id", "NO"), ("loud", "YES")]
    said = docs.build.message("wrong")
    assert "This model has an enforced contract that failed" in said
    assert docs.requests_for_wrong == 0


def test_descriptions_are_persisted_with_what_is_served(docs: Docs) -> None:
    """`persist_docs` keeps descriptions; an inference model's table also says what is declared, served and set."""
    comments = dict(docs.project.query("select table_name, comment from duckdb_tables()"))
    assert comments["loud reviews"] == "Loud reviews."
    said = comments["shouting"]
    assert said.startswith("It shouts; that's all.\n\nInference model upper: ")
    assert "INPUT (input STRING) OUTPUT (output STRING)" in said
    assert "inputs INPUT_TEXT BYTES[-1, 1]; outputs OUTPUT_TEXT BYTES[-1, 1]" in said
    assert '"timeout": 30000' in said
    assert TOKEN not in said
    columns = dict(docs.project.query("select column_name, comment from duckdb_columns() where comment is not null"))
    assert columns["loud"] == "In capitals."
    assert columns["served_inputs"] == "The served_inputs."


def test_hooks_indexes_and_grants_are_as_of_a_table(docs: Docs) -> None:
    """Hooks run in dbt's order, indexes are there, and grants give dbt-duckdb's own warning."""
    assert [row[0] for row in docs.project.query("select said from main.hooks")] == ["inside", "outside"]
    assert docs.project.query("select is_unique from duckdb_indexes() where table_name = 'loud reviews'") == [(True,)]
    assert "Grants for relations are not supported by DuckDB" in docs.build.output


def test_docs_show_options_served_schema_and_lineage(docs: Docs) -> None:
    """The manifest has the statement and the lineage to the exposure; the catalog has the served schema and columns."""
    nodes, catalog = docs.manifest["nodes"], docs.catalog["nodes"]
    assert set(nodes["model.shop.predicted"]["depends_on"]["nodes"]) == {"model.shop.reviews", "model.shop.upper"}
    assert "model.shop.predicted" in docs.manifest["exposures"]["exposure.shop.dashboard"]["depends_on"]["nodes"]
    assert nodes["model.shop.upper"]["tags"] == ["inference"]
    assert "'model-name'" in nodes["model.shop.upper"]["compiled_code"]
    described = catalog["model.shop.upper"]
    assert docs.served_name in described["metadata"]["comment"]
    assert list(described["columns"])[:3] == ["name", "provider", "endpoint"]
    assert list(catalog["model.shop.predicted"]["columns"]) == ["id", "loud"]
    assert catalog["model.shop.unasked"]["metadata"]["comment"].startswith("Inference model unasked: ")


def test_options_among_the_configs_are_told(project: DbtProject) -> None:
    """An option that is written as a dbt config, where nobody reads it, is a warning that says where it belongs."""
    project.model("reviews", "select 1 as id, 'fine' as review")
    project.model(
        "stubbed",
        "{{ config(materialized='inference_model', timeout='5s') }}\nCREATE MODEL stubbed INPUT (input STRING) "
        "OUTPUT (output STRING) WITH ('provider' = 'stub', 'endpoint' = 'http://127.0.0.1:9', 'model-name' = 'm')",
    )
    project.model("predicted", _predict("stubbed", "output").replace("'ml_predict'", "'ml_predict', on_error='null'"))
    printed = " ".join(project.build().printed.split())
    assert "stubbed: the config timeout is not read; the option timeout belongs into WITH (…)" in printed
    assert "predicted: the config on_error is not read; the option on-error belongs into MAP[…] of the call" in printed
    assert printed.count("is not read") == 2
