import itertools

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.kserve import spec

from dbt_triton.errors import AnswerError
from dbt_triton.tensors import Answer, decode_outputs
from dbt_triton.tensors import bytes_elements as module

Elements = list[bytes]


def laid(elements: Elements) -> bytes:
    """Lay elements as Triton does: each behind its length."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def decoded(parts: list[tuple[bytes, int]]) -> Elements:
    """Decode the parts of a chunk, each the bytes and the rows of one answer."""
    answers = [Answer(rows, [memoryview(data)], None) for data, rows in parts]
    (array,) = decode_outputs(answers, [spec("o", "BYTES")])
    return array.to_pylist()  # type: ignore[no-any-return]


def in_both_ways(monkeypatch: pytest.MonkeyPatch, parts: list[tuple[bytes, int]]) -> list[Elements | str]:
    """Decode as a page of a Parquet file, and one by one as what no page can hold; an error is given as its text."""
    results: list[Elements | str] = []
    for page_bytes in (10**6, -1):
        monkeypatch.setattr(module, "_PAGE_BYTES", page_bytes)
        try:
            results.append(decoded(parts))
        except AnswerError as error:
            results.append(str(error))
    return results


# Some elements look like lengths.
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
    """Whatever bytes the elements hold, each is found, in order, in either way."""
    expected = list(itertools.chain.from_iterable(parts))
    with pytest.MonkeyPatch.context() as monkeypatch:
        given_parts = [(laid(part), len(part)) for part in parts]
        assert in_both_ways(monkeypatch, given_parts) == [expected, expected]


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
        page, one_by_one = in_both_ways(monkeypatch, changed)
    assert page == one_by_one
    if isinstance(page, str):
        assert "do not add up" in page
    else:
        # What is believed is what the bytes say, and nothing is left over.
        assert laid(page) == b"".join(content for content, _ in changed)
        assert len(page) == sum(rows for _, rows in changed)


@given(elements=st.lists(ELEMENT, max_size=30), skipped=st.integers(0, 5), one_by_one=st.booleans())
@example(elements=[b"x" * 100] * 25_000, skipped=1, one_by_one=False)
@example(elements=[b"x" * 700_000] * 3, skipped=0, one_by_one=False)
def test_encoding(*, elements: Elements, skipped: int, one_by_one: bool) -> None:
    """Elements are laid behind their lengths, as many and as large as they are, a slice of an array too."""
    array = pa.array(elements, pa.large_binary()).slice(skipped)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if one_by_one:
            monkeypatch.setattr(module, "_PAGE_BYTES", -1)
        data, starts = module.encode_bytes(array)
    assert bytes(data) == laid(elements[skipped:])
    assert starts.tolist() == list(itertools.accumulate((4 + len(e) for e in elements[skipped:]), initial=0))


def test_length_beyond_everything() -> None:
    """A length of nearly 4 GB is an error, not an allocation."""
    lie = (2**32 - 1).to_bytes(4, "little") + b"abc"
    for parts in ([(lie, 1)], [(laid([b"a"]) * 20 + lie, 21)], [(laid([b"a"]), 1), (lie, 1)]):
        with pytest.raises(AnswerError, match="do not add up"):
            decoded(parts)
