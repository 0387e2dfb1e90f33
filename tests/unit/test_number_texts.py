"""Numbers that come as texts on the infer route, as TensorRT-LLM's llmapi sends its figures whatever it declares."""

import json
import struct
from typing import Any

import pytest

from dbt_triton.errors import AnswerError
from dbt_triton.tensors import AnswerReader, TensorSpec, datatype_of_tensor, decode_outputs

#: A datatype, texts, and what they are.
TEXTS: list[tuple[str, list[str], list[Any]]] = [
    ("FP32", ["0.0", "-1.5", "3"], [0.0, -1.5, 3.0]),
    ("FP64", ["1e300", "inf", ".5"], [1e300, float("inf"), 0.5]),
    ("INT32", ["5", "-7", "8.0"], [5, -7, 8]),
    ("INT64", ["9007199254740993.0", "-1e3", "0.5e1"], [2**53 + 1, -1000, 5]),
    ("UINT64", [str(2**64 - 1), "0", "1"], [2**64 - 1, 0, 1]),
    ("BOOL", ["True", "false", "FALSE"], [True, False, False]),
]
REFUSED = [("FP32", "high"), ("INT32", "1.5"), ("INT32", str(2**31)), ("UINT64", "-1"), ("BOOL", "1"), ("FP64", "None")]
REFUSED += [("INT64", "1.00000000000000000001"), ("INT64", "0" * 400 + "5"), ("FP64", "0" * 400 + ".5")]


def read(datatype: str, texts: list[str], *, binary: bool, said: str = "BYTES") -> list[Any]:
    """Read an answer whose output has texts."""
    found = datatype_of_tensor(datatype)
    assert found is not None
    spec = TensorSpec("rate", "rate", found, (1,))
    output: dict[str, Any] = {"name": "rate", "datatype": said, "shape": [len(texts), 1]}
    payload = b"".join(struct.pack("<I", len(text)) + text.encode() for text in texts)
    if binary:
        output["parameters"] = {"binary_data_size": len(payload)}
    else:
        output["data"] = texts
    header = json.dumps({"model_version": "1", "outputs": [output]}).encode()
    reader = AnswerReader([spec], batched=True)
    length = len(header) if binary else None
    answers = [reader.read(header + payload * binary, length, len(texts)) for _ in range(2)]
    values: list[Any] = decode_outputs(answers, [spec])[0].to_pylist()
    return values


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("datatype", "texts", "expected"), TEXTS)
def test_texts_are_read_as_the_numbers_that_are_declared(
    datatype: str, texts: list[str], expected: list[Any], binary: bool
) -> None:
    """A server that says that it sends texts may send them for numbers, in both codecs and in batches."""
    assert read(datatype, texts, binary=binary) == expected * 2


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("datatype", "text"), REFUSED)
def test_a_text_that_is_no_such_number_is_no_answer(datatype: str, text: str, binary: bool) -> None:
    """Nothing is rounded, and nothing is guessed."""
    with pytest.raises(AnswerError, match="output rate holds"):
        read(datatype, [text], binary=binary)


def test_texts_in_place_of_numbers_that_the_answer_declares() -> None:
    """An answer that contradicts itself is not believed."""
    with pytest.raises(AnswerError, match="one that is no number"):
        read("FP32", ["0.5"], binary=False, said="FP32")
