"""Answers of many megabytes are decoded as small ones are, and cost no new pages each time."""

from __future__ import annotations

import gc

import numpy as np
import pyarrow as pa
import pytest

from dbt_triton.tensors import joined as module
from dbt_triton.tensors.bytes_elements import decode_bytes, encode_bytes
from dbt_triton.tensors.joined import joined


@pytest.mark.parametrize("large", [1, module._LARGE])
@pytest.mark.parametrize("sizes", [[], [0], [5_000], [0, 4_096, 9_000, 0], [4_097] * 50, [3, 1, 2]])
def test_joined_parts_are_the_same(large: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes of the parts, and however they are kept, the bytes are theirs in their order."""
    monkeypatch.setattr(module, "_LARGE", large)
    parts = [np.random.default_rng(number).bytes(size) for number, size in enumerate(sizes)]
    for kept in (parts, [memoryview(part) for part in parts]):
        assert bytes(joined(kept)) == b"".join(parts)


def test_large_numbers_outlive_what_they_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decoded holds its bytes by itself."""
    monkeypatch.setattr(module, "_LARGE", 1)
    numbers = np.arange(100_000, dtype=np.float32)
    seen = np.frombuffer(joined([memoryview(numbers[:50_000].tobytes()), numbers[50_000:].tobytes()]), np.float32)
    gc.collect()
    assert np.array_equal(seen, numbers)


def test_large_texts_are_read_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of many answers, joined either way, are those that were sent."""
    texts = [f"text {number} " * (number % 40 + 1) for number in range(2_000)]
    halves = [encode_bytes(pa.array(half, pa.large_string()))[0] for half in (texts[:700], texts[700:])]
    counts = np.array([700, 1_300], dtype=np.int64)
    small = decode_bytes(halves, counts)
    monkeypatch.setattr(module, "_LARGE", 1)
    monkeypatch.setattr(module, "_SMALL_PART", 1)
    large = decode_bytes(halves, counts)
    assert small is not None
    assert large is not None
    assert large.equals(small)
    assert large.cast(pa.large_string()).to_pylist() == texts
