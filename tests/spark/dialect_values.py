"""Values of every type of column that Spark has, and what Spark and DuckDB make of them as every declared type."""

from __future__ import annotations

import datetime as dt
import math
import random
import struct
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dbt_triton.tensors import SqlType, parse_sql_type

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


_NUMBER_TEXTS = [
    *(
        "1.",
        " 5 ",
        "+5",
        "- 5",
        "1_0",
        "1__0",
        "_1",
        "1_",
        "0x1F",
        "-0x1F",
        " 0x1F",
        "0x1_F",
        "0X1f",
        "0b11",
        "0B11",
        "0x",
    ),
    *("1e2", "1_0e1_0", "1e-2", "100e-2", "\u00a05", "5\x0b", "\t5\n", "0xFFFFFFFFFFFFFFFF", "0x7fffffffffffffff"),
    *(
        "0x00000000000000000001",
        "0o17",
        ".e1",
        ".5e1",
        "1.0_0",
        "5\x00",
        "٣",
        "1e+2",
        "0e10",
        "1e400",
        "-1e400",
        "1e39",
        "1e-400",
    ),
    *(
        "nan",
        "-nan",
        "+nan",
        "NaN",
        " inf ",
        "+inf",
        "-inf",
        "infinity",
        "-Infinity",
        "1d",
        "1f",
        "2.0D",
        "1L",
        "0x1p3",
        "1._5",
        "1.5_5",
    ),
    *(
        ".",
        "",
        " ",
        "-",
        "+",
        "1e",
        "e5",
        "-0",
        "-0.0",
        "0",
        "007",
        "1.255",
        "1.230",
        "12345678901234567.895",
        "9007199254740992.6",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
    ),
    *(
        "1e2147483647",
        "1e2147483648",
        "1e-2147483649",
        "0e2147483647",
        "99999999999999999999999999999999999999",
        "1e38",
        "1e37",
    ),
    *(
        "0.00000000000000000000000000000000000000000001",
        "2.5",
        "255",
        "256",
        "-1",
        "1e999999999999",
        "--1",
        "1 2",
        "1,5",
    ),
    *("16777217", "0.1", "2049.0000000000000001", "340282356779733661637539395458142568447", "3.4028235677973366e38"),
]
_TIME_TEXTS = [
    *(
        "2026-1-2",
        "2026/1/2",
        "2026\\1\\2",
        "2026 1 2",
        "2026-1/2",
        "26-1-1",
        "20260102",
        "2026-01-02 (BC)",
        "-44-03-15",
    ),
    *(
        "0000-01-01",
        "2026-02-30",
        " 2026-01-02 ",
        "2026-01-02 00:00",
        "2026-01-02T0:00:00",
        "epoch",
        "2026-01-02 00:00:00.000",
    ),
    *("2026-001-02", "+2026-01-01", "12026-01-01", "2026-11-24xyz", "2026-13-01", "2026-01-02 3:4", "2026-01-02 3:04"),
    *(
        "2026-01-02 24:00:00",
        "2026-12-31 24:00:00.000",
        "2026-01-02 24:00:01",
        "2026-01-02 3:4:5",
        "2026-01-02T03:04:05.1",
    ),
    *(
        "2026-01-02  03:04:05",
        "2026/01/02 03:04:05",
        "2026-01-02 03:04:60",
        "2026-01-02 03:04:05.",
        "2026-01-02 03",
        "EPOCH",
    ),
    *(
        "2026-01-02 03:04:05.1234567",
        "2026-01-02 03:04:05.1234560",
        "2026-01-02 03:04:05.123456000000",
        "2026-01-02t03:04:05",
    ),
    *(
        "2026-01-02 T03:04:05",
        "3:4",
        "3:04",
        "03:04:05",
        "3:4:5",
        "23:59:60",
        "03:04:05.",
        " 03:04:05 ",
        "03:04:05.1234567",
    ),
    *(
        "03:04:05.123456",
        "03",
        "25:00",
        "2026-01-02 03:04:05+02",
        "2026-01-02 03:04:05+0230",
        "2026-01-02 03:04:05-02:30",
    ),
    *(
        "2026-01-02 03:04:05+02:30:15",
        "2026-01-02 03:04:05 +02",
        "2026-01-02 03:04:05Z",
        "2026-01-02 03:04:05z",
        "2026-01-02Z",
    ),
    *(
        "2026-01-02 03:04:05 UTC",
        "2026-01-02 03:04:05 CET",
        "2026-01-02 03:04:05 Nope/Zone",
        "2026-01-02 03:04:05.25 Europe/Berlin",
    ),
    *(
        "2026-01-02 03:04Z",
        "2026-01-02 03:04:05 EST",
        "2024-03-31 02:30:00 Europe/Berlin",
        "2024-03-31T03:30:00 Europe/Berlin ",
    ),
    *(
        "2011-12-30 12:00:00 Pacific/Apia",
        "2024-03-31 02:30:00",
        "2024-10-27 02:30:00",
        "2026-01-02 03:04:05 PM",
        "1582-10-10",
    ),
    *(
        "0001-01-01",
        "9999-12-31",
        "1900-01-01 00:00:00",
        "2026-01-02 03:04:05+2",
        "2026-01-02 03:04:05.1234567Z",
        "2026-01-02 24:00Z",
    ),
]
_OTHER_TEXTS = [
    *("true", "t", "yes", "y", "TRUE", "T", "Yes", "f", "no", "n", "off", "on", " true", "true ", "1.0", "tr", "False"),
    *(
        '"a\tb"',
        '{"a":1}',
        "[1] x",
        '"\\x"',
        "01",
        "+1",
        '{"a":[1,{"b":[]}, null]}',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        "tru",
        "truefalse",
    ),
    *(
        "[1,2",
        "[[[[]]]]",
        "{}",
        '{"a" : "S"}',
        "S",
        "V",
        "[S]",
        '"a" "b"',
        "1 2",
        "[1 2]",
        '{"a"}',
        "{1:2}",
        "{'a':1}",
        "[,]",
        ' \n{"a"\t:\r1} ',
    ),
    *(
        "null",
        "[null,true,false]",
        '"\x7f"',
        '"unclosed',
        '"\\""',
        '"\\\\"',
        "-",
        "-1",
        "1.e1",
        "\x0b1",
        "[1]]",
        "[[1]",
    ),
    *(
        "dbt-triton refused x",
        "it's",
        "日本語 🎬",
        "\\x41",
        "a\x00b",
        "${env:HOME}",
        "${spark.app.name}",
        "a\\",
        "$1",
        "x" * 300,
    ),
]
TEXTS = [*_NUMBER_TEXTS, *_TIME_TEXTS, *_OTHER_TEXTS]


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
    """Run a query, and return its rows in Arrow."""
    found = spark.sql(query)
    if hasattr(found, "toArrow"):
        return found.toArrow()
    batches = found._collect_as_arrow()
    return pa.Table.from_batches(batches)
