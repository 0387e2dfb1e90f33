"""`dbt run-operation`, on what one build with persistent predictions and a refused row has left."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.dbt import DbtProject
from support.triton import Triton

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(triton: Triton, serve: Callable[[str], str], module_project: Callable[..., DbtProject]) -> DbtProject:
    """A built project with three inference models, one of them not built, and a persistent store."""
    project = module_project()
    project.write(
        "dbt_project.yml",
        json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop", "flags": {"validate_macro_args": True}}),
    )
    project.model("reviews", "select id, review from (values (1, 'a'), (2, 'b'), (3, 'a'), (4, null)) t(id, review)")
    project.inference_model("upper", triton.url, serve("upper"), cache="persistent")
    project.inference_model("later", triton.url, "not-there")
    project.inference_model("spare", triton.url, "nothing", provider="stub")
    project.model(
        "predicted",
        "{{ config(materialized='ml_predict', alias='renamed') }} select * from "
        "{{ dbt_triton.ml_predict(ref('reviews'), ref('upper'), 'review') }}",
    )
    project.build("--exclude", "later")
    return project


def _run(project: DbtProject, macro: str, **args: str) -> str:
    done = project.dbt("run-operation", f"dbt_triton.{macro}", "--args", json.dumps(args))
    assert done.code == 0, done.printed
    return done.output


def _row(output: str, first: str) -> list[str]:
    """Return the cells of the row of a printed table that begins with a value."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in output.splitlines() if "|" in line]
    return next(row for row in rows if row[0] == first)


def test_show_models_lists_every_inference_model(project: DbtProject, triton: Triton) -> None:
    """`show_models` prints a row for each inference model, also for one that is not built."""
    output = _run(project, "show_models")
    assert _row(output, "upper")[1:3] == ["triton", triton.url]
    assert _row(output, "upper")[-1] == "True"
    assert _row(output, "later")[-1] == "False"
    # Also where the first of the models is not built.
    assert _row(output, "model")[1:] == [
        *("provider", "endpoint", "model_name", "model_version", "served_version", "checked_at", "built"),
    ]


def test_describe_model_prints_its_metadata(project: DbtProject) -> None:
    """`describe_model` prints the metadata row, a line a column; an unknown name is told the known ones."""
    output = _run(project, "describe_model", name="upper")
    assert 'input_schema: [{"name": "input", "type": "STRING"}]' in output
    assert '"cache": "persistent"' in output
    failed = project.dbt("run-operation", "dbt_triton.describe_model", "--args", "{name: uper}")
    assert failed.code != 0
    assert "no model called uper is materialized as inference_model; there are: later, spare, upper" in failed.printed
    unnamed = project.dbt("run-operation", "dbt_triton.describe_model")
    assert unnamed.code != 0
    assert "say which model: --args '{name: my_model}'" in unnamed.printed


def test_dry_run_says_what_the_store_saves(project: DbtProject) -> None:
    """With persistent predictions a dry run has nothing to send, and leaves the table and the store as they were."""
    project.model("spare_reviews", "select 5 as id, 'new' as review union all select * from {{ ref('reviews') }}")
    project.model(
        "predicted_more",
        "{{ config(materialized='ml_predict') }} select * from "
        "{{ dbt_triton.ml_predict(ref('spare_reviews'), ref('upper'), 'review') }}",
    )
    dry = project.build("--select", "spare_reviews predicted predicted_more", "--vars", "{dbt_triton_dry_run: true}")
    figures = dry.figures("predicted")
    assert (figures["rows"], figures["nulls"], figures["distinct"], figures["cached"]) == (4, 1, 2, 2)
    assert (figures["to_send"], figures["requests"], figures["bytes"]) == (0, 0, 0)
    assert dry.figures("predicted_more")["to_send"] == 3
    assert "predicted_more" not in project.relations()


def test_predictions_are_counted_and_cleared(project: DbtProject) -> None:
    """`predictions_status` counts rows and stored predictions; `clear_predictions` drops the stores, and says so."""
    assert _row(_run(project, "predictions_status"), "predicted") == ["predicted", "4", "0", "2", "0", "1"]
    assert "dropped" in _run(project, "clear_predictions", name="predicted")
    assert "renamed__ml_predictions" not in project.relations()
    assert "renamed" in project.relations()


def test_drop_model_drops_the_table_of_the_inference_model(project: DbtProject) -> None:
    """`drop_model` drops the metadata table of one inference model."""
    assert "spare" in project.relations()
    assert "dropped" in _run(project, "drop_model", name="spare")
    assert "spare" not in project.relations()


def test_documented_arguments_are_those_of_the_macros(project: DbtProject) -> None:
    """With dbt's validate_macro_args, the package's own macro documentation gives no warning."""
    parsed = project.dbt("--warn-error", "parse", "--no-partial-parse")
    assert parsed.code == 0, parsed.printed
