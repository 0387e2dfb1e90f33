"""What is said of a language model in its options: what is refused, what is merged, and what is paid for again."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass

import pytest
from support.formulas import FormulaModel, serving_formulas
from support.llms import Served, bls, serving_llms, vllm
from support.llms.asking import answers, ask, create, prepare
from support.session import StepError, Steps
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only(
    "requests and answers are the same on each warehouse; test_generate.py asks on both"
)


@pytest.fixture(scope="module")
def models(triton: Triton) -> Generator[dict[str, Served]]:
    """The models of this file, by their names."""
    with serving_llms(triton, vllm("told_vllm"), bls("told_bls")) as served:
        yield {one.name: one for one in served}


@dataclass(frozen=True)
class Refused:
    """What is refused when the inference model is built: of which model, with which options, and the words."""

    name: str
    words: str
    options: dict[str, str]
    output: str = "answer STRING"
    given: str = "prompt STRING"


REFUSED = [
    Refused("told_bls", "max_tokens", {}),
    Refused("told_bls", "did you mean seed", {"parameters": '{"random_seed": 1, "max_tokens": 9}'}),
    Refused("told_bls", "temperature", {"parameters": '{"temperature": "hot", "max_tokens": 9}'}),
    Refused("told_bls", "max_tokens", {"parameters": '{"max_tokens": 2147483648}'}),
    Refused("told_bls", "max_tokens", {"parameters": '{"max_tokens": 9.5}'}),
    Refused("told_bls", "return_log_probs", {"max_tokens": "9", "parameters": '{"return_log_probs": "yes"}'}),
    Refused("told_bls", "FP16", {"max_tokens": "9"}, given="prompt STRING, prompt_embedding_table ARRAY<ARRAY<FLOAT>>"),
    Refused("told_vllm", "batch-size", {"batch_size": "8"}),
    Refused("told_vllm", "binary-data", {"binary_data": "true"}),
    Refused("told_vllm", "compression", {"compression": "gzip"}),
    Refused("told_vllm", "priority", {"priority": "1"}),
    Refused("told_vllm", "sequence", {"sequence_id": "5"}),
    Refused("told_vllm", "classification", {"classification": "1"}, "num_input_tokens INT"),
    Refused("told_vllm", "decoupled", {"route": "infer"}),
    Refused("told_vllm", "concat", {"parameters": '{"stream": true}'}),
    Refused("told_vllm", "ANSWER|answer|\\[\\]", {"n": "2"}),
    Refused("told_vllm", r"\|\|", {"system_prompt": "You are helpful."}),
    Refused("told_vllm", "max-tokens and max_tokens", {"max_tokens": "9", "parameters": '{"max_tokens": 8}'}),
    *(
        Refused("told_vllm", words, {"request_parameters": text})
        for words, text in {
            "priority": '{"priority": 1}',
            "timeout": '{"timeout": 1}',
            "sequence_id": '{"sequence_id": 1}',
            "triton_": '{"triton_x": 1}',
            "binary_data_output": '{"binary_data_output": true}',
            "headers": '{"headers": "x"}',
            "request-parameters": '{"x": 9223372036854775808}',
        }.items()
    ),
    Refused("told_vllm", "request-parameters", {"request_parameters": '{"x": null}'}),
    Refused("told_vllm", "request-parameters", {"request_parameters": '{"x": [1]}'}),
    Refused("told_vllm", "NUL", {"request_parameters": '{"x": "a\\u0000b"}'}),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: f"{refused.name}-{json.dumps(refused.options)}")
def test_what_cannot_be_sent_is_refused_when_the_model_is_built(
    session: Steps, models: dict[str, Served], refused: Refused
) -> None:
    """Triton would take it silently, or say it for each row: the build of the model says it once, and names it."""
    with pytest.raises(StepError, match=refused.words) as said:
        create(session, models[refused.name], refused.output, refused.given, **refused.options)
    assert str(said.value).count("\n  - ") == 1, "one thing is wrong, and it is said once"


def test_what_changes_an_answer_is_told_anew(session: Steps, models: dict[str, Served]) -> None:
    """With a persistent cache, prompts are paid once: until a parameter changes, whatever else does."""
    llm = models["told_vllm"]
    llm.forget()
    base = {"cache": "persistent", "parameters": '{"temperature": 0, "max_tokens": 9, "stop": ["X"]}'}
    same = [
        {},
        {"parameters": '{"stop": ["X"], "max_tokens": 9, "temperature": 0.0}'},
        {"timeout": "200s", "max_retries": "7", "max_concurrent_operations": "3", "route": "generate"},
    ]
    other = [
        {"parameters": '{"temperature": 0, "max_tokens": 8, "stop": ["X"]}'},
        {"parameters": '{"temperature": 0, "max_tokens": 9, "stop": ["X"], "seed": 1}'},
        {"request_parameters": '{"x": 1}'},
        {"cache_version": "new weights"},
        {"parameters": '{"temperature": 0, "max_tokens": 9, "stop": ["X"], "exclude_input_in_output": false}'},
    ]
    for count, changes in ((1, same), (2, other)):
        for number, change in enumerate(changes):
            ask(session, llm, ["a b", "a b"], **base | change)
            assert len(llm.prompts) == (1 if count == 1 else 2 + number), change


def test_parameters_of_a_call_are_merged_by_key(session: Steps, models: dict[str, Served]) -> None:
    """MAP says what it says over WITH, key by key, and Flink's names and those of parameters are one thing."""
    llm = models["told_vllm"]
    prepare(session, ["a b c d"])
    create(session, llm, max_tokens="9", parameters='{"temperature": 0, "seed": 1}')
    for call, sent, answer in (
        ("", {"max_tokens": 9, "temperature": 0, "seed": 1}, "A B C D"),
        (
            """, MAP['parameters', '{"seed": 2, "top_p": 0.5}']""",
            {"max_tokens": 9, "temperature": 0, "seed": 2, "top_p": 0.5},
            "A B C D",
        ),
        (""", MAP['parameters', '{"max_tokens": 2}']""", {"max_tokens": 2, "temperature": 0, "seed": 1}, "A B"),
        (""", MAP['seed', '3', 'max-tokens', '1']""", {"max_tokens": 1, "temperature": 0, "seed": 3}, "A"),
    ):
        llm.forget()
        assert answers(session, call=call) == [(answer,)]
        assert json.loads(llm.came[0]["inputs"]["sampling_parameters"]) == sent


#: Tensors whose names or shapes flat JSON has no place for: the input, the output, and the words.
NO_PLACE = [
    ("id STRING 1", "text_output STRING 1", "the input id has a name"),
    ("parameters STRING 1", "text_output STRING 1", "the input parameters has a name"),
    ("x STRING 1", "model_name STRING 1", "the output model_name has a name"),
    ("x STRING 1", "id STRING 1", "the output id has a name"),
    ("x FP16 1", "text_output STRING 1", "FP16"),
]


def test_what_flat_json_has_no_place_for_is_refused(session: Steps, triton: Triton) -> None:
    """The server would take it for something else, or hide it in its answer: the build of the model says so."""
    served = []
    for place, (given, made, _) in enumerate(NO_PLACE):
        tensors = [(kind, *text.split()) for kind, text in (("input", given), ("output", made))]
        lines = [
            f'{kind} [ {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ] }} ]'
            for kind, name, datatype, dims in tensors
        ]
        served.append(FormulaModel(f"no_place_{place}", "\n".join(lines), {made.split()[0]: given.split()[0]}))
    with serving_formulas(triton, served):
        for model, (given, _, words) in zip(served, NO_PLACE, strict=True):
            kind = "FLOAT" if "FP16" in given else "STRING"
            options = {"endpoint": triton.url, "model-name": model.name, "route": "generate"}
            with pytest.raises(StepError, match=words):
                session.create_model("m", f"INPUT (a {kind}) OUTPUT (b STRING)", options)


def test_a_dry_run_says_what_a_build_would_send(session: Steps, models: dict[str, Served]) -> None:
    """Rows, distinct prompts, requests and bytes of prompts are known before anything is paid."""
    llm = models["told_vllm"]
    llm.forget()
    prompts = ["a", "bc", "bc", None, "é"]
    prepare(session, prompts)
    create(session, llm, max_tokens="9")
    select = "select * from ML_PREDICT(TABLE asked, MODEL m, DESCRIPTOR(prompt))"
    said = session.dry_run(select, ["m"])
    assert llm.prompts == []
    assert [said[key] for key in ("rows", "nulls", "to_send", "requests", "prompt_bytes")] == [5, 1, 3, 3, 5]
    answers(session)
    assert said["bytes"] == session.figures["bytes_sent"]
    assert sorted(llm.prompts) == ["a", "bc", "é"]
