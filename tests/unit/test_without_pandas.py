"""Values go through numpy and Arrow, and a build does not wait for pandas, which Arrow imports where it can."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from dbt_triton.arrow_numbers import as_arrow, as_numpy

#: Encodes each column as DuckDB reads it, decodes it again, and makes its profile. Says who has asked for pandas.
_ROUND_TRIP = """
import sys, traceback
import duckdb
import numpy as np
import pyarrow as pa
from dbt_triton.engine.source import taken
from dbt_triton.run_log.profile import profiles
from dbt_triton.tensors import Answer, RequestFormat, TensorSpec, datatype_of_tensor, decode_outputs
from dbt_triton.tensors.sql_types import parse_sql_type

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            sys.exit("pandas is asked for by\\n" + "".join(traceback.format_stack()[-6:]))

sys.meta_path.insert(0, Watch())
for tensor, sql, shape, value in CASES:
    kind = parse_sql_type(sql)
    query = f"select {value} as a from range(40) t(i)"
    read = duckdb.connect().sql(query)
    batches = (getattr(read, "to_arrow_reader", None) or read.fetch_arrow_reader)(1000)
    column = next(iter(batches)).column(0)
    dims = tuple(range(len(kind.dims)))
    spec = TensorSpec("a", "A", datatype_of_tensor(tensor), shape, kind, dims)
    encoded = RequestFormat([spec], [spec], binary=True, batched=True).encode([column])
    assert not encoded.refused, (sql, encoded.refused)
    body, header = encoded.groups[0][1].body(0, 40)
    (decoded,) = decode_outputs([Answer(40, [memoryview(body)[header:]], None)], [spec])
    assert decoded.to_pylist() == column.to_pylist(), sql
    taken([column], np.arange(3))
    profiles({"a": pa.chunked_array([decoded, decoded])})
"""
_CASES = [
    ("BYTES", "STRING", (1,), "case when i % 3 = 0 then 'good' else 'bad' end"),
    ("FP64", "DOUBLE", (1,), "i / 7"),
    ("FP32", "FLOAT", (1,), "cast(i as float)"),
    ("FP16", "FLOAT", (1,), "cast(i as float)"),
    ("BF16", "FLOAT", (1,), "cast(i as float)"),
    ("INT64", "BIGINT", (1,), "i"),
    ("INT32", "INT", (1,), "cast(i % 5 as integer)"),
    ("FP32", "ARRAY<FLOAT>", (3,), "[cast(i as float), 1, 2]"),
]


def test_values_go_to_a_server_and_back_without_pandas() -> None:
    """Texts, numbers and arrays are sent, decoded and profiled without pandas, which takes 0.15 seconds to import."""
    ran = subprocess.run(
        [sys.executable, "-c", f"CASES = {_CASES!r}\n{_ROUND_TRIP}"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "array",
    [
        pa.array([3, 1, 2, 7], kind)
        for kind in (
            pa.int8(),
            pa.uint8(),
            pa.int16(),
            pa.uint32(),
            pa.int64(),
            pa.uint64(),
            pa.float32(),
            pa.float64(),
        )
    ]
    + [
        pa.array(np.array([1.5, 2, 3, 4], dtype=np.float16)),
        pa.array([True, False, False, True, True]),
        pa.array([True, None, False]),
        pa.array([1, None, 3]),
        pa.array([], pa.float32()),
        pa.array([], pa.bool_()),
        pa.array([1, 2], pa.timestamp("us")),
    ],
    ids=lambda array: f"{array.type}{len(array)}",
)
def test_arrow_is_seen_as_arrow_itself_shows_it(array: pa.Array) -> None:
    """Numbers are the same as by Arrow's own conversion, also of a part of an array, and nothing else is guessed at."""
    for start in range(len(array) + 1):
        part = array.slice(start)
        found, wanted = as_numpy(part), part.to_numpy(zero_copy_only=False)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", ["i1", "u2", "i4", "u8", "f2", "f4", "f8", "?", ">i4"])
def test_numpy_is_seen_as_arrow_itself_takes_it(kind: str) -> None:
    """Numbers are the same as by Arrow's own conversion, also where they are not side by side or not aligned."""
    numbers = np.array([0, 1, 1, 0, 1, 0], dtype=kind)
    shifted = np.frombuffer(b"x" + numbers.tobytes(), dtype=kind, offset=1)
    for given in (numbers, numbers[::2], numbers[:0], shifted):
        wanted = pa.array(given.astype(given.dtype.newbyteorder("=")))
        found = as_arrow(given if given.dtype.isnative else given.astype(given.dtype.newbyteorder("=")))
        found.validate(full=True)
        assert found.equals(wanted)
