"""Every type of a column of Spark's with every type of INPUT: what is sent is the column's value, or nothing."""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from support.exact_values import NO_PAIR, REFUSED, as_declared

from dbt_triton.tensors import SqlType, datatype_of_tensor
from dbt_triton.tensors.elements import to_tensor
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.spark.dialect import SparkDialect
from dbt_triton.warehouses.spark.features import Features
from dbt_triton.warehouses.spark.type_names import from_spark
from spark.dialect_values import (
    DECLARED,
    TIME,
    Source,
    declared_type,
    duckdb_side,
    settings,
    sources,
    spark_rows,
    write,
)

SOURCES = sources()
#: Spark 3.5 asks how days of long ago are to be read from Parquet.
_ALWAYS = {TIME: "true", "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED"}
SESSIONS = {
    "utc": {"spark.sql.ansi.enabled": "false", "spark.sql.session.timeZone": "UTC", **_ALWAYS},
    "berlin, ansi": {"spark.sql.ansi.enabled": "true", "spark.sql.session.timeZone": "Europe/Berlin", **_ALWAYS},
}
#: What is as exact on Spark, and yet not the same as on DuckDB.
_NO_NUMBERS_IN_JSON = {"nan", "-nan", "NaN", " inf ", "-inf", "infinity", "-Infinity"}
_TWICE_A_YEAR = {"2024-10-27 00:30:00", "2024-10-27 01:30:00", "2024-10-27 02:30:00"}
OTHERWISE: dict[str, set[str]] = {
    # DuckDB takes NaN for JSON, and its codec refuses infinite days.
    "JSON": _NO_NUMBERS_IN_JSON,
    "DATE": {"infinity", "-inf", "-Infinity"},
    # Of a time that the clocks show twice, Spark means the first and DuckDB the second.
    "TIMESTAMP": {"infinity", "-inf", "-Infinity", " 2026-01-02 ", *_TWICE_A_YEAR},
    "TIMESTAMPTZ": {"infinity", "-inf", "-Infinity", " 2026-01-02 ", "2026-01-02 03:04:05 +02", *_TWICE_A_YEAR},
    "DECIMAL": {"5\x0b", "\x0b1", "0e2147483647"},
    **{name: {"0e2147483647"} for name in DECLARED if "INT" in name},
}
_IN_A_QUERY = 6
#: One of each family: an array's elements are converted as values are.
_ELEMENTS = ["BOOLEAN", "BIGINT", "UTINYINT", "BFLOAT16", "DOUBLE", "DECIMAL(18,3)", "STRING", "BYTES", "TIMESTAMPTZ"]


@pytest.fixture(scope="module", params=SESSIONS)
def session(request: pytest.FixtureRequest, spark: Any) -> Generator[tuple[Any, str]]:
    """Give sessions with other settings, and their time zone."""
    wanted = SESSIONS[request.param]
    with settings(spark, wanted):
        yield spark, wanted["spark.sql.session.timeZone"]


@pytest.fixture
def dialect(session: tuple[Any, str]) -> SparkDialect:
    """Give the dialect of the session."""
    return SparkDialect(Features.of(session[0]))


def _halves(numbers: pa.Array, declared: SqlType) -> pa.Array:
    """Round 16-bit numbers as the codec does; its values are those of the server."""
    datatype = datatype_of_tensor("FP16" if declared.kind == "FLOAT16" else "BF16")
    assert datatype is not None
    filled = pa.array([0.0 if one is None else one for one in numbers.to_pylist()], pa.float32())
    halves, unfit = to_tensor(filled, declared, datatype, binary=True)
    found = halves.to_numpy(zero_copy_only=False)
    if declared.kind == "BFLOAT16":
        found = (found.astype(np.uint32) << 16).view(np.float32)
    lost = np.any([one.mask for one in unfit], axis=0) if unfit else np.zeros(len(found), dtype=bool)
    known = numbers.is_valid().to_numpy(zero_copy_only=False) & ~lost
    return pa.array([float(one) if is_known else None for one, is_known in zip(found, known, strict=True)])


def _plain(array: pa.Array, declared: SqlType) -> list[Any]:
    """Return values that are equal where all of their bits are; but every NaN is one."""
    if declared.kind in {"FLOAT16", "BFLOAT16"}:
        array = _halves(array, declared)
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        array = array.cast(pa.int32() if pa.types.is_date(array.type) else pa.int64())
    return [_bits(one) if isinstance(one, float) else one for one in array.to_pylist()]


def _bits(number: float) -> bytes:
    return struct.pack("<d", number) if number == number else b"nan"  # noqa: PLR0124


def _pairs(
    dialect: SparkDialect, source: Source, declared_names: Sequence[str] = DECLARED
) -> Generator[list[tuple[str, SqlType, Value, Value]]]:
    """Yield, some at a time, the declared types with the values of either side; both must have the same pairs."""
    other, found = duckdb_side("values").value_of, []
    for name in declared_names:
        declared = declared_type(name)
        if declared.kind == "TIME" and not dialect.features.has_time:
            continue
        value, theirs = dialect.value_of("x", source.spark, declared), other("x", source.duckdb, declared)
        assert isinstance(value, str) == isinstance(theirs, str), (source, name, value, theirs)
        # DuckDB 2.0.0 writes 0.5 as `.5` where no digit may stand before the point, which is no JSON.
        if not isinstance(value, str) and (source.duckdb, name) != ("DECIMAL(5,5)", "JSON"):
            found.append((name, declared, value, theirs))
    for start in range(0, len(found), _IN_A_QUERY):
        yield found[start : start + _IN_A_QUERY]


@pytest.mark.parametrize("name", SOURCES)
def test_value_is_sent_exactly_or_not_at_all(
    name: str, session: tuple[Any, str], dialect: SparkDialect, tmp_path: Path
) -> None:
    """As every declared type a value is what DuckDB sends of it and what Python's exact numbers say; or it is not sent.

    Two values have one key only if the same is sent of both, or if they are one; no value has the key NULL.
    """
    spark, zone = session
    source = SOURCES[name]
    table = write(source, tmp_path / "values.parquet")
    spark.read.parquet(str(tmp_path / "values.parquet")).createOrReplaceTempView("given")
    with duckdb.connect() as connection:
        connection.execute(f"set timezone = '{zone}'")
        connection.register("given", table)
        for pairs in _pairs(dialect, source):
            columns = ", ".join(f"{value.sql} as v{n}, {value.key} as k{n}" for n, (_, _, value, _) in enumerate(pairs))
            theirs = ", ".join(f"{value.sql} as v{n}" for n, (_, _, _, value) in enumerate(pairs))
            found = spark_rows(spark, f"select {columns} from given order by i")
            wanted = connection.sql(f"select {theirs} from given order by i").to_arrow_table()
            for place, (declared_name, declared, _, _) in enumerate(pairs):
                sent = _plain(from_spark(found[f"v{place}"].combine_chunks(), declared), declared)
                other = _plain(wanted[f"v{place}"].combine_chunks().cast(declared.arrow_element), declared)
                _check_sent(source, declared_name, declared, sent, other)
                _check_keys(source, declared_name, sent, found[f"k{place}"].to_pylist())


def _check_sent(source: Source, name: str, declared: SqlType, sent: Sequence[Any], other: Sequence[Any]) -> None:
    # How numbers and times are written is Spark's own.
    only_whether = declared.kind in {"VARCHAR", "JSON"} and source.duckdb not in {"VARCHAR", "BLOB"}
    for value, is_sent, wanted in zip([*source.values, None], sent, other, strict=True):
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        if text not in OTHERWISE.get(declared.kind, OTHERWISE.get(name, set())):
            same = (is_sent is None) == (wanted is None) if only_whether else is_sent == wanted
            assert same, (source.spark, value, name, is_sent, wanted)
        exact = (
            None
            if value is None or only_whether or isinstance(value, str | bytes)
            else as_declared(source.duckdb, value, declared)
        )
        if exact is REFUSED:
            assert is_sent is None, (source.spark, value, name, is_sent)
        elif isinstance(exact, float) and declared.kind != "DECIMAL":
            assert is_sent == _bits(exact), (source.spark, value, name, is_sent, exact)
        assert exact is not NO_PAIR


def _check_keys(source: Source, name: str, sent: Sequence[Any], keys: Sequence[Any]) -> None:
    by_key: dict[Any, tuple[Any, Any]] = {}
    for value, is_sent, key in zip([*source.values, None], sent, keys, strict=True):
        assert (key is None) == (value is None), (source.spark, name, value, key)
        other, its_value = by_key.setdefault(key, (is_sent, value))
        assert is_sent == other, (source.spark, name, key, value, its_value)
        if str(key).startswith("dbt-triton refused"):
            assert repr(value) == repr(its_value), (source.spark, name, key, value, its_value)


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in {"SMALLINT", "INTEGER", "DECIMAL(18,0)"}])
def test_elements_of_arrays_follow_the_rule_of_values(name: str, spark: Any, tmp_path: Path) -> None:
    """An array is one of such values, an element that does not fit is NULL, and distinct arrays have distinct keys."""
    source, dialect = SOURCES[name], SparkDialect(Features(has_time=False))
    write(source, tmp_path / "values.parquet")
    spark.read.parquet(str(tmp_path / "values.parquet")).createOrReplaceTempView("given")
    first = "first_value(x) over (order by i rows between unbounded preceding and unbounded following)"
    for pairs in _pairs(dialect, source, _ELEMENTS):
        made, checks = ["i", "x"], []
        for place, (declared_name, _, value, _) in enumerate(pairs):
            one = dialect.value_of("xs", f"array<{source.spark}>", declared_type(f"{declared_name}[]"))
            two = dialect.value_of("xss", f"array<array<{source.spark}>>", declared_type(f"{declared_name}[2][]"))
            assert isinstance(one, Value)
            assert isinstance(two, Value)
            made += [f"{value.sql} as v{place}", f"{value.key} as k{place}", f"{one.sql} as a{place}"]
            made += [f"{two.sql} as aa{place}", f"{one.key} as ka{place}", f"{two.key} as kaa{place}"]
            key = f"coalesce(cast(k{place} as binary), cast('NULL' as binary))"
            inner = f"array(array(v{place}), filter(array(v{place}), e -> false), array(v{place}, v{place}))"
            checks += [
                f"count_if(not (a{place} <=> array(v{place}, f{place}, null))) as wrong_{place}",
                f"count_if(not (aa{place} <=> {inner})) as wrong_inner_{place}",
                f"count(*) - count(ka{place}) as null_{place}, count(*) - count(kaa{place}) as null_inner_{place}",
                f"count(distinct {key}) - count(distinct ka{place}) as shared_{place}",
                f"count(distinct {key}) - count(distinct kaa{place}) as shared_inner_{place}",
            ]
        firsts = ", ".join(f"{first.replace('x', f'v{place}', 1)} as f{place}" for place in range(len(pairs)))
        rows = f"select *, {firsts} from (select {', '.join(made)} from given)"
        counted = spark_rows(spark, f"select {', '.join(checks)} from ({rows})").to_pylist()[0]
        wrong = {column: count for column, count in counted.items() if count}
        assert not wrong, (source.spark, [pair[0] for pair in pairs], wrong)
