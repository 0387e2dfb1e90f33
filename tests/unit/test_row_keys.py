from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.tensors.row_keys import row_keys

_FLOAT = st.sampled_from([0.0, -0.0, 1.0, 2.5, None])
_COLUMNS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.large_list(pa.float32()), st.none() | st.lists(_FLOAT, max_size=4)),
    (pa.list_(pa.list_(pa.float32())), st.none() | st.lists(st.none() | st.lists(_FLOAT, max_size=2), max_size=3)),
    (pa.list_(pa.float32(), 2), st.none() | st.lists(_FLOAT, min_size=2, max_size=2)),
    (pa.list_(pa.bool_()), st.none() | st.lists(st.sampled_from([True, False, None]), max_size=9)),
    (pa.list_(pa.decimal128(18, 2)), st.none() | st.lists(st.sampled_from([None, 1, 2]), max_size=3)),
    (pa.list_(pa.timestamp("us")), st.none() | st.lists(st.sampled_from([None, 1, 2]), max_size=3)),
    (pa.large_binary(), st.none() | st.sampled_from([b"", b"\0", b"\0\0", b"a"])),
    (pa.string(), st.none() | st.sampled_from(["", "a", "b", "ab"])),
]
_SALT = b"12345"


def _exact(value: Any) -> Any:
    """Return what two values have in common exactly if they are the same: the sign of zero, too."""
    if isinstance(value, list):
        return [_exact(element) for element in value]
    return struct.pack("d", value) if isinstance(value, float) else value


@pytest.mark.parametrize(("kind", "values"), _COLUMNS, ids=[str(kind) for kind, _ in _COLUMNS])
def test_two_rows_have_one_key_exactly_if_they_are_the_same(kind: pa.DataType, values: st.SearchStrategy[Any]) -> None:
    """Whatever stands beside them, wherever a record batch is cut; a NULL has none."""

    @given(st.lists(values, min_size=1, max_size=8), st.integers(0, 3))
    def check(rows: list[Any], cut: int) -> None:
        keys = row_keys([pa.array(rows, kind)], _SALT)
        for row, key in zip(rows, keys, strict=True):
            assert (key is None) == (row is None)
            for other, other_key in zip(rows, keys, strict=True):
                if row is not None and other is not None:
                    assert (key == other_key) == (_exact(row) == _exact(other))
        assert row_keys([pa.array(rows, kind)[cut:]], _SALT) == keys[cut:]
        assert row_keys([pa.array(rows[:1], kind)], _SALT) == keys[:1]

    check()


def test_values_of_several_columns_do_not_run_together() -> None:
    """What ends one column and begins the next is told apart."""
    first, second = pa.array(["ab", "a", "a"]), pa.array(["c", "bc", None])
    keys = row_keys([first, second], _SALT)
    assert keys[0] != keys[1]
    assert keys[2] is None
    lists = pa.array([[1.0, 2.0], [1.0]], pa.list_(pa.float32())), pa.array([[3.0], [2.0, 3.0]], pa.list_(pa.float32()))
    assert len(set(row_keys(lists, _SALT))) == 2


def test_key_depends_on_the_salt_and_has_128_bits() -> None:
    """Who does not know the salt does not know the key."""
    column = pa.array([np.arange(1000, dtype=np.float32)])
    [one], [other] = row_keys([column], b"1"), row_keys([column], b"2")
    assert one is not None
    assert other is not None
    assert one != other
    assert len(one) == 16


def test_bits_of_a_nan_count() -> None:
    """Two NaNs of other bits are two values, as they are for the server."""
    bits = np.array([0x7FC00000, 0x7FC00001, 0x7FC00000], dtype=np.uint32).view(np.float32)
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), pa.array(bits))
    keys = row_keys([column], _SALT)
    assert keys[0] == keys[2] != keys[1]
