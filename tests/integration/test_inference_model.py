"""What an inference model becomes, and what is said when it does not fit the server: two builds."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import RecordingProxy
from support.triton import Triton

from dbt_triton import __version__
from dbt_triton.server import free_port

pytestmark = pytest.mark.duckdb_only("what CREATE MODEL asks the server and says of it is the same on each warehouse")

CONFIG = "{{ config(materialized='inference_model') }}\n"


@dataclass
class Served:
    """The builds of this file."""

    project: DbtProject
    good: DbtResult
    bad: DbtResult
    url: str
    down: str
    upper: str
    arithmetic: str
    versioned: str
    unasked: RecordingProxy


@pytest.fixture(scope="module")
def served(
    triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Served, None, None]:
    """Build models that fit, and then models that do not."""
    upper, arithmetic, versioned, sequence = (
        serve(kind) for kind in ("upper", "arithmetic", "versioned", "running_total")
    )
    url, down = triton.url, f"http://127.0.0.1:{free_port()}"
    project = DbtProject(tmp_path_factory.mktemp("models") / "project")

    def raw(name: str, schema: str, options: str, called: str | None = None) -> None:
        project.model(name, f"{CONFIG}CREATE MODEL {called or name} {schema} WITH ({options})")

    def options(model: str, *more: str, endpoint: str = url) -> str:
        return ", ".join([f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = '{model}'", *more])

    text = "INPUT (`input` STRING) OUTPUT (`output` STRING)"
    with RecordingProxy(url) as unasked:
        project.model(
            "described",
            CONFIG + "-- a comment with ML_PREDICT\nCREATE OR REPLACE TEMPORARY MODEL IF NOT EXISTS described\n"
            "INPUT (`input` STRING COMMENT 'the text')\nOUTPUT (`output` STRING)\nCOMMENT 'Shouts'\n"
            f"WITH ({options(versioned)});",
        )
        project.model("description", "select * from {{ ref('described') }}")
        raw("unasked", text, options("no-such-model", "'preflight' = 'false'", endpoint=unasked.url))
        raw(
            "arithmetic",
            "INPUT (QUANTITY BIGINT, price DOUBLE) OUTPUT (is_large BOOLEAN, total DOUBLE)",
            options(arithmetic),
        )
        project.model(
            "aliased",
            CONFIG.replace(")", ", alias='other_name')", 1) + f"CREATE MODEL other_name {text} WITH ({options(upper)})",
        )
        good = project.build()

        raw(
            "mismatched", "INPUT (price STRING, amount INT) OUTPUT (total FLOAT, is_large BOOLEAN)", options(arithmetic)
        )
        raw("no_server", text, options(upper, "'max-retries' = '1'", endpoint=down))
        raw("no_model", text, options("no-such-model"))
        raw("no_version", text, options(upper, "'model-version' = '7'"))
        raw("large_batch", text, options(upper, "'batch-size' = '257'"))
        raw("no_sequence", "INPUT (amount BIGINT) OUTPUT (total BIGINT)", options(sequence))
        raw(
            "wrong_options",
            text,
            options(
                upper, "'batchsize' = '8'", "'timeout' = 'soon'", "'priority' = '999'", "'sequence-start' = 'true'"
            ),
        )
        raw("escaped_name", text, options("a%2Fb"))
        raw("misnamed", text, options(upper), called="another")
        project.model("syntax", f"{CONFIG}CREATE MODEL syntax\nINPUT (`input` STRING)\nOUTPUT `output` STRING\nWITH ()")
        bad = project.fails()
        yield Served(project, good, bad, url, down, upper, arithmetic, versioned, unasked)


@pytest.mark.slow
def test_select_describes_the_model(served: Served) -> None:
    """The row of an inference model says what was declared and what the server said; a select is DESCRIBE MODEL."""
    columns = [row[0] for row in served.project.query("describe description")]
    row = dict(zip(columns, served.project.query("from description")[0], strict=True))
    assert row["name"] == "described"
    assert row["provider"] == "triton"
    assert row["endpoint"] == served.url
    assert row["model_name"] == served.versioned
    assert row["model_version"] == "latest"
    assert row["served_version"] == "2"
    assert row["comment"] == "Shouts"
    assert row["max_batch_size"] == 8
    assert row["server_version"] == "2.51.0"
    assert row["dbt_triton_version"] == __version__
    assert row["checked_at"] is not None
    assert row["fingerprint"]
    assert json.loads(row["input_schema"]) == [{"name": "input", "type": "STRING"}]
    assert json.loads(row["output_schema"]) == [{"name": "output", "type": "STRING"}]
    assert json.loads(row["served_inputs"])[0]["name"] == "INPUT_TEXT"
    assert json.loads(row["options"])["max-retries"] == 3
    assert "CREATE MODEL described, version 2 of Triton 2.51.0" in served.good.output


def test_no_preflight_asks_nobody(served: Served) -> None:
    """'preflight' = 'false' builds the row without asking the server, even for a model that it does not serve."""
    assert served.good.status("unasked") == "success"
    assert served.unasked.exchanges == []
    assert served.unasked.connections == 0
    assert served.project.query("select served_inputs, fingerprint, checked_at from unasked") == [(None, None, None)]


def test_columns_bind_by_name(served: Served) -> None:
    """Columns find their tensors by name, whatever the case and the order; an alias may name the model."""
    assert served.good.status("arithmetic") == "success"
    assert served.project.query("select name from other_name") == [("other_name",)]


def test_declared_versus_served(served: Served) -> None:
    """A schema that does not fit is refused with every difference: what is declared and what is served."""
    said = served.bad.message("mismatched")
    assert "INPUT column price is declared STRING (BYTES), but the server's PRICE is FP64[-1, 1]" in said
    assert "INPUT column amount: the model has no tensor amount" in said
    assert "OUTPUT column total is declared FLOAT (FP32), but the server's TOTAL is FP64[-1, 1]" in said
    assert "QUANTITY INT64[-1, 1]" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_server", ["cannot connect to Triton at {down}"]),
        ("no_model", ["Request for unknown model: 'no-such-model' is not found"]),
        ("no_version", ["'{upper}'", "version 7 is not found"]),
        ("large_batch", ["batch-size is 257", "max_batch_size 256"]),
        ("no_sequence", ["needs a sequence-id"]),
        (
            "wrong_options",
            ["batchsize; did you mean batch-size?", "timeout: write a duration", "priority:", "sequence-start needs"],
        ),
        ("escaped_name", ["model-name", "does not decode %-escapes"]),
        ("misnamed", ["CREATE MODEL names it another, but its file is misnamed.sql"]),
        ("syntax", ["line 4", "expected ( and the columns, found '`output`'"]),
    ],
)
def test_error_says_what_is_wrong(served: Served, name: str, words: list[str]) -> None:
    """What is wrong is said in one message without a traceback: the model, the server's own words, all problems."""
    said = served.bad.message(name)
    for word in words:
        assert word.format(down=served.down, upper=served.upper) in said, said
    assert name in said
    assert "Traceback" not in said
    assert "Traceback" not in served.bad.output


def test_one_bad_model_spoils_no_other(served: Served) -> None:
    """Models that fit are built beside those that do not."""
    assert served.bad.status("described") == "success"
    assert served.bad.status("arithmetic") == "success"
