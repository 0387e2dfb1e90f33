"""`dbt-triton predict` with a real Triton: a model of a real dbt project, and one of the server without any project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.dbt import DbtProject
from support.llms import Served, serving_llms, vllm
from support.proxy import RecordingProxy
from support.triton import Triton

from dbt_triton.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb_only("it opens no warehouse; a project on Spark is one of these tests"),
]
TOKEN = "literal-token-of-predict-1234"  # noqa: S105 - a test looks for it
#: Runs several commands in one process, since importing dbt takes most of their time.
_DRIVER = """
import contextlib, io, json, sys
from dbt_triton.cli import main
for command in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["predict", *command])
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
Said = tuple[int, str, str]
#: Three rows, of which the last has nothing to send; one that the table has a prediction for.
SHOWN = """
select id, output from {{ dbt_triton.ml_predict(
  "(select * from (values (1, 'fine'), (2, 'loud'), (3, null)) as v(id, review))", ref('mood'), 'review'
) }} where id > 1 order by id
"""


def _predict(project: DbtProject, *commands: list[str], **environment: str) -> list[Said]:
    """Run commands, and return what each said."""
    _, variables = project.command()
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=json.dumps(commands),
        cwd=project.root,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def _write(project: DbtProject, url: str, model: str) -> None:
    project.inference_model("mood", url, model, auth_token=TOKEN, cache="persistent")
    definition = {
        "input": {"review": "STRING"},
        "output": {"output": "STRING"},
        "provider": "triton",
        "endpoint": "http://127.0.0.1:9",
        "model-name": model,
        "max-retries": 0,
        "custom-headers": {"X-Team": TOKEN},
    }
    config = {"materialized": "inference_model", "alias": "feeling", "meta": {"inference_model": definition}}
    versions = [{"v": 1}, {"v": 2}]
    versioned = {
        "name": "judge",
        "latest_version": 2,
        "versions": versions,
        "config": {"materialized": "inference_model"},
    }
    project.write("models/models.yml", json.dumps({"models": [{"name": "by_yaml", "config": config}, versioned]}))
    project.model("by_yaml", "{{ dbt_triton.create_model() }}")
    for version in (1, 2):
        project.model(
            f"judge_v{version}",
            f"CREATE MODEL judge INPUT (t STRING) OUTPUT (said STRING) "
            f"WITH ('provider' = 'stub', 'stub.said' = '[\"v{version}\"]')",
        )
    project.model("reviews", "select 1 as id, 'fine' as review")
    call = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('mood') }}, DESCRIPTOR(review))"
    project.model("moods", f"{{{{ config(materialized='ml_predict') }}}} select * from {call}")
    project.write("data.csv", "id,review\n1,fine\n2,RAISE it\n3,\n")


@pytest.fixture(scope="module")
def upper(serve: Callable[[str], str]) -> str:
    """A model that answers in upper case."""
    return serve("upper")


def test_models_of_a_project(project: DbtProject, triton: Triton, upper: str, proxy: RecordingProxy) -> None:
    """A model of either door is asked with its own options and secrets, though another process has the warehouse.

    Nothing is built, and the stored predictions of a table are neither read nor changed; `dbt show --inline` changes
    nothing, either.
    """
    _write(project, triton.url, upper)
    project.build("-s", "reviews", "mood", "moods")
    before = project.stored()
    shown = project.dbt("show", "--inline", SHOWN, "--output", "json")
    assert shown.code == 0, shown.printed
    assert json.loads(shown.output[shown.output.index("{") :])["show"] == [
        {"id": 2, "output": "LOUD"},
        {"id": 3, "output": None},
    ]
    assert TOKEN not in shown.printed
    assert project.stored() == before
    asked = triton.counters(upper)
    at_proxy = json.dumps({"dbt_triton_endpoint": proxy.url})
    with closing(duckdb.connect(str(project.database))):
        said = _predict(
            project,
            ["mood", "fine", "a = b", "--format", "json"],
            ["MOOD", "input=fine", "--vars", at_proxy],
            ["feeling", "-", "--endpoint", proxy.url],
            ["by_yaml", "--file", "data.csv", "--endpoint", proxy.url, "--format", "csv"],
            ["judge", "x", "--format", "jsonl"],
            ["judge.v1", "x", "--format", "jsonl"],
            ["by_yaml", "x"],
            ["moods", "x"],
            ["mod", "x"],
            ["mood", "x", "--vars", "{dbt_triton_provider: stub}", "--format", "json"],
        )
    mood, by_vars, stdin, by_file, latest, first, away, predicting, misspelt, stub = said
    assert mood[0] == 0
    assert json.loads(mood[1]) == [{"input": "fine", "output": "FINE"}, {"input": "a = b", "output": "A = B"}]
    assert by_vars[:2] == (0, "input  output\n─────  ──────\nfine   FINE\n")
    # The driver's own standard input is at its end.
    assert stdin[0] == 0, stdin
    assert by_file[0] == 1
    assert by_file[1].splitlines()[:2] == ["id,review,output,ml_error", "1,fine,FINE,"]
    assert "1 of 3 rows failed, the first:\n  id = '2', review = 'RAISE it': " in by_file[2]
    assert "1 row has a NULL in INPUT: not sent, and predicted as NULL" in by_file[2]
    assert [json.loads(one[1])["said"] for one in (latest, first)] == ["v2", "v1"]
    assert away[0] == 1
    assert "cannot connect to Triton at http://127.0.0.1:9" in away[2]
    assert predicting[0] == 1
    assert "moods predicts with mood" in predicting[2]
    assert "no inference model is called mod; did you mean mood? This project has by_yaml, judge.v1" in misspelt[2]
    assert stub[0] == 0
    assert set(json.loads(stub[1])[0]) == {"input", "output"}
    assert "Traceback" not in "".join(map(str, said))
    assert TOKEN not in "".join(map(str, said))
    sent = [exchange.request for exchange in proxy.inferences]
    assert [message.header("Authorization") for message in sent if message.header("Authorization")] == [
        f"Bearer {TOKEN}"
    ]
    assert TOKEN in [message.header("X-Team") for message in sent]
    # The text that the table has a prediction for was sent all the same.
    assert (triton.counters(upper) - asked).rows >= 3
    assert project.stored() == before
    assert not (project.root / "logs").exists() or TOKEN not in "".join(
        file.read_text() for file in (project.root / "logs").iterdir()
    )


def test_a_project_on_spark(project: DbtProject, triton: Triton, upper: str) -> None:
    """A project on Spark is read without Spark, which could not start: no Java is there."""
    _write(project, triton.url, upper)
    target = {"type": "spark", "method": "session", "schema": "shop", "host": "NA"}
    project.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": {"dev": target}}}))
    nowhere = {"PATH": "/nonexistent", "JAVA_HOME": "/nonexistent"}
    (said,) = _predict(project, ["mood", "fine", "--format", "json"], **nowhere)
    assert said[0] == 0, said[2]
    assert json.loads(said[1]) == [{"input": "fine", "output": "FINE"}]
    assert not [path for path in project.root.iterdir() if "spark" in path.name or "metastore" in path.name]


def _served(capsys: pytest.CaptureFixture[str], triton: Triton, model: str, *more: str) -> Said:
    code = main(["predict", "--endpoint", triton.url, "--model-name", model, *more])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def _rows(capsys: pytest.CaptureFixture[str], triton: Triton, model: str, *more: str) -> list[dict[str, Any]]:
    code, out, err = _served(capsys, triton, model, "--format", "json", *more)
    assert code == 0, err
    rows: list[dict[str, Any]] = json.loads(out)
    return rows


def test_without_a_project(  # noqa: PLR0913, PLR0917 - fixtures
    capsys: pytest.CaptureFixture[str],
    triton: Triton,
    serve: Callable[[str], str],
    upper: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server and a name are enough: INPUT and OUTPUT are what is served, with optional inputs, arrays and numbers."""
    monkeypatch.chdir(tmp_path)
    assert _rows(capsys, triton, upper, "ü 日本", "b") == [
        {"INPUT_TEXT": "ü 日本", "OUTPUT_TEXT": "Ü 日本"},
        {"INPUT_TEXT": "b", "OUTPUT_TEXT": "B"},
    ]
    total, table = serve("optional_sum"), serve("tabular")
    assert _rows(capsys, triton, total, "-5", "7") == [
        {"A": -5, "TOTAL": 95, "SEEN": "A:none"},
        {"A": 7, "TOTAL": 107, "SEEN": "A:none"},
    ]
    assert _rows(capsys, triton, total, "a=-5", "C=x=y", "b=NULL") == [
        {"A": -5, "B": None, "C": "x=y", "TOTAL": 95, "SEEN": "AC:x=y"}
    ]
    (row,) = _rows(capsys, triton, table, "1", "-2.5", "3")
    assert (row["input__0"], row["seen"]) == ([1, -2.5, 3], [1.0, -2.5, 3.0])
    assert _rows(capsys, triton, table, "[1, -2.5, 3]") == [row]
    declared = ["--input", "a FLOAT, b FLOAT, c FLOAT", "--output", "output__0 DOUBLE"]
    (typed,) = _rows(capsys, triton, table, *declared, "1", "-2.5", "3")
    assert (typed["a"], typed["b"], typed["output__0"]) == (1, -2.5, row["output__0"])
    assert not [*tmp_path.iterdir()]


def test_rows_that_fail(capsys: pytest.CaptureFixture[str], triton: Triton, upper: str) -> None:
    """Failed rows do not hide the others; the exit code is 1, unless the options let so many pass."""
    words = ["fine", "RAISE x", "REFUSE y"]
    code, out, err = _served(capsys, triton, upper, *words, "--format", "json")
    assert code == 1
    assert [row["OUTPUT_TEXT"] for row in json.loads(out)] == ["FINE", None, None]
    assert "the model refuses REFUSE y" in json.loads(out)[2]["ml_error"]
    assert "2 of 3 rows failed, the first:\n  INPUT_TEXT = 'RAISE x': " in err
    bearing = ["--option", "on-error=null", "--option", "default-value=none"]
    code, out, _ = _served(capsys, triton, upper, *words, *bearing, "--format", "csv")
    assert code == 0
    assert [line.split(",")[:2] for line in out.splitlines()[1:]] == [
        ["fine", "FINE"],
        ["RAISE x", "none"],
        ["REFUSE y", "none"],
    ]
    code, _, err = _served(capsys, triton, upper, *words, *bearing, "--option", "max-error-ratio=0.5")
    assert (code, "2 of 3 rows failed; ml_error says why" in err) == (1, True)
    code, _, err = _served(capsys, triton, upper, "x", "--option", "sample=1", "--option", "cache=persistent")
    assert (code, err) == (0, "")


def test_errors(capsys: pytest.CaptureFixture[str], triton: Triton, upper: str) -> None:
    """What cannot be asked is said as a build says it, without a word of SQL that nobody has written."""
    cases = {
        ("no_such_model", "x"): "Request for unknown model: 'no_such_model'",
        (upper, "--option", "batch-size=100000", "x"): "batch-size",
        (
            upper,
            "--option",
            "custom-headers=X-A:${NOT_SET_ANYWHERE}",
            "x",
        ): "needs the environment variable NOT_SET_ANYWHERE",
        (upper, "--input", "a", "x"): "--input: expected the SQL type of column a",
        (upper, "--input", "a INT", "5"): "INPUT column a is declared INT",
        (upper, "--option", "response-format=json", "x"): "declare OUTPUT",
        (
            upper,
            "--option",
            "endpoint=http://x",
            "--option",
            "endpoint=http://y",
            "x",
        ): "--option endpoint is given twice",
    }
    for (model, *more), said in cases.items():
        code, out, err = _served(capsys, triton, model, *more)
        assert (code, out) == (1, ""), err
        assert err.startswith("dbt-triton: ")
        assert said in err
        assert not any(
            word in err
            for word in ("Traceback", "dbt_triton_input", "line 1", "was built", "__ml_predictions", "is kept in")
        )


@pytest.fixture(scope="module")
def llm(triton: Triton) -> Generator[Served]:
    """A model with the interface of vLLM's backend."""
    with serving_llms(triton, vllm("predict_at_hand")) as (served,):
        yield served


def test_language_model(capsys: pytest.CaptureFixture[str], triton: Triton, llm: Served) -> None:
    """A language model is asked by its own route; answers in JSON are typed columns; a key of vLLM's may be a value."""
    assert _rows(capsys, triton, llm.name, "a b c", "d", "--option", "max-tokens=2") == [
        {"text_input": "a b c", "text_output": "A B"},
        {"text_input": "d", "text_output": "D"},
    ]
    said = '/say {"mood": "good", "score": 0.5}'
    options = ["--option", "response-format=json", "--output", "mood STRING, score DOUBLE", "--input", "prompt STRING"]
    assert _rows(capsys, triton, llm.name, said, *options) == [{"prompt": said, "mood": "good", "score": 0.5}]


def test_ctrl_c(triton: Triton, serve: Callable[[str], str], tmp_path: Path) -> None:
    """Ctrl-C ends a long run within seconds, in one line, with the exit code 130."""
    slow = serve("slow")
    (tmp_path / "x.txt").write_text("\n".join(map(str, range(2_000))))
    options = ["--option", "batch-size=1", "--option", "max-concurrent-operations=1", "--file", str(tmp_path / "x.txt")]
    command = [
        str(Path(sys.executable).parent / "dbt-triton"),
        "predict",
        "--endpoint",
        triton.url,
        "--model-name",
        slow,
    ]
    running = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = time.monotonic()
    while triton.counters(slow).requests < 2 and time.monotonic() - before < 60:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, "", "dbt-triton: interrupted; nothing is kept\n")


def test_a_pipe_that_closes(triton: Triton, upper: str, tmp_path: Path) -> None:
    """Whoever reads the first rows only, as `head` does, is no error."""
    (tmp_path / "x.txt").write_text("text\n" * 50_000)
    command = [
        str(Path(sys.executable).parent / "dbt-triton"),
        "predict",
        "--endpoint",
        triton.url,
        "--model-name",
        upper,
    ]
    reader, writer = os.pipe()
    running = subprocess.Popen(
        [*command, "--file", str(tmp_path / "x.txt"), "--format", "csv"], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert os.read(reader, 10) == b"INPUT_TEXT"
    os.close(reader)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
