"""What is often got wrong with language models, and what is said of it when the inference model is built."""

from __future__ import annotations

import pytest
from unit.language_models import ENSEMBLE, LLMAPI, VLLM_24_10, VLLM_25_03, VLLM_25_12, prompted

from dbt_triton.client.served import ServedModel
from dbt_triton.errors import ConfigurationError
from dbt_triton.inference_model import bind


def problem(columns: str, served: ServedModel, **options: str) -> str:
    """Return the only thing that does not fit."""
    with pytest.raises(ConfigurationError) as caught:
        bind(prompted(columns, max_tokens="64", **options), served)
    (found,) = caught.value.problems
    return found


def warned(served: ServedModel, columns: str = "INPUT (p STRING) OUTPUT (a STRING)", **options: str) -> tuple[str, ...]:
    """Return the warnings of a model that fits."""
    return bind(prompted(columns, **({"max_tokens": "64"} | options)), served).warnings


def test_an_output_with_a_typo() -> None:
    """The answer is not blamed for a column beside it, whose nearest output is named."""
    found = problem("INPUT (p STRING) OUTPUT (answer STRING, num_outputs_tokens INT)", VLLM_25_12)
    assert found.startswith("answer and num_outputs_tokens of OUTPUT are no outputs of the model, which also gives")
    assert "only one of them can be the answer; did you mean num_output_tokens for num_outputs_tokens?" in found


@pytest.mark.parametrize("served", [VLLM_25_12, ENSEMBLE, LLMAPI])
def test_several_texts_without_json(served: ServedModel) -> None:
    """Columns that a model is to fill, without the option that reads them from its answer: the option is named."""
    found = problem("INPUT (p STRING) OUTPUT (summary STRING, label STRING)", served)
    assert found.startswith("summary and label of OUTPUT are no outputs of the model, which also gives ")
    assert "'response-format' = 'json'" in found
    assert "did you mean" not in found


def test_a_model_with_nothing_but_text() -> None:
    """An old vLLM gives no counts."""
    found = problem("INPUT (p STRING) OUTPUT (answer STRING, finish_reason STRING)", VLLM_24_10)
    assert "answer and finish_reason of OUTPUT are no outputs of the model, which gives nothing else" in found


def test_an_output_beside_the_answer_that_is_named() -> None:
    """Where the answer is known, only the other column is wrong."""
    found = problem("INPUT (p STRING) OUTPUT (text_output STRING, finish_raeson STRING)", VLLM_25_12)
    assert found.startswith("OUTPUT column finish_raeson: the model has no tensor finish_raeson; did you mean")


@pytest.mark.parametrize("served", [VLLM_25_12, ENSEMBLE, LLMAPI])
def test_a_number_for_an_answer(served: ServedModel) -> None:
    """An answer is a text, not an array of texts; the keys of one have types."""
    found = problem("INPUT (p STRING) OUTPUT (score DOUBLE)", served)
    assert found.startswith("OUTPUT column score is declared DOUBLE (FP64), but the server's text_output is BYTES")
    assert "a text; declare STRING, or write 'response-format' = 'json'" in found


def test_a_parameter_of_each_row_with_a_typo() -> None:
    """The nearest parameter is named, and not only the way to name the prompt."""
    found = problem("INPUT (prompt STRING, temprature DOUBLE) OUTPUT (answer STRING)", VLLM_25_12)
    assert (
        "one of them is the prompt; did you mean temperature for temprature? Otherwise write 'tensor.<column>'" in found
    )


def test_a_parameter_of_vllm_with_a_typo() -> None:
    """What vLLM would refuse without a word is warned of, but sent, since it may be newer than what is known."""
    (found,) = warned(VLLM_25_12, parameters='{"temprature": 0}')
    assert "did you mean temperature?" in found
    (found,) = warned(VLLM_25_12, "INPUT (p STRING, top_kk INT) OUTPUT (a STRING)", tensor_p="text_input")
    assert "did you mean top_k for top_kk?" in found
    assert not warned(VLLM_25_12, parameters='{"top_k": 3, "lora_name": "x"}')


@pytest.mark.parametrize(
    ("served", "key", "other"),
    [
        (VLLM_25_12, "guided_json", "structured_outputs"),
        (VLLM_25_12, "guided_decoding", "structured_outputs"),
        (VLLM_25_03, "guided_choice", "guided_decoding"),
    ],
)
def test_the_word_of_another_vllm_for_a_guide(served: ServedModel, key: str, other: str) -> None:
    """The names that vLLM's own server, and another version, have for a schema."""
    (found,) = warned(served, parameters=f'{{"{key}": {{"choice": ["a", "b"]}}}}')
    assert found.startswith(f"{key} of parameters")
    assert other in found
    assert not warned(served, parameters=f'{{"{other}": {{"choice": ["a", "b"]}}}}')


@pytest.mark.parametrize("served", [VLLM_25_12, ENSEMBLE, LLMAPI])
def test_a_line_feed_that_is_none(served: ServedModel) -> None:
    """In SQL a backslash and an n are two characters, at which no answer ends."""
    (found,) = warned(served, stop="\\n")
    assert "write the texts as JSON, '[\"\\n\"]'" in found
    assert not warned(served, stop='["\\n"]')
    assert not warned(served, stop="\n,###")
