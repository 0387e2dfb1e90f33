"""What dbt does around a step on Spark: hooks, checks, docs, unit tests, commands and operations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.spark import SparkProject
from support.spark_macros import FakeSteps, model_config, steps

import dbt_triton.step

__all__ = ["steps"]
PREDICTED = model_config()
ROWS = "select 1 as id, 'glad' as mood union all select 2, 'sad'"
CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('moods') }}, DESCRIPTOR(`Review`))"
MODEL = "{{ config(materialized='inference_model') }} CREATE MODEL moods WITH ('provider' = 'triton')"


def _run(project: SparkProject, sql: str) -> None:
    project.spark.sql(sql.replace("$", f"{project.schema}."))


def _settings(project: SparkProject, *, dispatch: bool = False, **models: Any) -> None:
    order = [{"macro_namespace": "dbt", "search_order": ["shop", "dbt_triton", "dbt"]}] if dispatch else []
    settings = {"name": "shop", "version": "1.0.0", "profile": "shop", "dispatch": order}
    project.write("dbt_project.yml", json.dumps(settings | {"models": {"+file_format": "parquet"} | models}))


def test_order_of_things(spark_project: SparkProject, steps: FakeSteps) -> None:
    """Hooks, plan, predict, the table, hooks, clean-up; hooks outside of a transaction are run, too."""
    project = spark_project
    project.spark.sql(f"create schema if not exists {project.schema}")
    _run(project, "create table $done (what string) using parquet")
    insert = "insert into {{ this.schema }}.done select '%s'"
    hooks: dict[str, Any] = {
        "+pre-hook": [{"sql": insert % "before outside", "transaction": False}, insert % "before"],
        "+post-hook": [
            insert % "after" + " from {{ this }} limit 1",
            {"sql": insert % "outside", "transaction": False},
        ],
    }
    _settings(project, **hooks)
    project.model("predicted", PREDICTED + ROWS)
    steps.left["predict"] = {
        "clean_up": [f"insert into {project.schema}.done select 'clean up'"],
        "remember": {"note": "made of this", "relation": "r"},
    }
    result = project.build()
    assert steps.names == ["plan", "predict", "note"]
    done = {row[0] for row in project.query("select what from done")}
    assert done == {"before outside", "before", "after", "clean up", "outside"}
    assert result.message("predicted") == "ML_PREDICT 3 rows, 1 request, 0 retries, 0.1 s, 2 rows built"
    assert result.results["predicted"]["adapter_response"]["rows_affected"] == 2
    arguments = steps.arguments("predict")
    assert (arguments["adapter"], arguments["unique_id"]) == ("spark", "model.shop.predicted")
    assert arguments["relation"] == {"schema": project.schema, "identifier": "predicted"}
    assert arguments["file_format"] == "parquet"
    assert arguments["store"] == {"database": None, "schema": project.schema, "identifier": "predicted__ml_predictions"}
    assert steps.arguments("note")["note"] == "made of this"
    assert not [row for row in project.spark.sql("show views").collect() if "dbt_triton_result" in row["viewName"]]


def test_checks_before_a_row(spark_project: SparkProject, steps: FakeSteps) -> None:
    """A broken contract, a misspelt column and a misspelt unique_key end the run before a row is sent."""
    columns = [{"name": "id", "data_type": "bigint"}, {"name": "mood", "data_type": "string"}]
    contract = {"models": [{"name": "predicted", "config": {"contract": {"enforced": True}}, "columns": columns}]}
    spark_project.write("models/models.yml", json.dumps(contract))
    spark_project.model("predicted", PREDICTED + ROWS)
    assert "contract" in spark_project.fails().message("predicted")
    spark_project.write("models/models.yml", "")
    spark_project.model("predicted", PREDICTED + "select nonsense from (select 1 as id)")
    assert "nonsense" in spark_project.fails().message("predicted")
    spark_project.model("predicted", model_config(incremental_strategy="append", unique_key="nonsense") + ROWS)
    assert "nonsense" in spark_project.fails().message("predicted")
    assert "predict" not in steps.names


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tblproperties": {"owner": "it's"}}, "syntax"),
        ({"options": {"a b": "c"}}, "options (a b"),
        ({"file_format": "no_format"}, "no_format"),
        ({"partition_by": ["nonsense"]}, "nonsense"),
        ({"clustered_by": ["nonsense"], "buckets": 2}, "nonsense"),
        ({"grants": {"select": ["someone"]}}, "grant"),
        ({"grants": {"select": "someone"}}, "grant"),
    ],
    ids=str,
)
def test_a_table_that_cannot_be_made(
    spark_project: SparkProject, steps: FakeSteps, settings: dict[str, Any], said: str
) -> None:
    """What Spark does not take of a table's settings ends the run before a row is sent, and the old table stays."""
    spark_project.model("predicted", PREDICTED + ROWS)
    spark_project.build()
    sent = steps.names.count("predict")
    spark_project.model("predicted", model_config(**settings) + ROWS)
    assert said in spark_project.fails().message("predicted").lower()
    assert steps.names.count("predict") == sent
    assert len(spark_project.query("select * from predicted")) == 2


def test_error_of_a_step(spark_project: SparkProject, steps: FakeSteps) -> None:
    """What a step leaves as its error is what dbt says, and the table stays."""
    spark_project.model("predicted", PREDICTED + ROWS)
    spark_project.build()
    assert steps.arguments("predict")["target"]["relation"] == f"`{spark_project.schema}`.`predicted`"
    steps.left["predict"] = {"error": "it's \\ ${HOME} `no`"}
    assert "it's \\ ${HOME} `no`" in spark_project.fails().message("predicted")
    assert len(spark_project.query("select * from predicted")) == 2


def test_package_cannot_be_imported(
    spark_project: SparkProject, steps: FakeSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the Python package is not what the macros need, dbt says what to install."""
    monkeypatch.delattr(dbt_triton.step, "build_inference_model")
    spark_project.model("moods", MODEL)
    assert "run `pip install 'dbt-triton[spark]==" in spark_project.fails().message("moods")
    assert steps.calls == []


def test_literal_secret(spark_project: SparkProject, steps: FakeSteps) -> None:
    """A literal token reaches the step, and neither dbt.log nor the console nor target/run has it."""
    spark_project.model("moods", MODEL.removesuffix(")") + ", 'bearer-token' = 'not-to-be-seen')")
    spark_project.model("predicted", PREDICTED + "select id, mood from (" + ROWS + ") where '{{ ref('moods') }}' <> ''")
    steps.left["plan"] = {"needs_secrets": ["model.shop.moods"]}
    result = spark_project.build("--log-level", "debug")
    assert "not-to-be-seen" in steps.arguments("build_inference_model")["sql"]
    assert "not-to-be-seen" in steps.arguments("predict")["secrets"]["model.shop.moods"]["sql"]
    assert "On model.shop.predicted: ARGUMENTS" in result.printed
    run = [file.read_text("utf-8") for file in (spark_project.root / "target" / "run").rglob("*.sql")]
    for text in (result.printed, (spark_project.root / "logs" / "dbt.log").read_text("utf-8"), *run):
        assert "not-to-be-seen" not in text
    assert len(run) == 2


def test_sql_header(spark_project: SparkProject, steps: FakeSteps) -> None:
    """The sql_header is run once, before the plan, for all that comes after it."""
    header = "create temporary view made_by_header as select 1 as id"
    spark_project.model("predicted", model_config(sql_header=header) + "select id from made_by_header")
    spark_project.build()
    assert spark_project.query("select * from predicted") == [(1,)]
    assert steps.names == ["plan", "predict"]
    spark_project.spark.sql("drop view made_by_header")


def test_contract_and_docs(spark_project: SparkProject, steps: FakeSteps) -> None:
    """Contracts, tags, tests, comments and `dbt docs` are dbt-spark's own; an inference model says what it is."""
    described: dict[str, Any] = {
        "config": {"contract": {"enforced": True}, "persist_docs": {"relation": True}, "tags": ["nightly"]},
        "description": "Moods, it's said.",
    }
    columns = [{"name": "id", "data_type": "int"}, {"name": "mood", "data_type": "string", "data_tests": ["not_null"]}]
    models: list[dict[str, Any]] = [
        {"name": "predicted", "columns": columns} | described,
        {"name": "moods", "description": "Of reviews."},
    ]
    models[1]["config"] = {"persist_docs": {"relation": True}}
    spark_project.write("models/models.yml", json.dumps({"models": models}))
    spark_project.model("predicted", PREDICTED + ROWS)
    spark_project.model("moods", MODEL)
    spark_project.build("-s", "tag:nightly")
    spark_project.build()
    assert steps.names.count("predict") == 2
    said = {row[0]: row[1] for row in spark_project.query("describe table extended predicted")}
    assert said["Comment"] == "Moods, it's said."
    said = {row[0]: row[1] for row in spark_project.query("describe table extended moods")}
    assert said["Comment"] == "Of reviews.\n\nIt's $1"
    assert spark_project.dbt("docs", "generate").code == 0
    catalog = json.loads((spark_project.root / "target" / "catalog.json").read_text())["nodes"]
    assert list(catalog["model.shop.predicted"]["columns"]) == ["id", "mood"]


def test_commands(spark_project: SparkProject, steps: FakeSteps) -> None:
    """`--empty` and a dry run go through, `dbt show` shows the table, and what dbt cannot run is one sentence."""
    _settings(spark_project, dispatch=True)
    spark_project.model("reviews", "select 1 as id, 'fine' as Review")
    spark_project.model("moods", MODEL)
    spark_project.model("predicted", PREDICTED + "select id, mood from " + CALL)
    steps.left["plan"] = steps.left["predict"] = {"check_sql": ROWS, "build_sql": ROWS}
    assert "is not built" in spark_project.dbt("show", "-s", "predicted").printed
    spark_project.build("--empty")
    assert "limit 0" in steps.arguments("predict")["sql"]
    dry = spark_project.build("-s", "predicted", "--vars", "{dbt_triton_dry_run: true}")
    assert dry.message("predicted") == "would send 3 rows"
    assert "glad" in spark_project.dbt("show", "-s", "predicted").output
    spark_project.model("as_table", "{{ config(materialized='table') }} select * from " + CALL)
    spark_project.model(
        "by_macro",
        "{{ config(materialized='table') }} select * from "
        "{{ dbt_triton.ml_predict(ref('reviews'), ref('moods'), 'Review') }}",
    )
    assert "needs materialized='ml_predict'" in spark_project.fails("-s", "by_macro").message("by_macro")


@pytest.mark.parametrize("door", ["verbatim", "macro"])
def test_unit_tests(spark_project: SparkProject, steps: FakeSteps, door: str) -> None:
    """In a unit test the fixture of the inference model is the stub, before anything is built of the model."""
    _settings(spark_project, dispatch=door == "verbatim")
    spark_project.model("reviews", "select 1 as id, 'fine' as Review")
    spark_project.model("moods", MODEL)
    call = CALL if door == "verbatim" else "{{ dbt_triton.ml_predict(ref('reviews'), ref('moods'), 'Review') }}"
    spark_project.model("predicted", f"{PREDICTED} select id, mood, 'ML_PREDICT(\\'' as said from {call}")
    reviews = [{"id": 1, "Review": "it's fine"}, {"id": 2, "Review": "dull"}, {"id": 3, "Review": None}]
    tests = [
        {
            "name": name,
            "model": "predicted",
            "given": [
                {"input": "ref('reviews')", "rows": reviews},
                {"input": "ref('moods')", "format": "sql", "rows": rows},
            ],
            "expect": {"rows": [{"id": number, "mood": mood} for number, mood in enumerate(moods, 1)]},
        }
        for name, rows, moods in (
            ("for_all", "select 'glad' as mood", ["glad", "glad", None]),
            ("by_input", "select \"it's fine\" as review, 'glad' as mood", ["glad", None, None]),
        )
    ]
    spark_project.write("models/models.yml", json.dumps({"unit_tests": tests}))
    steps.left["plan"] = steps.left["predict"] = {"check_sql": ROWS, "build_sql": ROWS}
    spark_project.build("-s", "reviews")
    result = spark_project.build()
    assert "PASS predicted::for_all" in result.output
    assert "PASS predicted::by_input" in result.output
    tests[0]["expect"] = {"rows": [{"id": 1, "mood": "sad"}]}
    spark_project.write("models/models.yml", json.dumps({"unit_tests": tests}))
    assert "FAIL 1 predicted::for_all" in spark_project.fails("-s", "predicted").output


def test_operations(spark_project: SparkProject, steps: FakeSteps) -> None:
    """SHOW, DESCRIBE and DROP MODEL, and the two operations about predictions, do on Spark what they do on DuckDB."""

    def said(operation: str, **arguments: str) -> str:
        result = spark_project.dbt("run-operation", f"dbt_triton.{operation}", "--args", json.dumps(arguments))
        assert result.code == 0, result.printed
        return result.output

    spark_project.model("moods", MODEL)
    spark_project.model("later", MODEL.replace("moods", "later"))
    spark_project.model("predicted", PREDICTED + "select 1 as id, 'gone' as ml_error union all select 2, null")
    spark_project.build("--exclude", "later")
    assert steps.names.count("predict") == 1
    store = (
        "create table $predicted__ml_predictions using parquet partitioned by (ml_fingerprint, ml_kind) as "
        "select x'00' as ml_key, 'x' as output, {} as ml_error, 'f' as ml_fingerprint, '{}' as ml_kind"
    )
    _run(spark_project, store.format("cast(null as string)", "ok"))
    for error, kind in (("'no'", "permanent"), ("cast(null as string)", "figures")):
        _run(spark_project, f"insert into $predicted__ml_predictions select x'01', 'x', {error}, 'f', '{kind}'")
    _run(spark_project, "create table $predicted__ml_predictions_2 using parquet as select 1 as id")  # none of ours

    assert "true" in said("show_models").lower()
    assert "model_name: moods" in said("describe_model", name="moods")
    figures = [line for line in said("predictions_status").splitlines() if line.startswith("| predicted")]
    assert [cell.strip() for cell in figures[0].strip("| ").split("|")] == ["predicted", "2", "1", "1", "1", "1"]
    assert "dropped" in said("clear_predictions", name="predicted")
    assert "there are no stored predictions" in said("clear_predictions")
    assert "dropped" in said("drop_model", name="moods")
    assert spark_project.relations() == {"predicted", "predicted__ml_predictions_2"}


def test_threads(spark_project: SparkProject, steps: FakeSteps) -> None:
    """Models that are built at once share one session, and each gets its own result."""
    for number in range(4):
        spark_project.model(f"predicted_{number}", f"{PREDICTED} select {number} as id")
    spark_project.build("--threads", "4")
    for number in range(4):
        assert spark_project.query(f"select id from predicted_{number}") == [(number,)]
    assert len(steps.calls) == 8
