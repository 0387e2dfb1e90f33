import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.kserve import spec

from dbt_triton.errors import AnswerError
from dbt_triton.tensors import bytes_elements as module
from dbt_triton.tensors.answer import Answer, decode_outputs

Elements = list[bytes]
Walk = Callable[[np.ndarray[Any, Any], list[tuple[int, int]]], Any]


def laid(elements: Elements) -> bytes:
    """Lay elements as Triton does: each behind its length."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def decoded(parts: list[tuple[bytes, int]]) -> Elements:
    """Decode the parts of a chunk, each the bytes and the rows of one answer."""
    answers = [Answer(rows, [memoryview(data)], None) for data, rows in parts]
    (array,) = decode_outputs(answers, [spec("o", "BYTES")])
    return array.to_pylist()  # type: ignore[no-any-return]


def by_both_walks(monkeypatch: pytest.MonkeyPatch, parts: list[tuple[bytes, int]]) -> list[Elements | str]:
    """Decode in step and by doubling; an error is given as its text."""
    results: list[Elements | str] = []
    for lockstep in (10**9, 0):
        monkeypatch.setattr(module, "_LOCKSTEP_PARTS", lockstep)
        try:
            results.append(decoded(parts))
        except AnswerError as error:
            results.append(str(error))
    return results


# Bytes that look like lengths are what the walk by doubling has to see through.
ELEMENT = st.one_of(
    st.binary(max_size=9),
    st.integers(0, 12).map(bytes),
    st.lists(st.binary(max_size=3), max_size=3).map(laid),
    st.integers(250, 260).map(lambda size: b"\x00" * size),
)
PARTS = st.lists(st.lists(ELEMENT, min_size=1, max_size=20), min_size=1, max_size=8)


@given(PARTS)
@example([[b""]])
@example([[b"x" * 255], [b"y" * 256]])
@example([[b"\x00" * 65_535, b"a"], [b"\x00" * 65_536]])
@example([[b"", b"", b""], [b"\x00\x00\x00\x00"]])
def test_elements_are_found(parts: list[Elements]) -> None:
    """Whatever bytes the elements hold, each is found, in order, by either way of finding them."""
    expected = list(itertools.chain.from_iterable(parts))
    with pytest.MonkeyPatch.context() as monkeypatch:
        given_parts = [(laid(part), len(part)) for part in parts]
        assert by_both_walks(monkeypatch, given_parts) == [expected, expected]


@given(PARTS, st.data())
def test_lengths_that_lie(parts: list[Elements], data: st.DataObject) -> None:
    """After any change of bytes, or of where parts end, both ways agree: an error, or elements of the right number."""
    pieces = [(bytearray(laid(part)), len(part)) for part in parts]
    which = data.draw(st.integers(0, len(pieces) - 1))
    content, rows = pieces[which]
    kind = data.draw(st.sampled_from(["change", "cut", "add", "rows"]))
    if kind == "change":
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    elif kind == "cut":
        del content[-data.draw(st.integers(1, len(content))) :]
    elif kind == "add":
        content += data.draw(st.binary(min_size=1, max_size=6))
    else:
        pieces[which] = (content, max(1, rows + data.draw(st.sampled_from([-1, 1]))))
    changed = [(bytes(content), rows) for content, rows in pieces]
    with pytest.MonkeyPatch.context() as monkeypatch:
        in_step, by_doubling = by_both_walks(monkeypatch, changed)
    assert in_step == by_doubling
    if isinstance(in_step, str):
        assert "do not add up" in in_step
    else:
        # What is believed is what the bytes say, and nothing is left over.
        assert laid(in_step) == b"".join(content for content, _ in changed)
        assert len(in_step) == sum(rows for _, rows in changed)


def test_length_beyond_everything() -> None:
    """A length of nearly 4 GB is an error, not an allocation."""
    lie = (2**32 - 1).to_bytes(4, "little") + b"abc"
    for parts in ([(lie, 1)], [(laid([b"a"]) * 20 + lie, 21)], [(laid([b"a"]), 1), (lie, 1)]):
        with pytest.raises(AnswerError, match="do not add up"):
            decoded(parts)


def test_long_elements_among_many() -> None:
    """A part of more than 16 MB, with many elements, is decoded without a copy of numbers for each of its bytes."""
    elements = [b"x" * 40_000] * 450
    content = laid(elements)
    assert len(content) > 2**24
    tracemalloc.start()
    try:
        assert decoded([(content, 450)]) == elements
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The elements, their bytes and marks for each of them; a number of 8 bytes for each would be 8 times as much.
    assert peak < 7 * len(content)
