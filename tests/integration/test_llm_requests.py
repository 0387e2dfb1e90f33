"""What reaches a language model: parameters by its own interface, for all rows and for each, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from support.llms import Served, bls, ensemble, llmapi, serving_llms, vllm
from support.llms.asking import ask
from support.proxy import RecordingProxy
from support.session import Steps
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only(
    "requests and answers are the same on each warehouse; test_generate.py asks on both"
)

FLINK = {
    "temperature": "0",
    "top_p": "0.75",
    "max_tokens": "3",
    "stop": "END",
    "seed": "7",
    "presence_penalty": "0.5",
}
_TENSORRT = {"temperature": 0, "top_p": 0.75, "max_tokens": 3, "stop_words": "END", "seed": 7, "presence_penalty": 0.5}
_LLMAPI = {
    **{f"sampling_param_{name}": value for name, value in _TENSORRT.items() if name != "stop_words"},
    "sampling_param_stop": "END",
}
_VLLM = {"temperature": 0, "top_p": 0.75, "max_tokens": 3, "stop": ["END"], "seed": 7, "presence_penalty": 0.5}


@dataclass(frozen=True)
class Case:
    """An interface.

    Args:
        name: of the model.
        flink: what reaches it of Flink's names for parameters; of vLLM, within the text.
        output: what it gives beside the text, with the flags that ask for it.
        values: those outputs of a prompt of two words whose answer has two.
        max_tokens: the column that is the parameter.
        generate: whether it is asked by generate_stream.
    """

    name: str
    flink: dict[str, Any]
    output: dict[str, str] = field(default_factory=dict)
    values: tuple[Any, ...] = ()
    max_tokens: str = "max_tokens"
    generate: bool = True

    @property
    def has_text(self) -> bool:
        """Whether parameters are a text."""
        return self.name.startswith("asked_vllm")


_TENSORRT_OUTPUT = {
    "cum_log_probs FLOAT": "return_log_probs",
    "num_input_tokens INT": "return_num_input_tokens",
    "num_output_tokens INT": "return_num_output_tokens",
}
_LLMAPI_OUTPUT = {
    "finish_reason STRING": "return_finish_reason",
    "cumulative_logprob FLOAT": "return_cumulative_logprob",
    "kv_cache_reused_block INT": "sampling_param_return_perf_metrics",
    "kv_cache_hit_rate FLOAT": "sampling_param_return_perf_metrics",
    "arrival_time_ns BIGINT": "sampling_param_return_perf_metrics",
}
_LLMAPI_VALUES = ("stop", -0.5, 2, 0.0, 1_700_000_000_000_000_000)
CASES = [
    Case("asked_vllm_old", _VLLM),
    Case(
        "asked_vllm",
        _VLLM,
        {
            "finish_reason STRING": "return_finish_reason",
            "num_input_tokens INT": "return_num_input_tokens",
            "num_output_tokens INT": "return_num_output_tokens",
            "cumulative_logprob FLOAT": "return_cumulative_logprob",
        },
        ("stop", 2, 2, -0.5),
    ),
    Case("asked_ensemble", _TENSORRT, _TENSORRT_OUTPUT, (-0.5, 2, 2), generate=False),
    Case("asked_decoupled", _TENSORRT, _TENSORRT_OUTPUT, (-0.5, 2, 2)),
    Case("asked_bls", _TENSORRT, _TENSORRT_OUTPUT, (-0.5, 2, 2)),
    Case("asked_llmapi", _LLMAPI, _LLMAPI_OUTPUT, _LLMAPI_VALUES, "sampling_param_max_tokens", generate=False),
    Case("asked_stream", _LLMAPI, _LLMAPI_OUTPUT, _LLMAPI_VALUES, "sampling_param_max_tokens"),
]


@pytest.fixture(scope="module")
def models(triton: Triton) -> Generator[dict[str, Served]]:
    """The models of this file, by their names."""
    listed = [
        vllm("asked_vllm_old", "24_10"),
        vllm("asked_vllm"),
        ensemble("asked_ensemble", decoupled=False),
        ensemble("asked_decoupled", decoupled=True),
        bls("asked_bls"),
        llmapi("asked_llmapi"),
        llmapi("asked_stream", decoupled=True),
    ]
    with serving_llms(triton, *listed) as served:
        yield {one.name: one for one in served}


@pytest.fixture(params=CASES, ids=lambda case: case.name.removeprefix("asked_"))
def case(request: pytest.FixtureRequest) -> Case:
    """An interface."""
    found: Case = request.param
    return found


@pytest.fixture
def llm(models: dict[str, Served], case: Case) -> Served:
    """The model with the interface, to which nothing has been said."""
    models[case.name].forget()
    return models[case.name]


def inputs(llm: Served, *, has_text: bool = False) -> dict[str, Any]:
    """Return what the only prompt came with; the text of parameters is read."""
    (came,) = llm.came
    found: dict[str, Any] = came["inputs"]
    if has_text:
        found["sampling_parameters"] = json.loads(found["sampling_parameters"])
    return found


def excluded(case: Case) -> dict[str, bool]:
    """Return the flag that keeps the prompt out of the answer."""
    llmapi_flag = "sampling_param_exclude_input_from_output"
    return {llmapi_flag if case.max_tokens.startswith("sampling") else "exclude_input_in_output": True}


def test_flinks_names_reach_each_interface_as_its_own(session: Steps, llm: Served, case: Case) -> None:
    """Options of Flink's are the interface's parameters, and nothing else is sent; the answer is without the prompt."""
    assert ask(session, llm, ["a b END c d e"], **FLINK) == [("A B ",)]
    sent = {"sampling_parameters": case.flink} if case.has_text else case.flink
    assert inputs(llm, has_text=case.has_text) == sent | excluded(case)
    assert not llm.came[0]["parameters"].keys() - {"id"}
    llm.forget()
    assert ask(session, llm, ["a b c d e"], **FLINK) == [("A B C",)]


def test_outputs_are_asked_for_by_their_columns(session: Steps, llm: Served, case: Case) -> None:
    """A column sets the flag that its output needs, and no other one; numbers that come as texts are numbers."""
    output = ", ".join(["answer STRING", *case.output])
    assert ask(session, llm, ["one two"], output, max_tokens="9") == [("ONE TWO", *case.values)]
    flags = {name for name, value in inputs(llm).items() if value is True} - set(excluded(case))
    assert flags == set(case.output.values())


def test_the_route_is_the_models_own(session: Steps, models: dict[str, Served], case: Case, triton: Triton) -> None:
    """Decoupled models get one prompt a request by generate_stream, the others go by infer, in batches if they can."""
    with RecordingProxy(triton.url) as proxy:
        llm = models[case.name]
        prompts = [f"prompt {number}" for number in range(16)]
        rows = ask(session, llm, prompts, max_tokens="9", endpoint=proxy.url)
        assert [row[0] for row in rows] == [prompt.upper() for prompt in prompts]
        sent = [exchange for exchange in proxy.exchanges if exchange.method == "POST"]
    route = "generate_stream" if case.generate else "infer"
    assert {exchange.path for exchange in sent} == {f"/v2/models/{llm.name}/{route}"}
    batches = session.warehouse == "duckdb" and llm.name == "asked_ensemble"
    assert len(sent) == (2 if batches else len(prompts))


def test_a_parameter_of_each_row(session: Steps, llm: Served, case: Case) -> None:
    """A column of INPUT wins over the option; NULL leaves it out of its row's request, where the model allows it."""
    given = f"prompt STRING, {case.max_tokens} INT"
    rows = [("a b c d", 1), ("e f g h", 3), ("i j k l", None)]
    found = ask(session, llm, rows, given=given, temperature="0")
    required = case.max_tokens == "max_tokens" and not case.has_text
    last = None if required else "I J K L"
    assert [row[0] for row in found] == ["A", "E F G", last]
    came = {one["prompt"]: one["inputs"] for one in llm.came}
    if case.has_text:
        came = {prompt: json.loads(one["sampling_parameters"]) for prompt, one in came.items()}
    assert {prompt: one.get(case.max_tokens) for prompt, one in came.items()} == {
        row[0]: row[1] for row in rows if row[1] is not None or not required
    }


def test_structured_output(session: Steps, llm: Served, case: Case) -> None:
    """The schema of the columns goes where the interface takes one: the answer is JSON, and its keys are columns."""
    output = "whole STRING, words INT, half DOUBLE, any BOOLEAN, each ARRAY<STRING>"
    takes_schema = case.name not in {"asked_vllm_old", "asked_llmapi", "asked_stream"}
    rows = ask(session, llm, ["/json x y"], output, max_tokens="64", response_format="json", on_error="null")
    if takes_schema:
        assert rows == session.read([("x y", 2, 2.5, True, ["x", "y"], None)])
    else:
        assert rows[0][:5] == (None,) * 5
        assert "the text of the answer is not JSON" in rows[0][5]
    rows = ask(
        session, llm, ["/json x y"], output, max_tokens="64", response_format="json", guided="false", on_error="null"
    )
    assert "the text of the answer is not JSON" in rows[0][5]
    said = '/say {"words": 3, "each": [], "more": {"x": 1}}'
    rows = ask(session, llm, [said], output, max_tokens="64", response_format="json", guided="false")
    assert rows == [(None, 3, None, None, [])]


def test_times_of_structured_output(session: Steps, llm: Served, case: Case) -> None:
    """What the schema holds a model to is what the columns take, also of times with a zone and without one."""
    if case.name in {"asked_vllm_old", "asked_llmapi", "asked_stream"}:
        pytest.skip("it takes no schema")
    output = "day DATE, clock TIME, local TIMESTAMP, moment TIMESTAMP_LTZ"
    rows = ask(session, llm, ["/json x"], output, max_tokens="64", response_format="json")
    assert session.read(rows) == session.read(
        [
            (
                date(2026, 2, 28),
                time(1, 2, 3),
                datetime(2026, 2, 28, 1, 2, 3),  # noqa: DTZ001
                datetime(2026, 2, 28, 1, 2, 3, tzinfo=UTC),
            )
        ]
    )


def test_the_prompt_before_the_answer_can_be_had(session: Steps, llm: Served, case: Case) -> None:
    """What a user says of the flag holds over the default."""
    (flag,) = excluded(case)
    rows = ask(session, llm, ["a b"], max_tokens="9", parameters=json.dumps({flag: False}))
    assert rows == [("a bA B",)]


@pytest.mark.parametrize("name", ["asked_vllm", "asked_llmapi"])
def test_request_parameters_reach_the_model(session: Steps, models: dict[str, Served], name: str) -> None:
    """Triton's own parameters, exact, by either route: numbers, texts, flags, whatever their keys."""
    models[name].forget()
    said = {
        "whole": 2**63 - 1,
        "negative": -5,
        "one": 1.0,
        "large": 1e300,
        "flag": False,
        "text": "Grüße \u2028 \"'",
        "empty": "",
        "a key": "with a space",
    }
    ask(session, models[name], ["x"], max_tokens="9", request_parameters=json.dumps(said))
    came = {key: value for key, value in models[name].came[0]["parameters"].items() if key != "id"}
    assert came == said
    assert {key: type(value) for key, value in came.items()} == {key: type(value) for key, value in said.items()}


@pytest.mark.parametrize("name", ["asked_vllm", "asked_ensemble", "asked_decoupled", "asked_bls"])
def test_several_answers_are_an_array(session: Steps, models: dict[str, Served], name: str) -> None:
    """As many answers as n says are an array, by either route."""
    rows = ask(session, models[name], ["a b"], "answer ARRAY<STRING>", max_tokens="9", n="2")
    assert rows == [(["A B", "A B (2)"],)]


def test_an_answer_that_is_one_of_a_few(session: Steps, models: dict[str, Served]) -> None:
    """The words of `structured_outputs` reach vLLM, which answers with one of them."""
    parameters = json.dumps({"max_tokens": 8, "structured_outputs": {"choice": ["good", "very bad"]}})
    rows = ask(session, models["asked_vllm"], ["VERY BAD, I say", "hm"], "label STRING", parameters=parameters)
    assert rows == [("very bad",), ("good",)]


@pytest.mark.parametrize("name", ["asked_ensemble", "asked_bls"])
def test_lists_of_different_lengths(session: Steps, models: dict[str, Served], name: str) -> None:
    """Each row has its own words to stop at, as many as it likes, or none."""
    given = "prompt STRING, stop_words ARRAY<STRING>"
    rows = [("a b X c", ["X"]), ("d e Y f", ["X", "Y"]), ("g h", None), ("i j X", ["X"])]
    assert ask(session, models[name], rows, given=given, max_tokens="9") == [("A B ",), ("D E ",), ("G H",), ("I J ",)]


def test_numbers_of_the_whole_range(session: Steps, models: dict[str, Served]) -> None:
    """The largest seed of 64 bits reaches the model as it is, and not as the nearest floating-point number."""
    for name in ("asked_ensemble", "asked_decoupled"):
        models[name].forget()
        seed = 2**64 - 1
        ask(session, models[name], ["x"], max_tokens="9", parameters=json.dumps({"seed": seed, "top_k": 5.0}))
        assert inputs(models[name]) == {"seed": seed, "top_k": 5, "max_tokens": 9, "exclude_input_in_output": True}


def test_a_parameter_that_the_server_refuses(session: Steps, models: dict[str, Served]) -> None:
    """What only the server can know is explained, sent once a row, and each version's words are there."""
    options = {"parameters": '{"no_such": 1, "max_tokens": 9}', "on_error": "null", "max_retries": "0"}
    for name, words in (("asked_vllm", "did not take the parameters"), ("asked_vllm_old", "argument 'no_such'")):
        models[name].forget()
        ((answer, why),) = ask(session, models[name], ["x"], **options)
        assert answer is None
        assert words in why
        assert models[name].prompts == ["x"]


def test_columns_are_keys_of_the_text_by_their_types(session: Steps, models: dict[str, Served]) -> None:
    """What vLLM reads as one JSON text has each row's own values, as JSON has them; NULL leaves a key out."""
    llm = models["asked_vllm"]
    llm.forget()
    columns: dict[str, tuple[Any, ...]] = {
        "temperature": ("DOUBLE", 0.1, None),
        "seed": ("BIGINT", 2**62 + 1, 0),
        "ignore_eos": ("BOOLEAN", True, False),
        "stop": ("ARRAY<STRING>", ["X", 'Y"'], []),
        "stop_token_ids": ("ARRAY<INT>", [1, 2], None),
        "logit_bias": ("JSON", '{"5": 0.5}', None),
    }
    given = ", ".join(["prompt STRING", *(f"{name} {kind}" for name, (kind, *_) in columns.items())])
    rows = [(f"row {place}", *(value[place] for value in columns.values())) for place in (1, 2)]
    ask(session, llm, rows, given=given, parameters='{"max_tokens": 9, "temperature": 1, "top_k": 5}')
    sent = {one["prompt"]: json.loads(one["inputs"]["sampling_parameters"]) for one in llm.came}
    fixed = {"max_tokens": 9, "top_k": 5}
    assert sent == {
        "row 1": {
            **fixed,
            "temperature": 0.1,
            "seed": 2**62 + 1,
            "ignore_eos": True,
            "stop": ["X", 'Y"'],
            "stop_token_ids": [1, 2],
            "logit_bias": {"5": 0.5},
        },
        "row 2": {**fixed, "seed": 0, "ignore_eos": False, "stop": []},
    }


def test_an_optional_input_of_each_row(session: Steps, models: dict[str, Served]) -> None:
    """Rows have pictures, as many as they like, or none; those without are sent without the input."""
    llm = models["asked_vllm"]
    llm.forget()
    rows = [("one", ["aGVsbG8="]), ("two", ["YQ==", "Yg=="]), ("none", None)]
    ask(session, llm, rows, given="prompt STRING, image ARRAY<STRING>", max_tokens="9")
    assert {one["prompt"]: one["inputs"].get("image") for one in llm.came} == {
        "one": "aGVsbG8=",
        "two": ["YQ==", "Yg=="],
        "none": None,
    }


def test_a_model_with_one_answer_can_be_asked_by_generate(session: Steps, models: dict[str, Served]) -> None:
    """Where a user asks for the route, answers are those of the other one, and prompts go one by one."""
    llm = models["asked_ensemble"]
    output = "answer STRING, cum_log_probs FLOAT, num_output_tokens INT"
    rows = [ask(session, llm, ["a b", "c"], output, max_tokens="9", route=route) for route in ("infer", "generate")]
    assert rows[0] == rows[1] == [("A B", -0.5, 2), ("C", -0.5, 1)]
