"""Values of every type of column that Spark has, and what Spark and DuckDB make of them as every declared type."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import math
import random
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dbt_triton.tensors import SqlType, parse_sql_type
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.spark.dialect import SparkDialect
from spark.given_texts import TEXTS

#: The setting by which Spark has the type TIME.
TIME = "spark.sql.timeType.enabled"
INTEGERS = {"TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64()}
DECLARED = [
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE", "DECIMAL(2,1)", "DECIMAL(9,0)", "DECIMAL(18,3)", "DECIMAL(38,9)"),
    *("STRING", "JSON", "BYTES", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"),
]
_RANDOM = random.Random(11)  # noqa: S311 - the same values in each run
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001


def declared_type(text: str) -> SqlType:
    """Read a declared type."""
    parsed = parse_sql_type(text)
    assert not isinstance(parsed, str), parsed
    return parsed


def _integers(kind: pa.DataType) -> list[int]:
    bits = kind.bit_width
    edges = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    found = [
        0,
        1,
        -1,
        2,
        42,
        -42,
        127,
        255,
        256,
        300,
        -129,
        32767,
        32768,
        65535,
        65536,
        2**24 + 1,
        2**31,
        2**32,
        2**53 + 1,
    ]
    found += [2**60 + 2**52 + 1, 2**60 + 2**52 - 1, 2**60 + 2**52, 2049, 2051, 65519, 65520]
    found += [_RANDOM.getrandbits(bits) - 2 ** (bits - 1) for _ in range(40)]
    return [number for number in [*edges, *found] if edges[0] <= number <= edges[1]]


def _halfway(kind: str) -> list[float]:
    """Return numbers at, and next to, the middle between two of 16 bits."""
    made = []
    for _ in range(60):
        digits, power, off = _RANDOM.randint(0, 2**12), _RANDOM.randint(-30, 6), _RANDOM.choice([-1, 0, 1])
        near = (2 * digits + 1) * 2.0**power + off * 2.0 ** (power - 30)
        made.append(_RANDOM.choice([near, -near]))
    made += [
        2.0**-134,
        2.0**-134 + 2.0**-160,
        3 * 2.0**-134 - 2.0**-170,
        2.0**-149,
        2.0**-150,
        5e-324,
        2.0**-25,
        2.0**-25 * 1.0000001,
    ]
    return [float(np.float32(number)) for number in made] if kind == "FLOAT" else made


def _doubles() -> list[float]:
    found = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        2.5,
        0.1,
        0.5,
        1.255,
        3.3,
        math.nan,
        math.inf,
        -math.inf,
        1e39,
        1e-45,
        1e308,
        5e-324,
    ]
    found += [
        2.0**53,
        2.0**63,
        -(2.0**63),
        2.0**64,
        2.0**64 - 2048,
        2.0**63 - 1024,
        255.0,
        256.0,
        -129.0,
        65504.0,
        65520.0,
        1e22,
        1e23,
        2e23,
    ]
    found += [
        3.4028235e38,
        -3.4028235e38,
        3.4028234663852886e38,
        3.4028235677973366e38,
        3.4e38,
        1e7,
        12345678.9,
        1e-7,
        0.001,
    ]
    found += [float(Decimal(_RANDOM.randint(-(10**12), 10**12)).scaleb(-2)) for _ in range(30)]
    found += [struct.unpack("<d", _RANDOM.randbytes(8))[0] for _ in range(60)]
    return found + _halfway("DOUBLE")


def _floats() -> list[float]:
    found = [
        0.0,
        -0.0,
        1.0,
        2.5,
        0.1,
        3.3,
        math.nan,
        math.inf,
        -math.inf,
        2.0**31,
        2.0**63,
        2.0**64,
        3.4028234663852886e38,
        1e-45,
        16777216.0,
        255.0,
        256.0,
    ]
    found += [struct.unpack("<f", _RANDOM.randbytes(4))[0] for _ in range(60)]
    found += [_RANDOM.randint(-1600, 1600) / 8 for _ in range(20)]
    return [float(np.float32(number)) for number in found] + _halfway("FLOAT")


def _decimals(precision: int, scale: int) -> list[Decimal]:
    largest = 10**precision - 1
    digits = [largest, -largest, 0, 1, -1, 10**scale, 255 * 10**scale, 128 * 10**scale, 2 * 10**scale]
    digits += [_RANDOM.randint(-largest, largest) for _ in range(30)] + [
        _RANDOM.randint(-99, 99) * 10**scale for _ in range(20)
    ]
    digits += [_RANDOM.randint(-largest, largest) // 10 ** _RANDOM.randint(0, precision) for _ in range(30)]
    return [Decimal(f"{number}E-{scale}") for number in digits if abs(number) <= largest]


def _moments(step: int = 1) -> list[dt.datetime]:
    named = [dt.datetime(2026, 11, 24), dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), dt.datetime(1970, 1, 1)]  # noqa: DTZ001
    named += [dt.datetime(2024, 3, 31, 2, 30), dt.datetime(2024, 10, 27, 0, 30), dt.datetime(2024, 10, 27, 1, 30)]  # noqa: DTZ001
    seconds = [_RANDOM.randint(-2_208_988_800, 4_102_444_800) for _ in range(30)]
    drawn = [
        _EPOCH + dt.timedelta(seconds=one, microseconds=_RANDOM.randint(0, 999_999) // step * step) for one in seconds
    ]
    days = [dt.datetime.combine((_EPOCH + dt.timedelta(seconds=one)).date(), dt.time()) for one in seconds[:10]]
    return [*named, *drawn, *days]


@dataclass(frozen=True)
class Source:
    """A type of column: as Spark and as DuckDB describe it, in Arrow, and values."""

    spark: str
    duckdb: str
    arrow: pa.DataType
    values: list[Any]


def sources() -> dict[str, Source]:
    """Return every type of column that both have, by DuckDB's name."""
    spark_integers = {"TINYINT": "tinyint", "SMALLINT": "smallint", "INTEGER": "int", "BIGINT": "bigint"}
    found = [
        Source("boolean", "BOOLEAN", pa.bool_(), [True, False]),
        *(Source(spark_integers[name], name, kind, _integers(kind)) for name, kind in INTEGERS.items()),
        Source("float", "FLOAT", pa.float32(), _floats()),
        Source("double", "DOUBLE", pa.float64(), _doubles()),
        *(
            Source(f"decimal({p},{s})", f"DECIMAL({p},{s})", pa.decimal128(p, s), _decimals(p, s))
            for p, s in ((3, 1), (15, 2), (18, 0), (38, 9), (38, 0), (5, 5))
        ),
        Source("string", "VARCHAR", pa.string(), TEXTS),
        Source(
            "binary",
            "BLOB",
            pa.binary(),
            [b"", b"\x00", b"\xff", b"\xc3", b"a\xc3\xa9", b"[1]", b'"\xff"', *(t.encode() for t in TEXTS)],
        ),
        Source("date", "DATE", pa.date32(), sorted({moment.date() for moment in _moments()})),
        Source("timestamp_ntz", "TIMESTAMP", pa.timestamp("us"), _moments()),
        Source("timestamp", "TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC"), _moments()),
    ]
    return {source.duckdb: source for source in found}


def write(source: Source, place: Path) -> pa.Table:
    """Write the values to a Parquet file, NULL among them, with an array of each."""
    values = [*source.values, None]
    table = pa.table(
        {
            "i": pa.array(range(len(values)), pa.int32()),
            "x": pa.array(values, source.arrow),
            "xs": pa.array([[one, values[0], None] for one in values], pa.list_(source.arrow)),
            "xss": pa.array([[[one], [], [one, one]] for one in values], pa.list_(pa.list_(source.arrow))),
        }
    )
    pq.write_table(table, place)
    return table


def spark_rows(spark: Any, query: str) -> pa.Table:
    """Run a query, and return its rows in Arrow; of Spark 3.5, too."""
    found = spark.sql(query)
    if hasattr(found, "toArrow"):
        return found.toArrow()
    return pa.Table.from_batches(found._collect_as_arrow())


def first_row(spark: Any, query: str) -> dict[str, Any]:
    """Run a query, and return its first row."""
    found: dict[str, Any] = spark_rows(spark, query).to_pylist()[0]
    return found


def value_as(dialect: SparkDialect, source: str, declared: str, **more: Any) -> Value:
    """Return the column x of a type as a declared one, which has to be one that it can be."""
    value = dialect.value_of("x", source, declared_type(declared), **more)
    assert isinstance(value, Value), value
    return value


@contextmanager
def settings(spark: Any, wanted: Mapping[str, str]) -> Generator[None]:
    """Run a block with other settings of the session."""
    before = {name: spark.conf.get(name, None) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.unset(name) if value is None else spark.conf.set(name, value)


def duckdb_side(module: str) -> Any:
    """Return a module of the DuckDB side."""
    moved = importlib.util.find_spec("dbt_triton.warehouses.duckdb")
    return importlib.import_module(f"dbt_triton.{'warehouses.duckdb' if moved else 'step'}.{module}")
