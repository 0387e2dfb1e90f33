"""Every dbt command on projects with our models, with the stub: no server runs in this file."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.dbt import DbtProject, DbtResult
from support.dbt_session import dbt_session

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("tests/spark/test_macros.py has dbt's commands on Spark")]

REVIEWS = """
    {{ config(materialized='table', event_time='day') }}
    select * from (values (1, 'fine', timestamp '2026-01-01'), (2, 'dull', timestamp '2026-01-02')) t(id, review, day)
"""
MOOD = """
    {{ config(materialized='inference_model', tags=['inference']) }}
    CREATE MODEL mood INPUT (text STRING) OUTPUT (mood STRING)
    WITH ('provider' = 'stub', 'endpoint' = '{{ env_var("TRITON_URL", "http://a") }}', 'stub.mood' = '["glad", "sad"]')
"""
YAML = {
    "models": [
        {
            "name": "yaml_mood",
            "config": {
                "materialized": "inference_model",
                "meta": {
                    "inference_model": {
                        "input": {"text": "STRING"},
                        "output": {"mood": "STRING"},
                        "provider": "stub",
                        "endpoint": "{{ env_var('TRITON_URL', 'http://a') }}",
                    }
                },
            },
        }
    ],
    "exposures": [
        {"name": "dashboard", "type": "dashboard", "owner": {"name": "us"}, "depends_on": ["ref('predicted')"]}
    ],
}
SNAPSHOT = {
    "snapshots": [
        {
            "name": "moods_over_time",
            "relation": "ref('predicted')",
            "config": {"unique_key": "id", "strategy": "check", "check_cols": ["mood"]},
        }
    ]
}
SELECTORS = {"selectors": [{"name": "inference", "definition": "config.materialized:inference_model"}]}


def _predict(model: str) -> str:
    call = f"ML_PREDICT(TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('{model}') }}}}, DESCRIPTOR(review))"
    return f"{{{{ config(materialized='ml_predict') }}}} select * from {call}"


def _project(root: Path) -> DbtProject:
    project = DbtProject(root)
    outputs = {
        name: {"type": "duckdb", "threads": 4, "path": str(project.database), "schema": name}
        for name in ("dev", "prod")
    }
    project.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": outputs}}))
    project.model("reviews", REVIEWS)
    project.model("mood", MOOD)
    project.model("yaml_mood", "{{ dbt_triton.create_model() }}")
    project.model("predicted", _predict("mood"))
    project.model("by_yaml", _predict("yaml_mood"))
    project.model("after", "select mood, count(*) as n from {{ ref('predicted') }} group by mood")
    project.write("models/models.yml", json.dumps(YAML))
    project.write("snapshots/snapshots.yml", json.dumps(SNAPSHOT))
    project.write("selectors.yml", json.dumps(SELECTORS))
    return project


@dataclass
class Ran:
    """What each command left, by a name of ours, and the rows of a few relations after them."""

    project: DbtProject
    results: dict[str, DbtResult] = field(default_factory=dict)
    rows: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)

    def run(self, commands: dict[str, list[str]], **environment: str) -> None:
        """Run commands in one process."""
        self.results |= dict(
            zip(commands, dbt_session(self.project, list(commands.values()), **environment), strict=True)
        )

    def listed(self, name: str) -> set[str]:
        """Return the names that `dbt ls` printed."""
        lines = self.results[name].output.splitlines()
        return {line.rsplit(".", maxsplit=1)[-1] for line in lines if line.startswith("shop.") and " " not in line}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Build prod, keep its state, and then run every other command on dev."""
    project = _project(tmp_path_factory.mktemp("commands") / "project")
    ran = Ran(project)
    ran.run({"prod": ["build", "--target", "prod"]})
    state = str(project.root / "state")
    shutil.copytree(project.root / "target", state)
    ran.run(
        {
            "parse": ["parse"],
            "compile": ["compile", "--select", "predicted"],
            "show": ["show", "--select", "predicted"],
            "inline": ["show", "--inline", "select * from {{ ref('predicted') }}", "--target", "prod"],
            "defer": ["run", "--select", "predicted by_yaml", "--defer", "--state", state],
            "unbuilt": ["run", "--select", "predicted"],
            "clone": ["clone", "--state", state, "--select", "mood predicted"],
            "after_clone": ["run", "--select", "reviews predicted"],
            "selector": ["ls", "--selector", "inference"],
            "exposure": ["ls", "--select", "+exposure:dashboard"],
            "unchanged": ["ls", "--select", "state:modified", "--state", state],
        }
    )
    ran.rows["dev"] = project.query("select id, mood from dev.predicted order by id")
    ran.run({"environment": ["ls", "--select", "state:modified", "--state", state]}, TRITON_URL="http://b")
    project.model("mood", MOOD.replace('"sad"', '"sour"'))
    project.write(
        "models/models.yml", json.dumps(YAML).replace('"provider": "stub"', '"provider": "stub", "timeout": 5')
    )
    ran.run(
        {
            "modified": ["ls", "--select", "state:modified", "--state", state],
            "downstream": ["ls", "--select", "state:modified+", "--state", state],
            "empty": ["build", "--empty"],
        }
    )
    ran.rows["empty"] = project.query("select column_name, column_type from (describe dev.predicted)")
    ran.rows["nothing"] = project.query("select count(*) from dev.predicted union all select count(*) from dev.mood")
    ran.run(
        {"sample": ["run", "--select", "reviews predicted", "--sample", "{'start': '2026-01-02', 'end': '2026-01-03'}"]}
    )
    ran.rows["sample"] = project.query("select id from dev.predicted")
    project.model("reviews", REVIEWS.replace("'fine'", "error('broken')"))
    ran.run({"broken": ["build"]})
    project.model("reviews", REVIEWS)
    ran.run({"retry": ["retry"]})
    ran.rows["retry"] = project.query("select id, mood from dev.moods_over_time where dbt_valid_to is null order by id")
    return ran


def _ok(ran: Ran, *names: str) -> None:
    for name in names:
        assert ran.results[name].code == 0, f"{name}: {ran.results[name].printed}"


def test_build_with_a_snapshot_downstream(ran: Ran) -> None:
    """`dbt build` runs inference models, predicting models and a snapshot of one, in the order of the DAG."""
    _ok(ran, "prod")
    assert {item["status"] for item in ran.results["prod"].results.values()} == {"success", "no-op"}
    assert ran.results["prod"].status("dashboard") == "no-op"


def test_parse_and_compile_need_nothing_built(ran: Ran) -> None:
    """`dbt parse` and `dbt compile` work; the compiled text is the statement with the relations in it."""
    _ok(ran, "parse", "compile")
    assert 'MODEL "warehouse"."dev"."mood"' in ran.results["compile"].output


def test_show_cannot_run_ml_predict_but_shows_what_is_built(ran: Ran) -> None:
    """`dbt show -s` needs the dispatch line (without it DuckDB cannot read the SQL); `--inline` always works."""
    assert "Parser Error" in ran.results["show"].output
    _ok(ran, "inline")
    assert "| fine" in ran.results["inline"].output


def test_defer_takes_the_inference_model_of_the_other_environment(ran: Ran) -> None:
    """With `--defer --state` neither the inference model nor the input is built in dev; without, it is said so."""
    _ok(ran, "defer")
    assert ran.results["defer"].status("by_yaml") == "success"
    assert "run `dbt build -s mood`, or use --defer" in ran.results["unbuilt"].message("predicted")


def test_clone_is_a_view_that_the_next_run_replaces(ran: Ran) -> None:
    """`dbt clone` makes views on DuckDB; a predicting model reads a cloned inference model and replaces its own."""
    _ok(ran, "clone", "after_clone")
    assert [row[0] for row in ran.rows["dev"]] == [1, 2]


def test_selectors_see_the_materialization_and_the_lineage(ran: Ran) -> None:
    """Selectors by config work, and an exposure's ancestors are the predicting model, its inference model and input."""
    assert ran.listed("selector") == {"mood", "yaml_mood"}
    assert {"mood", "predicted", "reviews"} <= ran.listed("exposure")
    assert "by_yaml" not in ran.listed("exposure")


def test_state_modified_sees_an_option_changed_in_either_door(ran: Ran) -> None:
    """A changed option is a modified inference model; `state:modified+` adds the models that predict with it."""
    assert ran.listed("unchanged") == set()
    assert ran.listed("modified") == {"mood", "yaml_mood"}
    assert ran.listed("downstream") >= {"mood", "yaml_mood", "predicted", "by_yaml", "after"}


def test_state_modified_sees_a_changed_environment_in_yaml_only(ran: Ran) -> None:
    """A changed env_var counts where YAML defines the model; dbt compares the raw text of SQL."""
    assert ran.listed("environment") == {"yaml_mood"}


def test_empty_builds_the_columns_and_sends_nothing(ran: Ran) -> None:
    """`--empty` makes predicting models of no rows with the right columns and types; inference models are whole."""
    _ok(ran, "empty")
    assert ran.rows["empty"] == [("id", "INTEGER"), ("review", "VARCHAR"), ("day", "TIMESTAMP"), ("mood", "VARCHAR")]
    assert ran.rows["nothing"] == [(0,), (1,)]


def test_sample_of_dbt_limits_the_input_by_event_time(ran: Ran) -> None:
    """The `--sample` of dbt works on inputs that have an event_time."""
    _ok(ran, "sample")
    assert ran.rows["sample"] == [(2,)]


def test_retry_goes_on_after_a_failure(ran: Ran) -> None:
    """`dbt retry` runs what failed and what was skipped for it."""
    assert ran.results["broken"].status("reviews") == "error"
    _ok(ran, "retry")
    assert ran.results["retry"].status("predicted") == "success"
    assert [row[0] for row in ran.rows["retry"]] == [1, 2]
