"""How language models are bound: what becomes of prompts, parameters and answers by each interface that is served."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.language_models import (
    ENSEMBLE,
    ENSEMBLE_DECOUPLED,
    ENSEMBLE_OLD,
    INTERFACES,
    LLMAPI,
    VLLM_24_10,
    VLLM_25_03,
    VLLM_25_12,
    prompted,
)

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import Binding, InferenceModel, bind
from dbt_triton.tensors.generation import ParameterColumn
from dbt_triton.tensors.presence import optional_columns

ONE = "INPUT (prompt STRING) OUTPUT (answer STRING)"


def constants(binding: Binding) -> dict[str, Any]:
    """Return the values that every request has, but the flag that leaves out the prompt."""
    return {
        one.spec.name: one.value
        for one in binding.constants
        if one.spec.name not in {"exclude_input_in_output", "sampling_param_exclude_input_from_output"}
    }


def text(binding: Binding) -> Any:
    """Return what is the same in the text of all parameters."""
    assert binding.text_parameters is not None
    return dict(binding.text_parameters.fixed)


def problems(definition: InferenceModel, served: ServedModel) -> list[str]:
    """Return what does not fit."""
    with pytest.raises(ConfigurationError) as caught:
        bind(definition, served)
    return caught.value.problems


@pytest.mark.parametrize("interface", INTERFACES)
def test_one_statement_for_all(interface: str) -> None:
    """A prompt and an answer of any names, and Flink's parameters, are understood of every interface."""
    served = INTERFACES[interface]
    binding = bind(prompted(ONE, max_tokens="64", temperature="0.5", top_p="0.9", stop="END,STOP", seed="7"), served)
    assert [(spec.column, spec.name) for spec in binding.inputs] == [("prompt", "text_input")]
    assert [(spec.column, spec.name) for spec in binding.outputs] == [("answer", "text_output")]
    assert binding.route == ("generate" if served.decoupled else "infer")
    assert (binding.batch_size, binding.binary) == ((1, False) if served.decoupled else (served.max_batch_size, True))
    said: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 64, "seed": 7}
    if interface.startswith("vllm"):
        assert text(binding) == said | {"stop": ["END", "STOP"]}
        assert list(text(binding)) == sorted(text(binding))
        assert not constants(binding)
    elif interface == "llmapi":
        names = {f"sampling_param_{name}": value for name, value in said.items()}
        assert constants(binding) == names | {"sampling_param_stop": ["END", "STOP"]}
    else:
        old = "old" in interface
        said |= {"stop_words": ["END", "STOP"]} | ({"random_seed": said.pop("seed")} if old else {})
        assert constants(binding) == said
    (excluded,) = (one for one in binding.constants if "exclude" in one.spec.name)
    assert excluded.value is True


def test_shapes_of_constants() -> None:
    """A constant has a shape that the server takes: one value on an axis of any length, a list as long as it is."""
    options = {"max_tokens": "64", "stop": "a,b,c", "parameters": '{"bad_words": "x"}'}
    found = {one.spec.name: one.spec.row_shape for one in bind(prompted(**options), ENSEMBLE).constants}
    assert found["max_tokens"] == (1,)
    assert found["stop_words"] == (3,)
    assert found["bad_words"] == (1,)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("max_tokens", "64", '"64" is no number'),
        ("max_tokens", 2**31, "2147483648 is not within -2147483648 and 2147483647"),
        ("max_tokens", 1.5, "1.5 is no whole number"),
        ("max_tokens", True, "true is no number"),
        ("max_tokens", [1, 2], "it is a list of 2, which does not fit"),
        ("max_tokens", None, "is null, but the model needs the input max_tokens"),
        ("seed", -1, "-1 is not within 0 and 18446744073709551615"),
        ("temperature", 1e300, "1e+300 is too large"),
        ("stream", 1, "1 is neither true nor false"),
        ("stop_words", 5, "5 is no text"),
        ("stop_words", [], "its lists are of several lengths, or empty"),
        ("stop_words", [["a"], ["b", "c"]], "its lists are of several lengths, or empty"),
    ],
)
def test_values_of_parameters(key: str, value: Any, words: str) -> None:
    """A value that an input cannot hold is refused when the model is built, not for each row by the server."""
    said = {"max_tokens": 5} | {key: value}
    (found, *_) = problems(prompted(parameters=json.dumps(said)), ENSEMBLE)
    assert found.startswith(f"{key} of parameters")
    assert words in found


def test_whole_numbers() -> None:
    """1 and 1.0 are one number where the input says which it is, and one prediction."""
    first = bind(prompted(parameters='{"max_tokens": 5, "temperature": 1}'), ENSEMBLE)
    second = bind(prompted(parameters='{"max_tokens": 5.0, "temperature": 1.0}'), ENSEMBLE)
    assert constants(first) == constants(second)
    assert json.dumps(constants(first)) == '{"max_tokens": 5, "temperature": 1.0}'
    assert first.fingerprint == second.fingerprint


def test_null_leaves_out() -> None:
    """A null takes away what a weaker place says, and what is sent by default."""
    model = prompted(parameters='{"temperature": 0.5}', max_tokens="5")
    changed = model.with_options({"parameters": {"temperature": None, "exclude_input_in_output": None}}, "call")
    assert [one.spec.name for one in bind(changed, ENSEMBLE).constants] == ["max_tokens"]
    assert text(bind(changed, VLLM_25_12)) == {"max_tokens": 5}


@pytest.mark.parametrize(
    ("served", "key", "hint"),
    [
        (ENSEMBLE, "random_seed", "did you mean seed?"),
        (ENSEMBLE_OLD, "seed", "did you mean random_seed?"),
        (ENSEMBLE, "min_length", "did you mean min_tokens?"),
        (ENSEMBLE, "temprature", "did you mean temperature?"),
        (ENSEMBLE, "max_new_tokens", "did you mean max_tokens?"),
        (LLMAPI, "top_k", "did you mean sampling_param_top_k?"),
        (ENSEMBLE, "qwxz", "it serves text_input"),
    ],
)
def test_parameters_that_are_not_served(served: ServedModel, key: str, hint: str) -> None:
    """What the server would pass over in silence is refused, with the input that is meant."""
    (found,) = problems(prompted(parameters=json.dumps({key: 1}), max_tokens="5"), served)
    assert f"{key} of parameters: the model has no input {key}" in found
    assert hint in found


def test_flink_names_that_are_not_served() -> None:
    """A name of Flink's that a model has nothing for is refused, too; one input called stop ends other requests."""
    (found,) = problems(prompted(n="2", max_tokens="5"), LLMAPI)
    assert found.startswith("n: the model has no input n")
    (found, *_) = problems(prompted(temperature="0"), VLLM_WITHOUT_TEXT)
    assert found.startswith("temperature: the model has no input temperature")
    assert constants(bind(prompted(stop="x", max_tokens="5"), LLMAPI))["sampling_param_stop"] == ["x"]


VLLM_WITHOUT_TEXT = replace(
    VLLM_24_10, inputs=tuple(one for one in VLLM_24_10.inputs if one.name != "sampling_parameters")
)


def test_text_of_parameters() -> None:
    """Beside vLLM's text, a served input is a tensor, and any other key one of the text; an empty one is sent, too."""
    said = {"stream": False, "top_k": 4, "lora_name": "x", "logit_bias": {"5": 1}}
    binding = bind(prompted(parameters=json.dumps(said)), VLLM_24_10)
    assert constants(binding) == {"stream": False}
    assert text(binding) == {"top_k": 4, "lora_name": "x", "logit_bias": {"5": 1}}
    assert text(bind(prompted(), VLLM_24_10)) == {}
    (found,) = problems(prompted(parameters='{"sampling_parameters": "{}"}'), VLLM_24_10)
    assert "write its keys into parameters themselves" in found


def test_columns_of_parameters() -> None:
    """A column of INPUT that is no input of the model is a key of vLLM's text, and may be NULL."""
    columns = "INPUT (question STRING, MAX_TOKENS INT, image STRING[], seed BIGINT, tops INT) OUTPUT (answer STRING)"
    binding = bind(prompted(columns, tensor_tops="top_k", temperature="0"), VLLM_25_12)
    assert [(spec.name, spec.parts[0].position) for spec in binding.inputs] == [("text_input", 0), ("image", 2)]
    assert binding.text_parameters is not None
    assert binding.text_parameters.columns == tuple(
        ParameterColumn(place, name, key, prompted(columns).inputs[place].type)
        for place, name, key in [(1, "MAX_TOKENS", "max_tokens"), (3, "seed", "seed"), (4, "tops", "top_k")]
    )
    assert optional_columns(binding.inputs, binding.text_parameters) == [2, 1, 3, 4]
    assert not binding.warnings


def test_columns_win_over_options() -> None:
    """What a row says wins over an option of the same name, in either kind of interface, and that is told."""
    columns = "INPUT (prompt STRING, max_tokens INT) OUTPUT (answer STRING)"
    for served in (VLLM_25_12, ENSEMBLE):
        binding = bind(prompted(columns, max_tokens="5"), served)
        assert binding.warnings == ("max-tokens is not used: INPUT says it for each row",)
        assert "max_tokens" not in constants(binding)
        assert binding.text_parameters is None or not binding.text_parameters.fixed


def test_any_other_column_is_a_key_of_the_text() -> None:
    """Where the prompt says which it is, a column of any name is a key of the text."""
    columns = "INPUT (p STRING, my_own STRING) OUTPUT (answer STRING)"
    (found,) = problems(prompted(columns), VLLM_25_12)
    assert found.startswith("p and my_own of INPUT are no inputs of the model, and one of them is the prompt")
    assert "'tensor.<column>' = 'text_input'" in found
    binding = bind(prompted(columns, tensor_p="text_input"), VLLM_25_12)
    assert binding.text_parameters is not None
    assert [column.key for column in binding.text_parameters.columns] == ["my_own"]
    (found,) = problems(prompted("INPUT (p STRING, seed DATE) OUTPUT (answer STRING)"), VLLM_25_12)
    assert "INPUT column seed is a key of the model's parameters, which are JSON, and is declared DATE" in found


def test_whole_text_as_a_column() -> None:
    """A column may be the whole text of parameters; then nothing else can be a key of it."""
    columns = "INPUT (text_input STRING, sampling_parameters STRING) OUTPUT (answer STRING)"
    binding = bind(prompted(columns), VLLM_25_12)
    assert binding.text_parameters is None
    assert [spec.name for spec in binding.inputs] == ["text_input", "sampling_parameters"]
    (found,) = problems(prompted(columns, max_tokens="5"), VLLM_25_12)
    assert "a column of INPUT is sampling_parameters" in found


def test_outputs_that_are_asked_for() -> None:
    """A column of OUTPUT sets the flag without which the output is not sent; and no other flag."""
    columns = "INPUT (p STRING) OUTPUT (finish_reason STRING, answer STRING, num_output_tokens BIGINT)"
    binding = bind(prompted(columns, max_tokens="5"), VLLM_25_12)
    assert [spec.name for spec in binding.outputs] == ["finish_reason", "text_output", "num_output_tokens"]
    assert constants(binding) == {"return_finish_reason": True, "return_num_output_tokens": True}
    columns = "INPUT (p STRING) OUTPUT (a STRING, cum_log_probs FLOAT, kv_cache_reused_block INT, batch_index INT)"
    flags = constants(bind(prompted(columns, max_tokens="5"), ENSEMBLE))
    assert flags == {"max_tokens": 5, "return_log_probs": True, "return_perf_metrics": True}
    columns = "INPUT (p STRING) OUTPUT (a STRING, stop_reason STRING, kv_cache_hit_rate FLOAT)"
    flags = constants(bind(prompted(columns, max_tokens="5"), LLMAPI))
    assert set(flags) - {"sampling_param_max_tokens"} == {"return_stop_reason", "sampling_param_return_perf_metrics"}
    assert constants(bind(prompted(max_tokens="5"), VLLM_25_12)) == {}


def test_flags_that_contradict_the_columns() -> None:
    """An output that is declared and switched off would be missing from every answer."""
    columns = "INPUT (p STRING) OUTPUT (a STRING, finish_reason STRING)"
    (found,) = problems(prompted(columns, parameters='{"return_finish_reason": false}'), VLLM_25_12)
    assert "return_finish_reason of parameters is false, but OUTPUT has finish_reason" in found


@pytest.mark.parametrize("served", [VLLM_25_12, ENSEMBLE])
def test_prompts_in_answers(served: ServedModel) -> None:
    """Who wants the prompt before the answer says so."""
    said = '{"exclude_input_in_output": false, "max_tokens": 5}'
    (kept,) = (one.value for one in bind(prompted(parameters=said), served).constants if "exclude" in one.spec.name)
    assert kept is False


def test_several_answers_to_a_prompt() -> None:
    """More than one answer needs an array; pieces of one need to be joined."""
    for served in (VLLM_25_12, ENSEMBLE):
        (found,) = problems(prompted(n="3", max_tokens="5"), served)
        assert found == "n is 3, but OUTPUT column answer holds one value: declare VARCHAR[]"
        binding = bind(prompted("INPUT (p STRING) OUTPUT (a STRING[])", n="3", max_tokens="5"), served)
        assert binding.outputs[0].row_shape == (-1,)
    (found,) = problems(prompted(parameters='{"stream": true}'), VLLM_25_12)
    assert "write 'responses' = 'concat'" in found
    assert bind(prompted(parameters='{"stream": true}', responses="concat"), VLLM_25_12).responses == "concat"


def test_tokens_of_tensorrt_llm() -> None:
    """TensorRT-LLM has to be told how long an answer may be, and the error says by which option."""
    (found,) = problems(prompted(), ENSEMBLE)
    assert "input max_tokens INT32[-1, 1] of the model is not declared in INPUT" in found
    assert "write 'max-tokens' = '256', say" in found


def test_warnings() -> None:
    """What would be a surprise later is told when the model is built: cut answers, and draws that are kept."""
    (cut,) = bind(prompted(), VLLM_25_12).warnings
    assert "vLLM ends an answer after 16 tokens" in cut
    (cut,) = bind(prompted(), LLMAPI).warnings
    assert "the server says where an answer ends" in cut
    (drawn,) = bind(prompted(max_tokens="5", cache="persistent"), VLLM_25_12).warnings
    assert "answers are drawn at random" in drawn
    for options in ({"temperature": "0"}, {"seed": "1"}, {"parameters": '{"seed": 1}'}):
        for served in (VLLM_25_12, ENSEMBLE, LLMAPI):
            if "parameters" in options and served is LLMAPI:
                continue
            assert not bind(prompted(max_tokens="5", cache="persistent", **options), served).warnings
    columns = "INPUT (p STRING) OUTPUT (a STRING, logprobs STRING)"
    (null,) = bind(prompted(columns, max_tokens="5"), VLLM_25_12).warnings
    assert "which are null unless parameters say how many" in null
    assert not bind(prompted(columns, parameters='{"logprobs": 1, "max_tokens": 5}'), VLLM_25_12).warnings


PAIRS = {
    "binary-data": ("true", "has JSON only"),
    "compression": ("gzip", "takes plain bodies only"),
    "priority": ("1", "passes it over"),
    "sequence-id": ("1", "a sequence goes by the infer route only"),
    "classification": ("2", "gives the outputs themselves"),
    "batch-size": ("2", "takes one row a request"),
    "batch-dim": ("true", "takes one row a request"),
    "null-as": ("nan", "no JSON form"),
}


@pytest.mark.parametrize("option", PAIRS)
@pytest.mark.parametrize("served", [VLLM_25_12, ENSEMBLE_DECOUPLED])
def test_what_generate_cannot_do(option: str, served: ServedModel) -> None:
    """An option that the route has no place for is refused when the model is built, not passed over."""
    value, words = PAIRS[option]
    found = problems(prompted(max_tokens="5", **{option.replace("-", "_"): value}), served)
    assert any(words in problem for problem in found)


def plain(*tensors: ServedTensor, outputs: list[ServedTensor] | None = None) -> ServedModel:
    """Describe a decoupled model that is no language model."""
    return replace(
        VLLM_24_10, inputs=tensors, outputs=tuple(outputs if outputs is not None else [ServedTensor("y", "FP32", (1,))])
    )


@pytest.mark.parametrize(
    ("columns", "served", "words"),
    [
        ("INPUT (x FLOAT16) OUTPUT (y FLOAT)", plain(ServedTensor("x", "FP16", (1,))), "the input x is FP16"),
        ("INPUT (id INT) OUTPUT (y FLOAT)", plain(ServedTensor("id", "INT32", (1,))), "a name that the generate route"),
        (
            "INPUT (x FLOAT) OUTPUT (model_name STRING)",
            plain(ServedTensor("x", "FP32", (1,)), outputs=[ServedTensor("model_name", "BYTES", (1,))]),
            "the output model_name has a name that the generate route keeps",
        ),
        ("INPUT (x FLOAT[][]) OUTPUT (y FLOAT)", plain(ServedTensor("x", "FP32", (-1, -1))), "the input x has several"),
        ("INPUT (x FLOAT[3][2]) OUTPUT (y FLOAT)", plain(ServedTensor("x", "FP32", (-1, -1))), "has several axes"),
        (
            "INPUT (x FLOAT) OUTPUT (y FLOAT[][])",
            plain(ServedTensor("x", "FP32", (1,)), outputs=[ServedTensor("y", "FP32", (-1, -1))]),
            "the output y has several axes",
        ),
    ],
)
def test_tensors_that_generate_cannot_carry(columns: str, served: ServedModel, words: str) -> None:
    """A tensor that flat JSON would change or hide is refused when the model is built."""
    assert any(words in problem for problem in problems(prompted(columns), served))


@pytest.mark.parametrize(
    ("columns", "dims"),
    [("x FLOAT[]", (-1,)), ("x FLOAT[3][2]", (2, -1)), ("x FLOAT[3][2]", (2, 3)), ("x FLOAT[]", (-1, -1))],
)
def test_arrays_that_generate_can_carry(columns: str, dims: tuple[int, ...]) -> None:
    """An array of one open axis arrives as it was."""
    served = plain(ServedTensor("x", "FP32", dims))
    assert bind(prompted(f"INPUT ({columns}) OUTPUT (y FLOAT)"), served).route == "generate"


def test_routes() -> None:
    """The route is the server's, unless it is written; a decoupled model has one only."""
    assert bind(prompted(max_tokens="5", route="generate"), ENSEMBLE).route == "generate"
    assert bind(prompted(max_tokens="5"), ENSEMBLE_DECOUPLED).route == "generate"
    (found,) = problems(prompted(route="infer"), VLLM_25_12)
    assert found.startswith("the model is decoupled")
    (found,) = problems(prompted(responses="concat", max_tokens="5"), ENSEMBLE)
    assert found.startswith("responses is concat, but by the infer route a row has one answer")


def test_request_parameters() -> None:
    """Request parameters go by either route, but by the generate route none may be an input's name."""
    for served in (VLLM_25_12, ENSEMBLE):
        binding = bind(prompted(request_parameters='{"tenant": "a"}', max_tokens="5"), served)
        assert dict(binding.request_parameters) == {"tenant": "a"}
    (found,) = problems(prompted(request_parameters='{"stream": true}', max_tokens="5"), VLLM_25_12)
    assert "request-parameters has stream, which is an input of the model" in found
    assert bind(prompted(request_parameters='{"stream": true}', max_tokens="5"), ENSEMBLE)


def test_constants_of_any_model() -> None:
    """Parameters are constant tensors of any model, and the input that is left needs no name."""
    served = replace(
        VLLM_24_10,
        decoupled=False,
        inputs=(
            ServedTensor("IN", "FP32", (1,)),
            ServedTensor("SCALE", "FP32", (2,)),
            ServedTensor("OFF", "BOOL", (1,)),
        ),
        outputs=(ServedTensor("OUT", "FP32", (1,)),),
    )
    columns = "INPUT (x FLOAT) OUTPUT (y FLOAT)"
    binding = bind(prompted(columns, parameters='{"scale": [1, 2], "OFF": true}'), served)
    assert [(spec.column, spec.name) for spec in binding.inputs] == [("x", "IN")]
    assert constants(binding) == {"SCALE": [1.0, 2.0], "OFF": True}
    assert not binding.warnings
    assert "input SCALE FP32[2] of the model is not declared in INPUT" in problems(
        prompted(columns, tensor_x="IN"), served
    )


FINGERPRINTED: list[dict[str, str]] = [
    {},
    {"temperature": "0"},
    {"temperature": "1"},
    {"seed": "0"},
    {"stop": "a"},
    {"stop": "a,b"},
    {"parameters": '{"exclude_input_in_output": false}'},
    {"request_parameters": '{"a": 1}'},
    {"request_parameters": '{"a": 2}'},
    {"cache_version": "2"},
]


@pytest.mark.parametrize("served", [VLLM_25_12, ENSEMBLE])
def test_fingerprints_differ(served: ServedModel) -> None:
    """A parameter that changes answers changes the key under which they are kept."""
    found = [bind(prompted(**({"max_tokens": "5"} | options)), served).fingerprint for options in FINGERPRINTED]
    assert len(set(found)) == len(found)
    assert bind(prompted(max_tokens="6"), served).fingerprint not in found


def test_fingerprints_stay() -> None:
    """What changes no answer changes no key: order and place of parameters, timeouts, requests in flight."""
    known = bind(prompted(parameters='{"max_tokens": 5, "temperature": 0}'), VLLM_25_12).fingerprint
    for options in (
        {"parameters": '{"temperature": 0.0, "max_tokens": 5}'},
        {"max_tokens": "5", "temperature": "0"},
        {"max_tokens": "5", "temperature": "0", "timeout": "9s", "route": "generate", "max_concurrent_operations": "7"},
    ):
        assert bind(prompted(**options), VLLM_25_12).fingerprint == known


@given(st.permutations(["max_tokens", "temperature", "top_k", "top_p"]))
def test_order_of_parameters(keys: list[str]) -> None:
    """Parameters in any order are the same request, byte for byte, and the same fingerprint."""
    said = {"max_tokens": 5, "temperature": 0, "top_k": 2, "top_p": 0.5}
    found = bind(prompted(parameters=json.dumps({key: said[key] for key in keys})), VLLM_25_12)
    known = bind(prompted(parameters=json.dumps(said)), VLLM_25_12)
    assert found == known
    assert json.dumps(text(found)) == json.dumps(text(known))


@pytest.mark.parametrize("interface", ["vllm 25.03", "vllm 25.12"])
def test_inputs_of_a_version_that_is_newer(interface: str) -> None:
    """Of what a version lacks nothing is sent."""
    columns = "INPUT (p STRING) OUTPUT (answer STRING, finish_reason STRING)"
    assert bind(prompted(columns, max_tokens="5"), INTERFACES[interface])
    found = problems(prompted(columns, max_tokens="5"), VLLM_24_10)
    assert any("answer and finish_reason of OUTPUT are no outputs of the model" in problem for problem in found)


def test_columns_without_a_tensor() -> None:
    """Two columns of OUTPUT that are no outputs may both be the answer, so that they are refused."""
    (found,) = problems(prompted("INPUT (p STRING) OUTPUT (a STRING, b STRING)", max_tokens="5"), VLLM_25_03)
    assert found.startswith("a and b of OUTPUT are no outputs of the model")
