"""Every type of a column with every type of INPUT: the value that is sent is the column's own, or there is none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import type_values
from support.exact_values import NO_PAIR, REFUSED, as_declared, bits, microseconds, shown

from dbt_triton.tensors import SqlType, datatype_of_tensor, parse_sql_type
from dbt_triton.tensors.elements import to_tensor
from dbt_triton.warehouses import Value
from dbt_triton.warehouses.duckdb.values import value_of

INTEGERS = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"]
DECLARED = [
    *("BOOLEAN", "TINYINT", "BIGINT", "USMALLINT", "UBIGINT", "FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE"),
    *("DECIMAL(2,1)", "DECIMAL(9,0)", "DECIMAL(18,3)", "DECIMAL(38,9)"),
    *("STRING", "JSON", "BYTES", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"),
]
_WHOLE = st.integers(-(2**127), 2**127 - 1) | st.integers(-300, 300) | st.sampled_from([2**53 + 1, 2**24 + 1, -(2**63)])
_HALFWAY = st.builds(
    lambda digits, power, off: (2 * digits + 1) * 2.0**power + off * 2.0 ** (power - 30),
    st.integers(0, 2**11),
    st.integers(-20, 6),
    st.sampled_from([-1, 0, 1]),
)
#: Around the largest FLOAT, whose neighbour is infinity.
_LARGEST = st.sampled_from([3.4028235e38, -3.4028235e38, 3.4028234663852886e38, 3.4028235677973366e38, 3.4e38])
_DOUBLES = st.floats() | st.decimals(-(10**12), 10**12, places=2).map(float) | _HALFWAY | _LARGEST
_DIGITS = st.integers(0, 10**25).map(str) | st.sampled_from(["0", "007", "12345678901234567", "9007199254740992"])
_NUMBER_TEXTS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-", "+", " "]),
        _DIGITS,
        st.sampled_from(["", ".", ".0", ".5", ".6", ".895", ".10", ".00000000000000000000000000001"]),
        st.sampled_from(["", "e2", "e-2", "E+5", "e-30", "e39", "e400", "e-400"]),
        st.sampled_from(["", " "]),
    ),
)
_TEXTS = (
    st.text(max_size=12)
    | _NUMBER_TEXTS
    | st.sampled_from(
        [
            "1_000",
            "0x1F",
            "0b11",
            "nan",
            "-inf",
            "Infinity",
            "",
            " ",
            "true",
            "\\x41",
            "é",
            "d\\x22f",
            "1e",
            "e5",
            ".",
            "-",
        ]
    )
)
_MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)) | st.dates(  # noqa: DTZ001 - without a zone
    dt.date(1, 1, 2), dt.date(9999, 12, 30)
).map(lambda day: dt.datetime.combine(day, dt.time()))


def _decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    digits = st.integers(-(10**precision) + 1, 10**precision - 1) | st.integers(-99, 99)
    whole = digits.map(lambda number: (abs(number) // 10**scale * 10**scale) * (1 if number > 0 else -1))
    return (digits | whole).map(lambda number: Decimal(f"{number}E-{scale}"))


SOURCES: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.booleans(),
    **{kind: type_values.values(kind) | st.sampled_from([0, 1]) for kind in INTEGERS},
    "HUGEINT": _WHOLE,
    "UHUGEINT": st.integers(0, 2**128 - 1) | st.integers(0, 300),
    "FLOAT": st.floats(width=32) | st.integers(-200, 200).map(lambda number: float(np.float32(number / 8))),
    "DOUBLE": _DOUBLES,
    "DECIMAL(3,1)": _decimals(3, 1),
    "DECIMAL(15,2)": _decimals(15, 2),
    "DECIMAL(18,0)": _decimals(18, 0),
    "DECIMAL(38,9)": _decimals(38, 9),
    "VARCHAR": _TEXTS,
    "ENUM('1', '2.5', 'x', 'é')": st.sampled_from(["1", "2.5", "x", "é"]),
    "BLOB": st.binary(max_size=6) | st.text(max_size=4).map(str.encode) | st.sampled_from([b'd"f', b"\\x41", b"\xc3"]),
    "DATE": st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30)),
    "TIME": st.times(),
    "TIMESTAMP": _MOMENTS,
    "TIMESTAMP_S": _MOMENTS.map(lambda moment: moment.replace(microsecond=0)),
    "TIMESTAMP_MS": _MOMENTS.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    "TIMESTAMP WITH TIME ZONE": _MOMENTS,
}


def _type(text: str) -> SqlType:
    parsed = parse_sql_type(text)
    assert not isinstance(parsed, str), parsed
    return parsed


def _literals(source: str, values: Sequence[Any]) -> list[Any]:
    """Return values as DuckDB reads them back exactly: most of them as texts."""
    if source in {"BLOB", "VARCHAR"} or source.startswith("ENUM"):
        return list(values)
    zone = "+00" if source == "TIMESTAMP WITH TIME ZONE" else ""
    return [str(shown(source, value) if isinstance(value, float) else value) + zone for value in values]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a session whose time zone is that of the computed values."""
    with duckdb.connect() as opened:
        opened.execute("set timezone = 'UTC'")
        yield opened


def _fill(connection: duckdb.DuckDBPyConnection, source: str, values: Sequence[Any]) -> None:
    written = pa.table({"i": range(len(values)), "x": _literals(source, values)})
    connection.register("written", written)
    connection.execute(f"create or replace temp table given as select i, cast(x as {source}) as x from written")
    connection.unregister("written")


def _read(sql: str, kind: str) -> str:
    return f"epoch_us({sql})" if kind.startswith("TIMESTAMP") else sql


def _same(sent: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(sent, float):
        return bits(sent) == bits(expected)
    return type(sent) is type(expected) and sent == expected


@pytest.mark.parametrize("source", SOURCES)
def test_value_is_sent_exactly_or_not_at_all(source: str, connection: duckdb.DuckDBPyConnection) -> None:
    """As every declared type a value is what Python's exact numbers say; an array is an array of such values."""

    # Without shrinking: an example is 25 values, and the message names the one that is wrong.
    @settings(
        max_examples=4,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(values=st.lists(SOURCES[source], min_size=25, max_size=25))
    def check(values: list[Any]) -> None:
        _fill(connection, source, values)
        for name in DECLARED:
            _check(connection, source, values, _type(name))

    check()


def _check(connection: duckdb.DuckDBPyConnection, source: str, values: Sequence[Any], declared: SqlType) -> None:
    value = value_of("x", source, declared)
    expected = [as_declared(source, one, declared) for one in values]
    if expected[0] is NO_PAIR:
        assert isinstance(value, str)
        assert "write the cast that you mean" in value
        return
    assert isinstance(value, Value), value
    rows = connection.execute(
        f"select {_read(value.sql, declared.kind)}, {value.key}, typeof({value.sql}), typeof({value.key}) "
        "from given order by i"
    ).fetchall()
    sent = _through_tensors(declared, [row[0] for row in rows])
    for row, one, is_sent, wanted in zip(rows, values, sent, expected, strict=True):
        assert row[2:] == (declared.name, "VARCHAR")
        assert row[1] is not None
        if wanted is REFUSED:
            assert is_sent is None, (source, one, declared)
        elif wanted is not None:
            assert _same(is_sent, wanted), (source, one, declared, is_sent, wanted)
    _check_keys([(row[1], is_sent, one) for row, is_sent, one in zip(rows, sent, values, strict=True)])
    _check_arrays(connection, source, value, declared)


def _through_tensors(declared: SqlType, sent: Sequence[Any]) -> list[Any]:
    """Round 16-bit numbers as the codec does; its values are those of the server."""
    if declared.kind not in {"FLOAT16", "BFLOAT16"}:
        return list(sent)
    datatype = datatype_of_tensor("FP16" if declared.kind == "FLOAT16" else "BF16")
    assert datatype is not None
    numbers = pa.array([0.0 if number is None else number for number in sent], pa.float32())
    halves, unfit = to_tensor(numbers, declared, datatype, binary=True)
    found = halves.to_numpy(zero_copy_only=False)
    if declared.kind == "BFLOAT16":
        found = (found.astype(np.uint32) << 16).view(np.float32)
    lost = np.any([one.mask for one in unfit], axis=0) if unfit else np.zeros(len(sent), dtype=bool)
    return [None if number is None or bad else float(half) for number, half, bad in zip(sent, found, lost, strict=True)]


def _check_keys(rows: Sequence[tuple[str, Any, Any]]) -> None:
    """Two values share a key only if the same is sent of them, or if they are one."""
    by_key: dict[str, tuple[Any, Any]] = {}
    for key, sent, value in rows:
        other, its_value = by_key.setdefault(key, (sent, value))
        refused = key.startswith("dbt-triton refused")
        # What the codec alone refuses, such as infinity as a DATE, has the key of the one value that it is.
        assert repr(value) == repr(its_value) if refused else _same(sent, other), (key, value, its_value)


def _check_arrays(connection: duckdb.DuckDBPyConnection, source: str, scalar: Value, declared: SqlType) -> None:
    """Elements follow the rule of values, in lists and in fixed arrays within them."""
    for suffix, made in {"[]": "[{0}]", "[2][]": "cast([[{0}, {0}]] as {1}[2][])"}.items():
        name = declared.kind if declared.kind in {"FLOAT16", "BFLOAT16"} else declared.name
        array = value_of("xs", source + suffix, _type(name + suffix))
        assert isinstance(array, Value)
        elements = made.format(f"({scalar.sql})", declared.name)
        given = f"(select x, {made.format('x', source)} as xs from given)"
        keyed = (
            f"(select x, {scalar.key} as scalar_key, {array.sql} as xs, {array.key} as key, {elements} as made "
            f"from {given})"
        )
        differing = "cast(xs as varchar) is distinct from cast(made as varchar) or key is null"
        assert connection.execute(f"select x, xs, key from {keyed} where {differing} limit 1").fetchall() == []
        shared = f"select any_value(x) from {keyed} group by key having count(distinct scalar_key) > 1"
        assert connection.execute(shared).fetchall() == []


def _is_skipped_in_berlin(clock: dt.datetime) -> bool:
    """Tell whether clocks in Berlin never showed this time."""
    there = clock.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    return there.astimezone(dt.UTC).astimezone(there.tzinfo).replace(tzinfo=None) != clock


@settings(max_examples=60, deadline=None, database=None)
@given(
    moment=_MOMENTS,
    fraction=st.text("0123456789", max_size=9) | st.text("0", max_size=9),
    offset=st.sampled_from(["", "Z", "+02", "-03:30", " UTC", " Europe/Berlin"]),
    separator=st.sampled_from([" ", "T"]),
)
def test_times_in_texts_are_whole(
    connection: duckdb.DuckDBPyConnection, moment: dt.datetime, fraction: str, offset: str, separator: str
) -> None:
    """A text with nanoseconds, an offset or a date too many is none of the type, and is never cut."""
    clock = f"{moment:%H:%M:%S}" + (f".{fraction}" if fraction else "")
    day = moment.date().isoformat()
    texts = [f"{day}{separator}{clock}{offset}", clock + offset, day]
    seconds, nanoseconds = moment.replace(microsecond=0), int(fraction.ljust(9, "0"))
    exact = nanoseconds % 1000 == 0
    whole = seconds + dt.timedelta(microseconds=nanoseconds // 1000)
    hours = {"+02": -2, "-03:30": 3.5}.get(offset, 0)
    midnight = dt.datetime.combine(moment.date(), dt.time())
    expected: dict[str, list[Any]] = {
        "DATE": [moment.date() if whole.time() == dt.time() and exact and not offset else None, None, moment.date()],
        "TIME": [None, whole.time() if exact and not offset else None, None],
        "TIMESTAMP": [microseconds(whole) if exact and not offset else None, None, microseconds(midnight)],
        "TIMESTAMPTZ": [
            microseconds(whole + dt.timedelta(hours=hours)) if exact else None,
            None,
            microseconds(midnight),
        ],
    }
    _fill(connection, "VARCHAR", texts)
    for name, wanted in expected.items():
        value = value_of("x", "VARCHAR", _type(name))
        assert isinstance(value, Value)
        found = [
            row[0] for row in connection.execute(f"select {_read(value.sql, name)} from given order by i").fetchall()
        ]
        if offset == " Europe/Berlin" and name == "TIMESTAMPTZ":
            assert (found[0] is not None) == (exact and not _is_skipped_in_berlin(whole))
            found[0] = wanted[0]
        assert found == wanted, (texts, name)


@pytest.mark.parametrize(
    ("source", "declared", "column", "sent"),
    [
        ("VARCHAR", "DOUBLE", "1e400", None),
        ("VARCHAR", "FLOAT", "1e39", None),
        ("VARCHAR", "DOUBLE", "-inf", "-inf"),
        ("VARCHAR", "DATE", "2026-11-24 12:34:56", None),
        ("VARCHAR", "DATE", "2026-11-24 00:00", "2026-11-24"),
        ("VARCHAR", "DATE", "0044-03-15 (BC)", "0044-03-15 (BC)"),
        ("VARCHAR", "DATE", "12026-01-01", "12026-01-01"),
        ("VARCHAR", "DATE", "2026-11-24xyz", None),
        ("VARCHAR", "TIMESTAMP", "2026-11-24 12:34:56+02", None),
        ("VARCHAR", "TIMESTAMP", "2026-11-24 12:34:56 PM", None),
        ("VARCHAR", "TIMESTAMP", "2026-11-24 12:34:56.123456789", None),
        ("VARCHAR", "TIME", "24:00:00", "24:00:00"),
        ("VARCHAR", "DECIMAL(38,2)", "12345678901234567.895", None),
        ("VARCHAR", "DECIMAL(38,2)", "12345678901234567.890", "12345678901234567.89"),
        ("VARCHAR", "DECIMAL(5,2)", "nan", None),
        ("VARCHAR", "BIGINT", "9007199254740992.6", None),
        ("VARCHAR", "BIGINT", "0x1F", "31"),
        ("VARCHAR", "BIGINT", "1_000", "1000"),
        ("VARCHAR", "BIGINT", "9223372036854775808", None),
        ("DOUBLE", "DECIMAL(38,9)", "-2455555555.33", "-2455555555.330000000"),
        ("DOUBLE", "DECIMAL(5,2)", "1.255", None),
        ("DOUBLE", "DECIMAL(5,2)", "inf", None),
        ("FLOAT", "DECIMAL(5,2)", "0.1", "0.10"),
        ("DATE", "TIMESTAMP", "5000000-01-10", None),
        ("TIMESTAMP_NS", "TIMESTAMP", "2026-11-24 12:34:56.123456789", None),
        ("TIMESTAMP_NS", "TIMESTAMP", "2026-11-24 12:34:56.123456", "2026-11-24 12:34:56.123456"),
        ("TIME_NS", "TIME", "12:34:56.123456789", None),
        ("TIME_NS", "TIME", "12:34:56.123456", "12:34:56.123456"),
        ("VARCHAR", "TIMESTAMPTZ", "2024-03-31 02:30:00 Europe/Berlin", None),
        ("VARCHAR", "TIMESTAMPTZ", "2024-03-31T03:30:00 europe/berlin ", "2024-03-31 01:30:00+00"),
        ("VARCHAR", "TIMESTAMPTZ", "2011-12-30 12:00:00 Pacific/Apia", None),
        ("VARCHAR", "TIMESTAMPTZ", "2024-01-01 00:00:00 Nope/Zone", None),
        ("BIGNUM", "BIGINT", "9223372036854775807", "9223372036854775807"),
        ("BIGNUM", "DOUBLE", "9007199254740993", "9007199254740992.0"),
        ("JSON", "BIGINT", '"5"', "5"),
        ("JSON", "BIGINT", "null", None),
        ("JSON", "FLOAT[]", "[1, 2.5]", "[1.0, 2.5]"),
        ("JSON", "STRING[]", '["a\\u00e9", "b"]', "[aé, b]"),
        ("JSON", "STRING[]", "[1.10]", "[NULL]"),
        ("VARCHAR", "TINYINT[]", "[1, 300]", "[1, NULL]"),
        ("VARCHAR", "JSON", "{1}", None),
        ("BLOB", "STRING", "d\\x22f", 'd"f'),
        ("BLOB", "STRING", "\\xED\\xA0\\x80", None),
        ("BLOB[]", "STRING[]", "[d\\x22f]", "['d\"f']"),
        ("INTEGER[]", "INTEGER[3]", "[1, 2]", None),
        ("UUID", "STRING", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ],
)
def test_value_that_a_cast_would_change(
    source: str, declared: str, column: str, sent: str | None, connection: duckdb.DuckDBPyConnection
) -> None:
    """What DuckDB's cast would round, cut, escape or make infinite is sent as it is, or not at all."""
    value = value_of("x", source, _type(declared))
    assert isinstance(value, Value)
    written = (
        "select cast('[d\\x22f]' as varchar[])::blob[] as x"
        if source == "BLOB[]"
        else f"select cast(? as {source}) as x"
    )
    row = connection.execute(
        f"select cast({value.sql} as varchar), {value.key} from ({written})", [] if source == "BLOB[]" else [column]
    ).fetchall()[0]
    assert row[0] == sent
    assert row[1] is not None


@pytest.mark.parametrize(
    "kind", ["STRUCT(a INTEGER)", "MAP(VARCHAR, INTEGER)", "UNION(a INTEGER)", "VARCHAR[]", "INTEGER[2]"]
)
@pytest.mark.parametrize("declared", ["STRING", "JSON"])
def test_nested_value_is_no_text(kind: str, declared: str) -> None:
    """A value that consists of others has no one text: the plan says which to write."""
    said = value_of("a_column", kind, _type(declared))
    assert isinstance(said, str)
    assert f"the column a_column is {kind}" in said
    assert "to_json(a_column)" in said


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        *[("BLOB", "INT"), ("INTERVAL", "DOUBLE"), ("TIMESTAMP", "TIME"), ("TIMETZ", "TIME"), ("BIT", "INT")],
        *[("UUID", "BYTES"), ("INTEGER", "DATE"), ("INTEGER[]", "INT"), ("INTEGER", "INT[]"), ("FLOAT[3]", "FLOAT[4]")],
        *[("FLOAT[]", "FLOAT[][]"), ("JSON", "JSON[]"), ("MAP(VARCHAR, INTEGER)", "INT[]"), ("VARIANT", "STRING")],
    ],
)
def test_types_that_share_no_value_are_an_error_of_the_plan(source: str, declared: str) -> None:
    """Where no row could be sent, that is said once, with both types."""
    said = value_of("x", source, _type(declared))
    assert isinstance(said, str)
    assert f"the column x is {source}, of which no value is a {_type(declared).name}" in said


@pytest.mark.parametrize(
    "kind", ["TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE[]", "TIMESTAMP", "DATE", "DOUBLE"]
)
def test_key_does_not_depend_on_the_session(kind: str, connection: duckdb.DuckDBPyConnection) -> None:
    """The key is made of the value, not of the text that the session's time zone gives it."""
    value = value_of("x", kind, _type(kind))
    assert isinstance(value, Value)
    made = {"DOUBLE": "-0.0", "TIMESTAMP WITH TIME ZONE[]": "[2026-11-24 12:34:56+02, infinity]"}.get(
        kind, "2026-11-24"
    )
    connection.execute(f"create or replace temp table moment as select cast(? as {kind}) as x", [made])
    keys = set()
    for zone in ("UTC", "America/New_York", "Asia/Kolkata"):
        connection.execute(f"set timezone = '{zone}'")
        keys.update(connection.execute(f"select {value.key} from moment").fetchall())
    connection.execute("set timezone = 'UTC'")
    assert len(keys) == 1


def test_text_cannot_look_like_the_key_of_refused_bytes(connection: duckdb.DuckDBPyConnection) -> None:
    """Bytes that are not sent and a text that spells their key have two keys."""
    value = value_of("x", "BLOB", _type("STRING"))
    assert isinstance(value, Value)
    key = connection.execute(f"select {value.key} from (select '\\xFF'::blob as x)").fetchall()[0][0]
    other = connection.execute(f"select {value.key} from (select encode(?) as x)", [key]).fetchall()[0][0]
    assert key != other
