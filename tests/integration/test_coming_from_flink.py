"""The tables of "Coming from Flink": every operation is run, and every option is built."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.dbt import REPOSITORY, DbtProject

from dbt_triton.ddl import parse_create_model
from dbt_triton.ddl.statements import OPERATIONS
from dbt_triton.errors import SqlSyntaxError
from dbt_triton.flink_options import NOT_NEEDED, RENAMED, reasons_not_needed
from dbt_triton.options import KEYS, parse_options

pytestmark = pytest.mark.duckdb_only(
    "the statements of docs/coming-from-flink.md are written for DuckDB; what they mean is in test_flink_semantics"
)

PAGE = (REPOSITORY / "docs" / "coming-from-flink.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
REQUIRED = {"provider": "stub", "endpoint": "http://h", "model-name": "m"}
#: What an option wants beside it.
BESIDE = {"sequence-start": "sequence-id", "sequence-end": "sequence-id", "sequence-id-auto-increment": "sequence-id"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


OPTIONS = {name.strip("`"): (value.strip("`"), here) for name, value, here in rows("Options")}


def test_the_tables_are_whole() -> None:
    """Every option that is accepted and not needed, or called otherwise, and every statement has its row."""
    assert {key for key in NOT_NEEDED if key != "async-enabled"} <= OPTIONS.keys()
    assert {key.replace("-", "_") for key in RENAMED} <= OPTIONS.keys() | {"capacity"}
    statements = " ".join(row[0] for row in rows("Statements about models"))
    assert {words for words in OPERATIONS if words not in statements} <= {"DROP TEMPORARY MODEL"}


@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: str) -> None:
    """Each option is taken as Flink writes it, and does what its row says: something, or nothing, or another's work."""
    value, here = OPTIONS[option]
    beside = {BESIDE[option]: OPTIONS[BESIDE[option]][0]} if option in BESIDE else {}
    without = parse_options(REQUIRED | beside, "m")
    options = parse_options(REQUIRED | beside | {option: value}, "m")
    assert ("not needed" in here) == bool(reasons_not_needed([option]))
    if "not needed" in here:
        assert options == without
    elif renamed := re.search(r"read as `([^`]+)`", here):
        seconds = "s" if option == "client_timeout" else ""
        assert options == parse_options(REQUIRED | {renamed[1]: value + seconds}, "m")
    else:
        assert option in KEYS


@pytest.mark.parametrize("row", rows("Statements about models"), ids=lambda row: row[0])
def test_statements_name_their_operation(row: list[str]) -> None:
    """Pasted into a model, each statement is an error that names what its row says."""
    for statement in re.findall(r"`([^`]+)`", row[0]):
        with pytest.raises(SqlSyntaxError) as caught:
            parse_create_model(statement)
        operation = re.search(r"dbt_triton\.\w+|dbt-triton describe|dbt build", row[1])
        assert operation
        assert operation[0] in str(caught.value) or "RENAME" in statement


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """A project with one model that has every option of Flink's, and one that predicts with it."""
    project = DbtProject(tmp_path_factory.mktemp("flink") / "project")
    sequences = {key for key in OPTIONS if key.startswith("sequence")}
    options = {key: value for key, (value, _) in OPTIONS.items() if key not in {*sequences, *REQUIRED}}
    options |= {"provider": "stub"}
    written = ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
    project.model(
        "m",
        "{{ config(materialized='inference_model') }}\n"
        f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ({written})",
    )
    project.model(
        "predicted",
        "{{ config(materialized='ml_predict', meta={'ml_predict': {'output-mode': 'ORDERED'}}) }}\n"
        "select * from ML_PREDICT(TABLE (select 'x' as a), MODEL {{ ref('m') }}, DESCRIPTOR(a), MAP['async', 'true'])",
    )
    return project


@pytest.mark.slow
def test_one_warning_for_each_model(project: DbtProject) -> None:
    """A build tells the options that are not needed in one warning a model, with the reasons, and succeeds."""
    result = project.build()
    said = [" ".join(text.split()) for text in result.printed.split("accepted, and not needed here: ")[1:]]
    assert len(said) == 2
    model, predicting = (text.split("[")[0] for text in said)
    assert {
        key for key, (_, here) in OPTIONS.items() if "not needed" in here and not key.startswith("sequence")
    } <= set(re.findall(r"[\w-]+", model))
    assert "a table has no order" in predicting
    assert "async" in predicting
    assert "health-check" not in predicting


@pytest.mark.slow
def test_operations_are_run(project: DbtProject) -> None:
    """The command of every row runs, in the order of the page, and the model is gone at the end."""
    project.build()
    for _, command, _ in rows("Statements about models"):
        name, *arguments = shlex.split(command.strip("`"))
        _, environment = project.command()
        done = subprocess.run(
            [BIN / name, *arguments],
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if "dbt build" in command:
            assert "m" in project.relations()
    assert "m" not in project.relations()


@pytest.mark.slow
@pytest.mark.parametrize("materialized", ["inference_model", "ml_predict"])
def test_a_pasted_operation(tmp_path: Path, materialized: str) -> None:
    """SHOW MODELS as the SQL of a model of either kind is one sentence with the operation."""
    project = DbtProject(tmp_path / "project")
    project.model("shown", f"{{{{ config(materialized='{materialized}') }}}}\nSHOW MODELS;")
    message = project.fails().message("shown")
    assert "run `dbt run-operation dbt_triton.show_models`" in message
    assert json.dumps(message).count("Traceback") == 0
