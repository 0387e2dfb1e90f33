"""The steps of a language model that send no prompt: build, check, dry run, and the stub."""

import json
from types import SimpleNamespace

import pytest
from support.jinja_macros import Macros
from support.session import Session, StepError
from unit.language_models import VLLM_25_12, serving

from dbt_triton import __version__, commands
from dbt_triton.project import ProjectModel
from dbt_triton.step import build_inference_model, dry_run, plan

PROMPTS = ["Translate: hello", "Translate: grüße", "Translate: hello"]
CALL = "select * from ML_PREDICT(TABLE prompts, MODEL m, DESCRIPTOR(prompt))"
ONE = "INPUT (prompt STRING) OUTPUT (answer STRING)"


def prompts(session: Session) -> None:
    """Make a table of prompts, one of them twice, and a NULL."""
    values = ", ".join(f"({place}, '{text}')" for place, text in enumerate(PROMPTS))
    session.table("prompts", f"select * from (values {values}, (9, null)) as prompts(id, prompt)")


def test_dry_run_of_prompts() -> None:
    """A dry run says how many rows and different prompts there are, and how many bytes of prompts would be sent."""
    with serving(VLLM_25_12) as endpoint, Session() as session:
        prompts(session)
        session.create_model("m", ONE, {"endpoint": endpoint, "model-name": "llm", "max-tokens": "5"})
        figures = session.dry_run(CALL, ["m"])
        assert {name: figures[name] for name in ("rows", "nulls", "distinct", "to_send", "requests")} == {
            "rows": 4,
            "nulls": 1,
            "distinct": 2,
            "to_send": 2,
            "requests": 2,
        }
        assert figures["prompt_bytes"] == sum(len(text.encode()) for text in set(PROMPTS))
        assert figures["bytes"] > figures["prompt_bytes"]
        arguments = {"package_version": __version__, "unique_id": "x"} | session._arguments("out", CALL, ["m"])
        dry_run(json.dumps(arguments), session.session)
        assert f"{figures['prompt_bytes']} of them in prompts" in session.take_result("x")["message"]


def test_parameters_of_a_call() -> None:
    """A call changes single parameters of a model, and what it makes wrong is told before a prompt is sent."""
    with serving(VLLM_25_12) as endpoint, Session() as session:
        prompts(session)
        options = {"endpoint": endpoint, "model-name": "llm", "parameters": '{"max_tokens": 5, "top_k": 1}'}
        session.create_model("m", ONE, options)
        known = session.dry_run(CALL, ["m"])["bytes"]
        changed = CALL.replace("(prompt)", "(prompt), MAP['parameters', '{\"top_k\": 100}']")
        assert session.dry_run(changed, ["m"])["bytes"] == known + 2 * len("00")
        wrong = CALL.replace("(prompt)", "(prompt), MAP['parameters', '{\"stream\": 5}']")
        with pytest.raises(StepError, match="stream of parameters: 5 is neither true nor false"):
            session.dry_run(wrong, ["m"])


def test_warnings_of_steps() -> None:
    """A build of the model, and a dry run, leave for dbt what a user is to know."""
    with serving(VLLM_25_12) as endpoint, Session() as session:
        prompts(session)
        options = {"endpoint": endpoint, "model-name": "llm"}
        session.create_model("m", ONE, options)
        pairs = ", ".join(f"'{key}' = '{value}'" for key, value in ({"provider": "triton"} | options).items())
        arguments = {"package_version": __version__, "name": "m", "alias": "m", "unique_id": "x"}
        sql = f"CREATE MODEL m {ONE} WITH ({pairs})"
        build_inference_model(json.dumps(arguments | {"sql": sql}), session.session)
        (said,) = session.take_result("x")["warnings"]
        assert "vLLM ends an answer after 16 tokens" in said
        kept = CALL.replace("(prompt)", "(prompt), MAP['cache', 'persistent', 'max-tokens', '5']")
        arguments |= session._arguments("out", kept, ["m"])
        dry_run(json.dumps(arguments), session.session)
        (said,) = session.take_result("x")["warnings"]
        assert "answers are drawn at random" in said


def test_warnings_of_macros() -> None:
    """Each warning of a step is one of dbt's, with the name of the model."""
    macros = Macros("internal/warnings.sql", model=SimpleNamespace(name="reader"))
    macros.warn_of(["a", "b"])
    macros.warn_of([])
    macros.warn_of(None)
    assert macros.warnings == ["reader: a", "reader: b"]


def test_checks() -> None:
    """`dbt-triton describe` says which column is the prompt, which is a parameter, and which a key of the answer."""
    columns = "INPUT (question STRING, seed INT) OUTPUT (mood STRING, finish_reason STRING)"
    with serving(VLLM_25_12) as endpoint:
        options = f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = 'llm', 'response-format' = 'json'"
        sql = f"CREATE MODEL m {columns} WITH ({options})"
        model = ProjectModel({"name": "m", "alias": "m", "file": "m.sql", "sql": sql})
        checked = commands._checked(model)
    assert checked.cells[-1] == "ok"
    lines = checked.description.splitlines()
    assert "question STRING is bound to text_input BYTES" in lines
    assert "seed INT is seed of sampling_parameters" in lines
    assert "mood STRING is a key of the JSON that an answer is" in lines
    assert "finish_reason STRING is bound to finish_reason BYTES" in lines
    assert any("max_tokens is not set" in text for text in lines)


STUB = {"provider": "stub", "response-format": "json", "parameters": '{"max_tokens": 5}', "route": "generate"}


def test_the_stub_of_a_language_model() -> None:
    """With `provider: stub` the columns of a JSON answer are made without a server, by their types."""
    with Session() as session:
        prompts(session)
        columns = "sentiment STRING, score DOUBLE, sure BOOLEAN, topics STRING[], seen DATE, more JSON, count INT[2]"
        session.create_model("m", f"INPUT (prompt STRING) OUTPUT ({columns})", STUB | {"stub.sentiment": '["good"]'})
        rows = session.build("out", CALL, ["m"])
        types = session.columns("out")
    assert {name: types[name] for name in ("sentiment", "score", "sure", "topics", "seen", "more", "count")} == {
        "sentiment": "VARCHAR",
        "score": "DOUBLE",
        "sure": "BOOLEAN",
        "topics": "VARCHAR[]",
        "seen": "DATE",
        "more": "JSON",
        "count": "INTEGER[2]",
    }
    assert [row[2] for row in rows] == ["good", "good", "good", None]
    assert rows[0][2:] == rows[2][2:] != rows[1][2:]
    assert all(value is not None for value in rows[0])


def test_what_a_plan_refuses() -> None:
    """A parameter that is none is refused before the server is asked, with the line of the call."""
    with Session() as session:
        prompts(session)
        session.create_model("m", "INPUT (prompt STRING) OUTPUT (answer STRING)", {"provider": "stub"})
        select = CALL.replace("(prompt)", "(prompt), MAP['parameters', '{\"a\": NaN}']")
        arguments = {"package_version": __version__, "unique_id": "x"} | session._arguments("out", select, ["m"])
        plan(json.dumps(arguments), session.session)
        assert "line 1" in session.take_result("x")["error"]


@pytest.mark.parametrize("value", [{"temperature": 0, "stop": ["\n", "it's"]}, '{"temperature": 0}'])
def test_parameters_in_yaml(value: object) -> None:
    """The statement that stands for a YAML definition has its parameters as JSON, and hides no max-tokens."""
    macros = Macros("create_model.sql", "ml_predict.sql", tojson=json.dumps)
    assert json.loads(macros.shown_option("parameters", value)) == (
        json.loads(value) if isinstance(value, str) else value
    )
    assert macros.shown_option("max-tokens", 64) == "64"
    assert macros.shown_option("auth-token", "x") == "***"
