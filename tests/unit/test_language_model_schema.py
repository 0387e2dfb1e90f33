"""Language models whose INPUT or OUTPUT is left out, and what is told of any of them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from unit.language_models import ENSEMBLE, INTERFACES, LLMAPI, VLLM_25_12, prompted

from dbt_triton.client.served import ServedModel
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import (
    InferenceModel,
    bind,
    description,
    metadata_row,
    model_from_row,
    with_served_schema,
)
from dbt_triton.inference_model.served_columns import GivenColumn
from dbt_triton.inference_model.served_schema import for_descriptor


def taken(served: ServedModel, columns: str = "", **options: str) -> InferenceModel:
    """Take from a server what a statement leaves out, as a predicting model reads it back."""
    model = with_served_schema(prompted(columns, **options), served)
    return model_from_row(metadata_row(model, served, bind(model, served)))


def declared(model: InferenceModel) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns of both sides with their types."""
    sides = (model.inputs, model.outputs)
    inputs, outputs = ({column.name: column.sql_type for column in side} for side in sides)
    return inputs, outputs


@pytest.mark.parametrize("interface", INTERFACES)
def test_schema_of_language_models(interface: str) -> None:
    """A prompt and an answer are all that is needed: neither settings nor what nobody has asked for are columns."""
    model = taken(INTERFACES[interface], max_tokens="64")
    assert declared(model) == ({"text_input": "STRING"}, {"text_output": "STRING"})
    settings = {"stream", "streaming", "exclude_input_in_output", "sampling_parameters", "embedding_request", "stop"}
    optional = {column.name for column in model.all_inputs} - {"text_input"}
    assert not optional & settings
    assert not any(name.startswith(("return_", "guided", "max_tokens")) for name in optional)
    bound = for_descriptor(model, [GivenColumn("my_prompt", "VARCHAR")])
    assert isinstance(bound, InferenceModel)
    assert [spec.name for spec in bind(bound, INTERFACES[interface]).inputs] == ["text_input"]


def test_required_parameters() -> None:
    """An input that must be there is a column, unless a parameter says it for all rows."""
    model = taken(ENSEMBLE)
    assert declared(model)[0] == {"text_input": "STRING", "max_tokens": "INTEGER"}
    assert {"temperature", "stop_words"} <= {column.name for column in model.all_inputs}
    bound = for_descriptor(model, [GivenColumn("p", "VARCHAR"), GivenColumn("m", "INTEGER")])
    assert isinstance(bound, InferenceModel)
    assert [spec.name for spec in bind(bound, ENSEMBLE).inputs] == ["text_input", "max_tokens"]


def test_settings_that_must_be_there() -> None:
    """A server that calls its settings required is asked like any other: for the answer alone, and for a whole one.

    A call may have a column of such a name all the same.
    """
    names = ("stream", "sampling_parameters", "exclude_input_in_output")
    inputs = (replace(one, optional=one.optional and one.name not in names) for one in VLLM_25_12.inputs)
    strict = replace(VLLM_25_12, inputs=tuple(inputs))
    model = taken(strict, max_tokens="5")
    assert declared(model)[0] == {"text_input": "STRING"}
    bound = for_descriptor(model, [GivenColumn("p", "VARCHAR")])
    assert isinstance(bound, InferenceModel)
    binding = bind(bound, strict)
    assert {one.spec.name: one.value for one in binding.constants} == {"stream": False, "exclude_input_in_output": True}
    assert binding.text_parameters is not None
    assert {one.spec.name for one in bind(prompted(), strict).constants} == {"stream", "exclude_input_in_output"}
    by_row = for_descriptor(model, [GivenColumn("p", "VARCHAR"), GivenColumn("stream", "BOOLEAN")])
    assert isinstance(by_row, InferenceModel)
    assert [spec.name for spec in bind(by_row, strict).inputs] == ["text_input", "stream"]


def test_optional_inputs_by_name() -> None:
    """An optional input that a call names is one of this call's columns."""
    model = taken(ENSEMBLE, max_tokens="5")
    bound = for_descriptor(model, [GivenColumn("p", "VARCHAR"), GivenColumn("temperature", "FLOAT")])
    assert isinstance(bound, InferenceModel)
    assert [spec.name for spec in bind(bound, ENSEMBLE).inputs] == ["text_input", "temperature"]
    assert {one.spec.name for one in bind(bound, ENSEMBLE).constants} == {"max_tokens", "exclude_input_in_output"}


def test_outputs_that_are_switched_on() -> None:
    """An output whose flag is set by parameters is a column, and several answers are an array."""
    model = taken(VLLM_25_12, parameters='{"return_finish_reason": true, "max_tokens": 5}')
    assert declared(model)[1] == {"text_output": "STRING", "finish_reason": "STRING[]"}
    assert declared(taken(VLLM_25_12, max_tokens="5", n="2"))[1] == {"text_output": "STRING[]"}


def test_keys_have_to_be_declared() -> None:
    """No server knows the keys of the JSON that an answer is to be."""
    with pytest.raises(ConfigurationError, match="declare OUTPUT, a column for each"):
        taken(VLLM_25_12, response_format="json", max_tokens="5")


def test_columns_of_parameters_beside_a_prompt() -> None:
    """A model keeps its per-row parameters when its row is read back."""
    model = taken(VLLM_25_12, "INPUT (prompt STRING, seed INT) OUTPUT (answer STRING)", max_tokens="5")
    text = bind(model, VLLM_25_12).text_parameters
    assert text is not None
    assert [column.key for column in text.columns] == ["seed"]


def described(served: ServedModel, columns: str, **options: str) -> list[str]:
    """Return the lines that describe a model."""
    model = prompted(columns, **options)
    return description(model, served, bind(model, served)).splitlines()


def line(lines: list[str], begin: str) -> Any:
    """Return what JSON a line holds."""
    (found,) = (text.removeprefix(begin) for text in lines if text.startswith(begin))
    return json.loads(found)


def test_descriptions() -> None:
    """`describe` says by which route a model is asked, what a request has beside columns, and which keys are read."""
    columns = "INPUT (prompt STRING, seed INT) OUTPUT (mood STRING, finish_reason STRING)"
    options = {
        "response_format": "json",
        "guided": "false",
        "max_tokens": "5",
        "request_parameters": '{"tenant": "a"}',
    }
    lines = described(VLLM_25_12, columns, **options)
    assert "Asked by generate_stream, one row a request" in lines
    assert line(lines, "Sent with each row: ") == {
        "exclude_input_in_output": True,
        "return_finish_reason": True,
        "sampling_parameters": {"max_tokens": 5, "seed": "the column seed"},
    }
    assert line(lines, "Parameters of requests: ") == {"tenant": "a"}
    assert "Keys of the JSON of text_output: mood" in lines
    assert line(lines, "Options: ")["timeout"] == 120_000
    lines = described(LLMAPI, "INPUT (p STRING) OUTPUT (a STRING)", max_tokens="5")
    assert not any(text.startswith(("Asked by", "Keys of", "Parameters of")) for text in lines)
    assert line(lines, "Options: ")["timeout"] == 30_000


def test_fingerprint_of_the_row() -> None:
    """The row's fingerprint is the one under which predictions are kept."""
    model = prompted(max_tokens="5")
    binding = bind(model, VLLM_25_12)
    assert metadata_row(model, VLLM_25_12, binding)["fingerprint"] == binding.fingerprint
