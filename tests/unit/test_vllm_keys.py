"""Keys of the text that vLLM's backend reads: one that it has not been known to take is told, since it says nothing."""

import json
from typing import Any

import pytest
from unit.language_models import VLLM_25_12, prompted

from dbt_triton.inference_model import Binding, bind


def sent(binding: Binding) -> dict[str, Any]:
    """Return what is the same in every row."""
    assert binding.text_parameters is not None
    return dict(binding.text_parameters.fixed)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        *(("max_new_tokens", "max_tokens"), ("max_token", "max_tokens"), ("random_seed", "seed"), ("topk", "top_k")),
        *(
            ("stop_words", "stop"),
            ("guided_json", "structured_outputs"),
            ("Temperature", "temperature"),
        ),
        ("response_format", "structured_outputs"),
        ("qwxz", ""),
    ],
)
def test_keys_that_vllm_does_not_know(key: str, hint: str) -> None:
    """A key is sent, as new versions know more, but it is said that it may be the reason that every prompt fails."""
    binding = bind(prompted(parameters=json.dumps({key: 1}), temperature="0", max_tokens="5"), VLLM_25_12)
    assert sent(binding) == {key: 1, "temperature": 0.0, "max_tokens": 5}
    (found,) = binding.warnings
    assert found.startswith(f"{key} of parameters: vLLM has not been known to take it")
    assert found.endswith(f"; did you mean {hint}?" if hint else "does not know")


def test_keys_that_vllm_knows() -> None:
    """Nothing is said of a key that it knows."""
    known = {"top_k": 5, "min_p": 0.1, "stop_token_ids": [2], "structured_outputs": {"choice": ["a"]}, "logprobs": 1}
    assert not bind(prompted(parameters=json.dumps(known), max_tokens="5"), VLLM_25_12).warnings
