"""The options of language models: how they are written, refused, merged and kept."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.credentials import mask_options
from dbt_triton.ddl import parse_create_model
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError
from dbt_triton.generation_options import ALIASES, layered
from dbt_triton.generation_values import RESERVED
from dbt_triton.inference_model import InferenceModel, metadata_row, model_from_row
from dbt_triton.options import Options, parse_options

REQUIRED: dict[str, Any] = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
SIDES = {"input": {"a": "STRING"}, "output": {"o": "STRING"}}


def parse(**options: Any) -> Options:
    """Read options written with underscores."""
    return parse_options(REQUIRED | {key.replace("_", "-"): value for key, value in options.items()}, "m")


def problems(**options: Any) -> list[str]:
    """Return why options are refused."""
    with pytest.raises(ConfigurationError) as caught:
        parse(**options)
    return caught.value.problems


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abcxyz_", min_size=1), JSON, max_size=4))
def test_parameters_are_read_and_kept(said: dict[str, Any]) -> None:
    """Parameters are what JSON says, whatever it is, and still so where the predicting model reads the metadata row."""
    model = InferenceModel.from_definition(
        definition_from_yaml("m", SIDES | REQUIRED | {"parameters": json.dumps(said)})
    )
    assert model.options.parameters == said
    assert model_from_row(metadata_row(model, None)).options.parameters == said


def test_newlines_in_stop_words() -> None:
    r"""A ``\n`` that is written in JSON within SQL is a line feed."""
    statement = r"""CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING)
        WITH ('provider' = 'triton', 'endpoint' = 'http://h', 'model-name' = 'x', 'parameters' = '{"stop": ["\n"]}')"""
    assert InferenceModel.from_definition(parse_create_model(statement)).options.parameters == {"stop": ["\n"]}


@pytest.mark.parametrize("name", ["stop", "stop_words", "bad_words", "sampling_param_stop"])
def test_words_in_a_yaml_map(name: str) -> None:
    r"""As the error of an empty text says, a list with a line feed is written as JSON, also within a map."""
    written = {name: '["\\n", "END"]', "top_k": 5}
    options = InferenceModel.from_definition(
        definition_from_yaml("m", SIDES | REQUIRED | {"parameters": written})
    ).options
    assert options.parameters == {name: ["\n", "END"], "top_k": 5}
    for text in ("END", "[END]", "[1]", "[]"):
        written = {name: text}
        given = definition_from_yaml("m", SIDES | REQUIRED | {"parameters": written})
        assert InferenceModel.from_definition(given).options.parameters == written


def test_yaml_maps() -> None:
    """In YAML parameters may be a map, and Flink's names have values of their own types."""
    said = {"parameters": {"top_k": 5, "bad_words": ["x"]}, "temperature": 0, "max-tokens": 64, "guided": False}
    options = InferenceModel.from_definition(definition_from_yaml("m", SIDES | REQUIRED | said)).options
    assert options.parameters == {"top_k": 5, "bad_words": ["x"]}
    assert options.aliases == {"temperature": 0.0, "max-tokens": 64}
    assert options.guided == "false"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("END", ["END"]),
        ("a,b", ["a", "b"]),
        ('["a,b", "\\n"]', ["a,b", "\n"]),
        (["x", ","], ["x", ","]),
        ("\n", ["\n"]),
    ],
)
def test_stop_words(written: Any, read: list[str]) -> None:
    """Stop words have commas between them, as in Flink, or are a JSON array where one of them is a comma."""
    assert parse(stop=written).stop == read


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"parameters": "{"}, "parameters: write a JSON object such as {"),
        ({"parameters": "[1]"}, "parameters: write a JSON object"),
        ({"parameters": '{"a": 1, "a": 2}'}, "a key of it is given twice"),
        ({"parameters": '{"a": NaN}'}, "parameters: the value of a is none that JSON has"),
        ({"parameters": '{"": 1}'}, "parameters: the name of parameter 1 must be a text"),
        ({"parameters": '{"a": "\\ud800"}'}, "parameter 1 holds a NUL or another character that is"),
        ({"parameters": '{"a": "x\\u0000y"}'}, "parameter 1 holds a NUL or another character that is no text"),
        ({"parameters": '{"a": 36893488147419103232}'}, "the value of a is none that JSON has"),
        ({"request-parameters": '{"a": [1]}'}, "the value of a must be a text, a number, true or false"),
        ({"request-parameters": '{"a": null}'}, "the value of a must be a text, a number, true or false"),
        ({"request-parameters": '{"a": 9223372036854775808}'}, "the value of a has more than 64 bits"),
        ({"request-parameters": '{"a": "x\\u0000y"}'}, "the value of a holds a NUL, where Triton would cut it"),
        ({"request-parameters": '{"a": Infinity}'}, "the value of a is no number that JSON has"),
        ({"request-parameters": '{"triton_x": 1}'}, "triton_x is reserved"),
        ({"request-parameters": '{"priority": 1}'}, "the option priority is for it"),
        ({"route": "grpc"}, "route: write 'auto', 'infer' or 'generate'"),
        ({"responses": "many"}, "responses: write 'one' or 'concat'"),
        ({"response-format": "xml"}, "response-format: write 'text' or 'json'"),
        ({"guided": "yes"}, "guided: write 'auto', 'false', 'structured_outputs' or 'guided_decoding'"),
        ({"temperature": "-1"}, "temperature: write a number greater than or equal to 0"),
        ({"temperature": "warm"}, "temperature: write a number"),
        ({"top-p": "2"}, "top-p: write a number less than or equal to 1"),
        ({"max-tokens": "0"}, "max-tokens: write a number greater than or equal to 1"),
        ({"n": "1.5"}, "n: write a whole number"),
        ({"presence-penalty": "3"}, "presence-penalty: write a number less than or equal to 2"),
        ({"stop": "a,,b"}, "stop: a text of it is empty; dbt takes a line feed off the end of a text in YAML"),
        ({"parameters": {"stop_words": [""]}}, "the value of stop_words: a text of it is empty"),
        ({"parameters": {"stop": ""}}, "the value of stop: a text of it is empty"),
        ({"parameters": {"stop": '["a\\u0000"]'}}, "parameter 1 holds a NUL"),
        ({"stop": "[1]"}, "stop: write texts with commas between them"),
        ({"response-format": "json", "classification": "3"}, "response-format = json and classification contradict"),
        (
            {"parameters": '{"max_tokens": 5}', "max-tokens": "6"},
            "max-tokens and max_tokens of parameters are one thing",
        ),
        ({"parameters": '{"stop_words": ["a"]}', "stop": "b"}, "stop and stop_words of parameters are one thing"),
    ],
)
def test_refused(options: dict[str, Any], problem: str) -> None:
    """What cannot be meant is refused in one sentence that says what to write."""
    (found,) = problems(**{key.replace("-", "_"): value for key, value in options.items()})
    assert problem in found


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_request_parameters(name: str) -> None:
    """A parameter that Triton reads itself is none of the model's, and is never sent as one."""
    (found,) = problems(request_parameters={name: 1})
    assert f"{name} is reserved" in found


def test_request_parameters() -> None:
    """Texts, numbers and booleans of any name go as they are."""
    said = {"tenant": "ä", "limit": -(2**63), "share": 1.0, "debug": True, "Triton_x": ""}
    assert parse(request_parameters=json.dumps(said)).request_parameters == said
    assert [type(value) for value in parse(request_parameters=said).request_parameters.values()] == [
        type(value) for value in said.values()
    ]


@pytest.mark.parametrize("key", ["system-prompt", "system_prompt", "systemPrompt"])
def test_system_prompts(key: str) -> None:
    """A system prompt is refused, with the SQL that says the same."""
    with pytest.raises(ConfigurationError) as caught:
        parse_options(REQUIRED | {key: "Be curt."}, "m")
    (found,) = caught.value.problems
    assert "no chat template" in found
    assert "|| question as prompt" in found
    assert "Be curt" not in found


def test_flink_names_of_formats() -> None:
    """Flink's word for JSON is read, too."""
    assert parse(response_format="json_object").response_format == "json"
    assert parse(response_format="TEXT").response_format == "text"


def test_timeouts() -> None:
    """An answer of a language model may take two minutes, unless a timeout is written; and a kept default is none."""
    assert parse().timeout == 30_000
    assert parse().by_route("infer").timeout == 30_000
    assert parse().by_route("generate").timeout == 120_000
    assert parse(timeout="auto").by_route("generate").timeout == 120_000
    assert parse(timeout="30s").by_route("generate").timeout == 30_000
    model = InferenceModel.from_definition(definition_from_yaml("m", SIDES | REQUIRED))
    again = model_from_row(metadata_row(model, None))
    assert again.options.by_route("generate").timeout == 120_000


def test_merged_by_key() -> None:
    """Parameters of MAP win over those of meta, and these over WITH, key by key, as JSON or as a map."""
    written = {"parameters": '{"top_k": 1, "top_p": 0.5}', "request-parameters": {"a": 1}}
    meta = {"parameters": {"top_p": 0.6, "seed": 3}, "request-parameters": '{"b": 2}'}
    call = {"parameters": '{"seed": 4}'}
    model = InferenceModel.from_definition(definition_from_yaml("m", SIDES | REQUIRED | written))
    options = model.with_options(layered(meta, call), "m").options
    assert options.parameters == {"top_k": 1, "top_p": 0.6, "seed": 4}
    assert options.request_parameters == {"a": 1, "b": 2}


@pytest.mark.parametrize("alias", ALIASES)
def test_names_of_one_parameter(alias: str) -> None:
    """A call that says a parameter under Flink's name wins over one that is said within parameters, and the reverse."""
    for name in ALIASES[alias]:
        assert layered({"parameters": {name: 1, "other": 2}}, {alias: "3"}) == {"parameters": {"other": 2}, alias: "3"}
        assert layered({alias: "3", "x": "y"}, {"parameters": {name: 1}}) == {"parameters": {name: 1}, "x": "y"}


def test_what_cannot_be_read_is_told() -> None:
    """Parameters that are none are not lost in merging: their problem is told."""
    model = InferenceModel.from_definition(definition_from_yaml("m", SIDES | REQUIRED | {"parameters": {"a": 1}}))
    with pytest.raises(ConfigurationError, match="parameters: write a JSON object"):
        model.with_options({"parameters": "{"}, "call")
    for option, wrong in itertools.product(("parameters", "request-parameters"), ("{", '{"a": 1, "a": 2}', [1])):
        with pytest.raises(ConfigurationError, match=f"{option}: write a JSON object"):
            model.with_options(layered({option: wrong}, {option: '{"b": 1}'}), "call")


def test_options_are_shown() -> None:
    """The metadata row shows the options as they are written."""
    shown = mask_options(parse(parameters={"a": [1]}, max_tokens="5", stop="x", route="generate"))
    assert json.loads(json.dumps(shown))["parameters"] == {"a": [1]}
    assert (shown["max-tokens"], shown["stop"], shown["route"]) == (5, ["x"], "generate")
