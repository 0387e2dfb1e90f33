"""Columns that are keys of the JSON which an answer is, and the schema that a model is held to."""

import json
import re
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from unit.language_models import (
    ENSEMBLE,
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
from dbt_triton.inference_model.structured import schema_of
from dbt_triton.tensors import parse_texts
from dbt_triton.tensors.generation import AnswerColumn, Structured

REVIEW = "INPUT (review STRING) OUTPUT (sentiment STRING, score DOUBLE, topics STRING[])"
SCHEMA = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string"},
        "score": {"type": "number"},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["sentiment", "score", "topics"],
    "additionalProperties": False,
}


def structured(columns: str = REVIEW, **options: str) -> InferenceModel:
    """Define a model whose answers are JSON."""
    return prompted(columns, **({"response_format": "json", "max_tokens": "64"} | options))


def problems(definition: InferenceModel, served: ServedModel) -> list[str]:
    """Return what does not fit."""
    with pytest.raises(ConfigurationError) as caught:
        bind(definition, served)
    return caught.value.problems


def guides(binding: Binding) -> dict[str, Any]:
    """Return what holds a model to a schema, wherever it stands."""
    fixed = dict(binding.text_parameters.fixed) if binding.text_parameters is not None else {}
    said = {one.spec.name: one.value for one in binding.constants} | fixed
    return {name: value for name, value in said.items() if "guide" in name or "structured" in name}


@pytest.mark.parametrize("interface", INTERFACES)
def test_columns_are_keys(interface: str) -> None:
    """By every interface, columns that are no outputs are keys of the text, by their types."""
    model = structured()
    binding = bind(model, INTERFACES[interface])
    assert binding.structured is not None
    assert binding.outputs[binding.structured.text].name == "text_output"
    assert binding.structured.columns == tuple(AnswerColumn(None, column.name, column.type) for column in model.outputs)
    reason = binding.structured.finish_reason
    has_reason = any(tensor.name == "finish_reason" for tensor in INTERFACES[interface].outputs)
    assert (reason is not None) == has_reason
    if reason is not None:
        assert binding.outputs[reason].name == "finish_reason"
        assert "return_finish_reason" in {one.spec.name for one in binding.constants}


def test_outputs_beside_keys() -> None:
    """A column that is called like an output is that output, and so is one that names it: the text itself, say."""
    columns = (
        "INPUT (review STRING) OUTPUT (num_output_tokens BIGINT, sentiment STRING, raw STRING, finish_reason STRING)"
    )
    binding = bind(structured(columns, tensor_raw="text_output"), VLLM_25_12)
    assert [spec.name for spec in binding.outputs] == ["num_output_tokens", "text_output", "finish_reason"]
    assert binding.structured is not None
    assert (binding.structured.text, binding.structured.finish_reason) == (1, 2)
    assert [(column.output, column.key) for column in binding.structured.columns] == [
        (0, None),
        (None, "sentiment"),
        (1, None),
        (2, None),
    ]


def test_reason_that_is_not_wanted() -> None:
    """Why an answer ends is asked for, to say it of one that does not parse, unless parameters say no."""
    binding = bind(structured(parameters='{"return_finish_reason": false}'), VLLM_25_12)
    assert binding.structured is not None
    assert binding.structured.finish_reason is None
    assert [spec.name for spec in binding.outputs] == ["text_output"]


def test_one_key() -> None:
    """One column is a key, too, and not the text."""
    binding = bind(structured("INPUT (review STRING) OUTPUT (sentiment STRING)"), VLLM_24_10)
    assert binding.structured is not None
    assert [column.key for column in binding.structured.columns] == ["sentiment"]


def test_schemas() -> None:
    """The schema goes where the interface has a place for it, in the form that it wants."""
    assert guides(bind(structured(), VLLM_25_12)) == {"structured_outputs": json.dumps({"json": SCHEMA})}
    assert guides(bind(structured(), VLLM_25_03)) == {"guided_decoding": json.dumps({"json": SCHEMA})}
    assert guides(bind(structured(), ENSEMBLE)) == {
        "guided_decoding_guide_type": "json_schema",
        "guided_decoding_guide": json.dumps(SCHEMA),
    }
    assert guides(bind(structured(), VLLM_24_10)) == {}
    assert guides(bind(structured(), LLMAPI)) == {}


def test_schemas_that_are_not_sent() -> None:
    """A schema is not sent where that is switched off, or where parameters hold the model to something else."""
    for served in (VLLM_25_12, VLLM_25_03, ENSEMBLE):
        assert guides(bind(structured(guided="false"), served)) == {}
        assert guides(bind(prompted(max_tokens="5"), served)) == {}
    own = bind(structured(parameters='{"structured_outputs": {"choice": ["a", "b"]}}'), VLLM_25_12)
    assert guides(own) == {"structured_outputs": '{"choice": ["a", "b"]}'}
    own = bind(structured(parameters='{"guided_decoding_guide_type": "json"}'), ENSEMBLE)
    assert guides(own) == {"guided_decoding_guide_type": "json"}


def test_names_of_the_parameter() -> None:
    """Which name vLLM's parameter has can be said, where the inputs that are served would have it guessed wrong."""
    assert list(guides(bind(structured(guided="guided_decoding"), VLLM_25_12))) == ["guided_decoding"]
    assert list(guides(bind(structured(guided="structured_outputs"), VLLM_24_10))) == ["structured_outputs"]
    (found,) = problems(structured(guided="guided_decoding"), ENSEMBLE)
    assert "guided is guided_decoding, but the model takes no such parameter" in found


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("BOOLEAN", {"type": "boolean"}),
        ("TINYINT", {"type": "integer"}),
        ("UBIGINT", {"type": "integer"}),
        ("FLOAT", {"type": "number"}),
        ("DECIMAL(5, 2)", {"type": "number"}),
        ("STRING", {"type": "string"}),
        ("JSON", {}),
        ("DATE", {"type": "string", "format": "date"}),
        ("TIMESTAMP_LTZ", {"type": "string", "format": "date-time"}),
        ("INT[]", {"type": "array", "items": {"type": "integer"}}),
        ("ARRAY<STRING>", {"type": "array", "items": {"type": "string"}}),
        ("FLOAT[3]", {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}),
        (
            "BOOLEAN[2][]",
            {
                "type": "array",
                "items": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
            },
        ),
    ],
)
def test_types_of_schemas(declared: str, expected: dict[str, Any]) -> None:
    """What a model is held to is what the column can hold."""
    schema = schema_of(structured(f"INPUT (p STRING) OUTPUT (key {declared})").outputs)
    assert schema["properties"] == {"key": expected}
    assert schema["required"] == ["key"]


@pytest.mark.parametrize(
    ("declared", "held_to", "not_held_to"),
    [
        ("TIME", ["01:02:03", "23:59:59.123456"], ["01:02:03Z", "01:02:03+01:00", "24:00:00", "01:02", "x01:02:03"]),
        (
            "TIMESTAMP",
            ["2026-02-28T01:02:03", "2026-12-31T23:59:59.5"],
            ["2026-02-28T01:02:03Z", "2026-02-28 01:02:03", "2026-13-01T00:00:00", "2026-02-28T01:02:03.1234567"],
        ),
    ],
)
def test_times_without_a_zone(declared: str, held_to: list[str], not_held_to: list[str]) -> None:
    """Whatever a schema lets a model write is read: ``time`` and ``date-time`` of JSON Schema always have a zone."""
    column = structured(f"INPUT (p STRING) OUTPUT (key {declared})").outputs[0]
    schema = schema_of([column])["properties"]["key"]
    assert schema.keys() == {"type", "pattern"}
    assert [text for text in held_to + not_held_to if re.search(schema["pattern"], text)] == held_to
    texts = pa.array([json.dumps({"key": text}) for text in held_to], pa.large_string())
    assert not parse_texts([texts], Structured(0, None, (AnswerColumn(None, "key", column.type),))).failed


def test_what_cannot_be_json() -> None:
    """What the JSON of an answer cannot be is refused when the model is built."""
    (found,) = problems(structured("INPUT (p STRING) OUTPUT (key BLOB)"), VLLM_25_12)
    assert "OUTPUT column key is a key of the JSON that an answer is, which holds no bytes" in found
    (found,) = problems(structured("INPUT (p STRING) OUTPUT (finish_reason STRING)"), VLLM_25_12)
    assert "every column of OUTPUT is an output of the model (finish_reason)" in found
    (found,) = problems(structured(n="2"), VLLM_25_12)
    assert found == "response-format is json, which is for one answer, but n is 2"


def test_models_that_are_no_language_models() -> None:
    """Any model whose only text is JSON can be read so; where there is none, or are two, that is said."""
    output = ServedTensor("OUT", "BYTES", (1,))
    served = replace(VLLM_24_10, inputs=(ServedTensor("IN", "BYTES", (1,)),), outputs=(output,), decoupled=False)
    options = {"response_format": "json"}
    binding = bind(prompted(REVIEW, **options), served)
    assert binding.structured is not None
    assert (binding.outputs[0].name, binding.structured.text, binding.warnings) == ("OUT", 0, ())
    for outputs in ((ServedTensor("OUT", "FP32", (1,)),), (output, replace(output, name="OTHER"))):
        (found,) = problems(prompted(REVIEW, **options), replace(served, outputs=outputs))
        assert "the model has no output that is one text" in found
    (found,) = problems(prompted(REVIEW, **options), replace(served, outputs=(replace(output, shape=(2,)),)))
    assert "which is for one text a row" in found


def test_fingerprints() -> None:
    """Answers that were read as text are not those that are read as JSON, nor those that were held to a schema."""
    columns = "INPUT (p STRING) OUTPUT (text_output STRING, key STRING)"
    found = {
        bind(structured(columns, **options), VLLM_25_12).fingerprint
        for options in ({}, {"guided": "false"}, {"guided": "guided_decoding"})
    }
    assert len(found) == 3
