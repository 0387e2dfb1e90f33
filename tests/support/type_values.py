"""Values of every SQL type, drawn by hypothesis, and every pair of a SQL type and a datatype that holds it."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from dbt_triton.tensors import SqlType, datatype_of_tensor, fits, parse_sql_type
from dbt_triton.tensors.datatypes import natural_sql_type
from dbt_triton.tensors.sql_types import INTEGER_BITS

# pytest would walk into a `.hypothesis` folder at the root, which the plugin reports with a warning.
set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")

DATATYPES = [
    *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
]
SQL_TYPES = [
    *("BOOLEAN", *INTEGER_BITS, "FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE"),
    *("DECIMAL(2,0)", "DECIMAL(6,3)", "DECIMAL(15,2)", "DECIMAL(38,10)"),
    *("VARCHAR", "JSON", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Pair:
    """A SQL type that goes into a tensor, and the one that its values come back as."""

    sent: str
    datatype: str
    received: str

    @property
    def tensor(self) -> str:
        """The datatype as a model's config spells it."""
        return "STRING" if self.datatype == "BYTES" else self.datatype


def _parsed(text: str) -> SqlType:
    parsed = parse_sql_type(text)
    assert not isinstance(parsed, str)
    return parsed


def every_pair() -> list[Pair]:
    """Return every declared type with every datatype that takes it."""
    pairs = []
    for sql in SQL_TYPES:
        for name in DATATYPES:
            datatype = datatype_of_tensor(name)
            assert datatype is not None
            if fits(_parsed(sql), datatype, output=False) and not (sql == "BLOB" and name != "BYTES"):
                same = fits(_parsed(sql), datatype, output=True)
                pairs.append(Pair(sql, name, sql if same else natural_sql_type(name)))
    return pairs


def values(sql: str) -> st.SearchStrategy[Any]:
    """Draw values of a type, those at its limits often."""
    kind = _parsed(sql).kind
    if kind in INTEGER_BITS:
        signed, bits = INTEGER_BITS[kind]
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return st.integers(low, high) | st.sampled_from([low, high, 0, high // 2])
    if kind == "DECIMAL":
        return _decimals(_parsed(sql))
    return _OTHERS[kind]


def _decimals(sql: SqlType) -> st.SearchStrategy[Decimal]:
    # Not by division: Python's own decimals would round 38 digits to 28.
    largest = 10**sql.precision - 1
    unscaled = st.integers(-largest, largest) | st.sampled_from([largest, -largest, 0, 1])
    return unscaled.map(lambda digits: Decimal(f"{digits}E-{sql.scale}"))


_OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.booleans(),
    "FLOAT16": st.binary(min_size=2, max_size=2).map(lambda bits: struct.unpack("<e", bits)[0]),
    # The upper half of the bits of a 32-bit float; a NaN keeps a bit there.
    "BFLOAT16": st.integers(0, 2**16 - 1).map(lambda bits: struct.unpack("<f", struct.pack("<I", bits << 16))[0]),
    "FLOAT": st.floats(width=32),
    "DOUBLE": st.floats(width=64),
    "VARCHAR": st.text(max_size=40) | st.sampled_from(["", "\x00", '"\\\n\t\x1f', "日本語 🎬", "a" * 300]),
    "JSON": _JSON.map(json.dumps),
    "BLOB": st.binary(max_size=40) | st.sampled_from([b"", b"\x00\xff", b"\xc3\x28", bytes(300)]),
    "DATE": st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)),
    "TIME": st.times(),
    "TIMESTAMP": st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)),  # noqa: DTZ001 - without a zone
    "TIMESTAMPTZ": st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(tzinfo=dt.UTC)
    ),
}


def has_json_form(value: Any) -> bool:
    """Tell whether JSON can carry a value."""
    if isinstance(value, list | tuple):
        return all(has_json_form(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
    return True
