"""dbt's model versions, of inference models and of predicting models: what a name means, and what lists show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.dbt import DbtProject, DbtResult
from support.dbt_session import dbt_session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("which model a name means is found in dbt's graph, without a warehouse"),
]

CREATE = """{{{{ config(materialized='inference_model') }}}}
CREATE MODEL {name} INPUT (text STRING) OUTPUT (mood STRING)
WITH ('provider' = 'stub', 'stub.mood' = '{mood}', 'timeout' = '{timeout}')"""
PREDICT = (
    "{{{{ config(materialized='ml_predict') }}}} select id, mood from "
    "ML_PREDICT(TABLE {{{{ ref('reviews') }}}}, MODEL {{{{ ref('mood'{version}) }}}}, DESCRIPTOR(review))"
)
#: The latest version is neither the highest, nor the first, nor the last of them.
VERSIONS = {
    "models": [
        {
            "name": "mood",
            "latest_version": 2,
            "versions": [{"v": 1}, {"v": 2, "config": {"alias": "mood"}}, {"v": 3, "defined_in": "new_mood"}],
        },
        {"name": "judged", "latest_version": 1, "versions": [{"v": 1}, {"v": 2}]},
    ]
}


@pytest.fixture
def project(project: DbtProject) -> DbtProject:
    """A project with three versions of an inference model, each called in another way, and two of a predicting one."""
    project.write(
        "dbt_project.yml",
        json.dumps(
            {"name": "shop", "version": "1.0.0", "profile": "shop", "flags": {"send_anonymous_usage_stats": False}}
        ),
    )
    project.model("reviews", "select 1 as id, 'fine' as review")
    project.model("mood_v1", CREATE.format(name="mood_v1", mood="one", timeout="1s"))
    project.model("mood_v2", CREATE.format(name="Mood", mood="two", timeout="2s"))
    project.model("new_mood", CREATE.format(name="new_mood", mood="three", timeout="3s"))
    project.model("judged_v1", PREDICT.format(version=""))
    project.model("judged_v2", PREDICT.format(version=", v=3"))
    project.write("models/models.yml", json.dumps(VERSIONS))
    return project


def _operation(macro: str, **args: object) -> tuple[str, ...]:
    return ("run-operation", f"dbt_triton.{macro}", "--args", json.dumps(args))


def _cells(output: str) -> list[str]:
    return [line.split("|")[1].strip() for line in output.splitlines() if line.startswith("|") and "---" not in line]


def test_a_name_means_the_latest_version(project: DbtProject) -> None:
    """`m` is the latest version, as `ref` has it, `m.v1` and `m_v1` are version 1, and lists show the versions."""
    names = ["mood", "MOOD", "mood.v1", "mood_v1", "mood.v3", "mood_v3"]
    describing = [_operation("describe_model", name=name) for name in names]
    dropping = [_operation("drop_model", name=name) for name in ("mood", "mood_v3", "mood.v4")]
    ran = dbt_session(
        project,
        [("build",), _operation("show_models"), *describing, _operation("predictions_status"),
         _operation("predictions_status", name="judged"), _operation("clear_predictions", name="judged.v2"), *dropping],
    )  # fmt: skip
    built, shown, rest = ran[0], ran[1], ran[2:]
    assert built.code == 0, built.printed
    assert project.query("select mood from judged_v1 union all select mood from judged_v2") == [("two",), ("three",)]
    assert _cells(shown.output) == ["model", "mood.v1", "mood.v2", "mood.v3"]
    seconds = [_timeout(described) for described in rest[: len(names)]]
    assert seconds == [2, 2, 1, 1, 3, 3]
    status, of_one, cleared, *dropped = rest[len(names) :]
    assert _cells(status.output) == ["model", "judged.v1", "judged.v2"]
    assert _cells(of_one.output) == ["model", "judged.v1"]
    assert cleared.code == 0, cleared.output
    assert "there are: mood.v1, mood.v2, mood.v3" in dropped[2].output
    assert project.relations() == {"reviews", "mood_v1", "judged_v1", "judged_v2"}


def _timeout(described: DbtResult) -> float:
    assert described.code == 0, described.output
    line = next(line for line in described.output.splitlines() if line.startswith("options: "))
    return float(json.loads(line.removeprefix("options: "))["timeout"]) / 1000


def test_check_and_describe_know_versions(project: DbtProject) -> None:
    """`dbt-triton check` lists every version, and `describe` takes the names that the operations take."""

    def dbt_triton(*arguments: str) -> str:
        command, environment = Path(sys.executable).parent / "dbt-triton", project.command()[1]
        done = subprocess.run(
            [command, *arguments],
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    assert [line.split()[0] for line in dbt_triton("check").splitlines()[1:4]] == ["mood.v1", "mood.v2", "mood.v3"]
    for name, said in {"mood": "two", "Mood.V1": "one", "mood_v3": "three"}.items():
        assert f'"stub.mood": ["{said}"]' in dbt_triton("describe", name)


def test_create_model_of_another_name(project: DbtProject) -> None:
    """A version's CREATE MODEL is called as the model, the version, the file or the alias; another name is an error."""
    project.model("mood_v1", CREATE.format(name="mood_v2", mood="one", timeout="1s"))
    failed = project.fails("--select", "mood.v1")
    assert "names it mood_v2, but its file is mood_v1.sql; write mood or mood_v1 or mood.v1" in failed.message("mood")
