"""DuckDB's settings of Arrow change how columns arrive, and nothing that is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import duckdb
import pytest

from dbt_triton.tensors import datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.rows import Rows
from dbt_triton.tensors.shapes import bind_shape
from dbt_triton.tensors.spec import TensorSpec
from dbt_triton.warehouses.duckdb.session import DuckDBSession

#: SQL of a column, its declared type, and the tensor it goes into.
COLUMNS = [
    ("[x for x in range(i % 4 + 1)]", "FLOAT[]", "FP32", (-1,)),
    ("[i, i + 0.5]", "FLOAT[2]", "FP32", (2,)),
    ("[[i, 2], [3, i], [5, 6]]", "INTEGER[][]", "INT32", (-1, -1)),
    ("[[i, 2], [3, i]]", "INTEGER[2][2]", "INT32", (2, 2)),
    ("[[i, 2]]", "INTEGER[2][]", "INT32", (-1, 2)),
    ("repeat('é', i % 5) || i", "VARCHAR", "BYTES", (1,)),
    ("encode(repeat('x', i % 17)) || '\\xFF'::blob", "BLOB", "BYTES", (1,)),
    ("encode(repeat('x', 3 * i))", "BLOB", "UINT8", (-1, 3)),
    ("[repeat('a', i % 20), i::varchar]", "VARCHAR[]", "BYTES", (-1,)),
    ("[encode(repeat('a', i % 20))]", "BLOB[]", "BYTES", (-1,)),
    ("i % 3 = 0", "BOOLEAN", "BOOL", (1,)),
    ("[i % 3 = 0, true]", "BOOLEAN[2]", "BOOL", (2,)),
    ("[i % 3 = 0, i % 5 = 0, true]", "BOOLEAN[]", "BOOL", (-1,)),
    ("[[i % 3 = 0, true]]", "BOOLEAN[2][]", "BOOL", (-1, 2)),
    ("i / 8", "DECIMAL(5,3)", "FP32", (1,)),
    ("i / 8", "DECIMAL(15,3)", "BYTES", (1,)),
    ("[i / 8]", "DECIMAL(9,3)[]", "BYTES", (-1,)),
    ("i / 8", "DECIMAL(38,3)", "BYTES", (1,)),
    ("i", "DECIMAL(18,0)", "INT64", (1,)),
    ("to_json({'a': i})", "JSON", "BYTES", (1,)),
    ("[to_json({'a': i})]", "JSON[]", "BYTES", (-1,)),
    ("timestamptz '2026-01-01 00:00:00+00' + to_hours(i::int)", "TIMESTAMPTZ", "BYTES", (1,)),
    ("date '2026-01-01' + i::int", "DATE", "BYTES", (1,)),
    ("time '00:00:00' + to_minutes(i::int)", "TIME", "INT64", (1,)),
]


def _settings() -> list[tuple[tuple[str, str], ...]]:
    with duckdb.connect() as connection:
        found = connection.execute("select name, value from duckdb_settings() where name like '%arrow%'").fetchall()
    other = {"true": ["false"], "false": ["true"], "1.0": ["1.1", "1.2", "1.3", "1.4", "1.5"]}
    single = [((name, value),) for name, default in found for value in other[default]]
    return [*single, tuple((name, other[default][-1]) for name, default in found)]


def _spec(declared: str, tensor: str, dims: tuple[int, ...]) -> TensorSpec:
    sql, datatype = parse_sql_type(declared), datatype_of_tensor(tensor)
    assert not isinstance(sql, str)
    assert datatype is not None
    shape = bind_shape(sql, datatype, dims, output=False)
    assert not isinstance(shape, str), shape
    return TensorSpec("x", "X", datatype, shape[0], sql, shape[1])


def _sent(connection: duckdb.DuckDBPyConnection) -> Iterator[list[bytes]]:
    for column, declared, tensor, dims in COLUMNS:
        query = f"select cast({column} as {declared}) from range(1, 50) as t(i)"
        with closing(DuckDBSession(connection).read(query)) as batches:
            for batch in batches:
                rows = Rows(batch.columns, [_spec(declared, tensor, dims)], binary=True)
                assert rows.refused == []
                yield [
                    bytes(group.columns[0].rows(0, batch.num_rows if group.places is None else len(group.places)))
                    for group in rows.groups(batch.num_rows, in_order=True)
                ]


@pytest.mark.parametrize("settings", _settings(), ids=lambda settings: " ".join("=".join(one) for one in settings))
def test_same_bytes_are_sent_under_every_setting_of_arrow(settings: tuple[tuple[str, str], ...]) -> None:
    """Views, large buffers, extension types and short decimals arrive, and the same bytes go."""
    with duckdb.connect() as connection:
        expected = list(_sent(connection))
        for name, value in settings:
            connection.execute(f"set {name} = '{value}'")
        assert list(_sent(connection)) == expected
