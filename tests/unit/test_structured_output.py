"""The text of an answer as typed columns: what each type takes of JSON, and what fails a row by itself."""

import itertools
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from time import monotonic as time_now
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_triton.tensors import parse_sql_type, parse_texts
from dbt_triton.tensors.exact_json import write_json
from dbt_triton.tensors.generation import AnswerColumn, Structured

BIG = 2**63 - 1
#: By type, what JSON is read as what; then what is refused.
TYPES: dict[str, tuple[list[tuple[Any, Any]], list[Any]]] = {
    "BOOLEAN": ([(True, True), (False, False), ("true", True)], [1, 0, "yes", [], {}]),
    "TINYINT": ([(5, 5), (-128, -128), (5.0, 5), ("7", 7)], [128, 5.5, "x", True, [1], "1e9"]),
    "BIGINT": ([(BIG, BIG), (-BIG - 1, -BIG - 1), (str(BIG), BIG)], [BIG + 1, "9" * 30, None.__class__.__name__]),
    "UBIGINT": ([(2**64 - 1, 2**64 - 1)], [-1]),
    "FLOAT": ([(0.5, 0.5), (1, 1.0), ("0.25", 0.25), (2**24, 2.0**24)], [1e300, 2**24 + 1, "high", False, [0.5]]),
    "DOUBLE": ([(0.1, 0.1), (1, 1.0), (1e300, 1e300)], [2**63 - 1, "", {}]),
    "DECIMAL(5,2)": (
        [(1.25, Decimal("1.25")), (7, Decimal("7.00")), ("999.99", Decimal("999.99"))],
        [0.125, 1000, "x"],
    ),
    "DECIMAL(38,0)": ([("9" * 38, Decimal("9" * 38))], ["9" * 39, "1e99999999", "NaN", "1_000", "\uff11\uff12", True]),
    "STRING": ([("good", "good"), ("", ""), ("é\u2028", "é\u2028")], [5, True, ["good"], {"a": 1}]),
    "JSON": ([({"a": [1]}, '{"a":[1]}'), ("x", '"x"'), (5, "5")], []),
    "DATE": ([("2026-02-28", date(2026, 2, 28))], ["2026-02-30", "yesterday", 5]),
    "TIME": ([("12:30:00.5", time(12, 30, 0, 500_000))], ["25:00", "12:30+01:00", "12:30:00,1234567"]),
    "TIMESTAMP": ([("2026-02-28T01:02:03", datetime(2026, 2, 28, 1, 2, 3))], ["2026-02-28T00:00:00Z", "soon"]),  # noqa: DTZ001
    "TIMESTAMPTZ": (
        [("2026-02-28T02:00:00+01:00", datetime(2026, 2, 28, 1, tzinfo=UTC))],
        ["2026-02-28T00:00:00", "2026-02-28T00:00:00.1234567Z"],
    ),
    "STRING[]": ([(["a", "b"], ["a", "b"]), ([], [])], ["a", [5], ["a", None], {"a": 1}]),
    "INT[2]": ([([1, 2], [1, 2])], [[1], [1, 2, 3], [1, 2.5]]),
    "DOUBLE[][]": ([([[0.5], []], [[0.5], []])], [[0.5], [[None]]]),
}


def structured(*columns: tuple[str, str], finish_reason: int | None = None) -> Structured:
    """Describe an answer of a text alone, whose keys are columns."""
    made = []
    for key, text in columns:
        kind = parse_sql_type(text)
        assert not isinstance(kind, str)
        made.append(AnswerColumn(None, key, kind))
    return Structured(0, finish_reason, tuple(made))


def texts(*values: Any) -> pa.Array:
    """Make the column of texts."""
    return pa.array(
        [value if isinstance(value, str) else orjson.dumps(value).decode() for value in values], pa.large_string()
    )


@pytest.mark.parametrize("kind", TYPES)
def test_values_of_each_type(kind: str) -> None:
    """A value is its column's type or its row fails alone, with the value and the type; a missing key is NULL."""
    good, bad = TYPES[kind]
    rows = [{"v": value} for value, _ in good] + [{"v": value} for value in bad] + [{}, {"v": None}]
    parsed = parse_texts([texts(*rows)], structured(("v", kind)))
    assert sorted(parsed.failed) == list(range(len(good), len(good) + len(bad)))
    name = structured(("v", kind)).columns[0].type
    assert name is not None
    assert all(f"v of the answer's text is no {name.name}: it is " in why for why in parsed.failed.values())
    (column,) = parsed.columns
    assert column.to_pylist() == [value for _, value in good] + [None] * 2
    whole = range(len(rows)) if parsed.whole is None else parsed.whole.tolist()
    assert [*whole] == [place for place in range(len(rows)) if place not in parsed.failed]


@pytest.mark.parametrize(
    "text", ["", "good", "[1]", "5", "null", '{"a": ', '{"a": NaN}', "{} {}", '```json\n{"a"\n```']
)
@pytest.mark.parametrize("reason", [None, "stop", "length", ["length"]])
def test_a_text_that_is_no_object(text: str, reason: Any) -> None:
    """It fails its row, and says where it can why: most such texts were cut off."""
    outputs = [texts(text, {"a": 1})]
    place = None
    if reason is not None:
        outputs.append(pa.array([reason, reason]))
        place = 1
    parsed = parse_texts(outputs, structured(("a", "INT"), finish_reason=place))
    assert list(parsed.failed) == [0]
    why = parsed.failed[0]
    assert ("is not JSON" in why) or ("is JSON, but no object" in why)
    assert ("cut off by max_tokens" in why) == (reason in ("length", ["length"]))
    assert ("(finish_reason stop)" in why) == (reason == "stop")
    assert parsed.columns[0].to_pylist() == [1]


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}```', '\n```JSON\n{\n"a": 1}\n``` \n'),
        *('```{"a": 1}```', '```json {"a": 1} ```', '```json5\r\n{"a": 1}\r\n```', '````json\n{"a": 1}\n````'),
        *('~~~\n{"a": 1}\n~~~', '```json\n{"a": 1}\n'),
        '<think>\nPerhaps {"a": 2}?\n</think>\n\n{"a": 1}',
        'Perhaps {"a": 2}?</THINK>```json\n{"a": 1}\n```',
        "<thinking>a</thinking><think></think>{'a': 2}</think>{\"a\": 1}",
    ],
)
def test_what_is_around_the_object(text: str) -> None:
    """Models write JSON as a block of code unless they are told not to, and put their thoughts before it."""
    assert parse_texts([texts(text)], structured(("a", "INT"))).columns[0].to_pylist() == [1]


@pytest.mark.parametrize(
    "text", ['{"a": "</think>{}"}', '{"a": "```json\\n{}\\n```"}', '```\n{"a": "```\\n~~~\\n````"}\n```']
)
def test_what_is_within_the_object(text: str) -> None:
    """Nothing is unwrapped that is JSON as it stands."""
    (found,) = parse_texts([texts(text)], structured(("a", "STRING"))).columns[0].to_pylist()
    assert found in text.replace("\\n", "\n")


@pytest.mark.parametrize(
    "text", ['Sure: {"a": 1}', '{"a": 1} I hope it helps', '```\n{"a": 1}\n```\nDone', "```", "``"]
)
def test_prose_is_not_searched(text: str) -> None:
    """What is left of a text must be JSON."""
    assert list(parse_texts([texts(text)], structured(("a", "INT"))).failed) == [0]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("DECIMAL(20,2)", "12345678901234567.89", Decimal("12345678901234567.89")),
        ("DECIMAL(38,0)", "99999999999999999999", Decimal(99999999999999999999)),
        ("DECIMAL(38,22)", "1.0000000000000000000001", Decimal("1.0000000000000000000001")),
        ("BIGINT", "9007199254740993.0", 9007199254740993),
        ("DOUBLE", "0.46153846153846156000", 0.46153846153846156),
        ("FLOAT[]", "[0.500000000000000000]", [0.5]),
        ("JSON", '{"id":18446744073709551617,"x":0.12345678901234567890123}', None),
        ("DOUBLE", "18446744073709551617", "more than 53 bits"),
        ("DECIMAL(5,2)", "1.0000000000000000000001", "would be rounded"),
        ("BIGINT", "18446744073709551617", "it is 18446744073709551617; it is out of range"),
        ("JSON", "[" * 300 + "]" * 300, "nested too deeply"),
    ],
)
def test_long_numbers(kind: str, text: str, expected: Any) -> None:
    """A number is the one that was written, and not the nearest one of 64 bits."""
    parsed = parse_texts([texts(f'{{"v": {text}}}')], structured(("v", kind)))
    if isinstance(expected, str):
        assert expected in parsed.failed[0]
    else:
        assert parsed.columns[0].to_pylist() == [text if expected is None else expected]


def test_keys_by_whatever_case() -> None:
    """A column finds its key whatever the case, if it is the only one; the one that is spelt alike comes first."""
    rows = [{"Some Key": 1}, {"SOME KEY": 1, "some key": 2}, {"SOME KEY": 1, "Some Key": 2, "b": 3}, {"b": 3}, {}]
    parsed = parse_texts([texts(*rows)], structured(("some key", "INT"), ("b", "INT")))
    assert not parsed.failed
    assert [column.to_pylist() for column in parsed.columns] == [[1, 2, None, None, None], [None, None, 3, 3, None]]


@pytest.mark.parametrize("row", [{"answer": {"a": 1}}, {"type": "object", "properties": {"a": {"type": "integer"}}}])
def test_an_object_with_other_keys(row: dict[str, Any]) -> None:
    """An object that has none of the keys is another one: its row fails, and is not NULL without a word."""
    parsed = parse_texts([texts(row)], structured(("a", "INT"), ("b", "INT")))
    assert parsed.failed == {0: f"the text of the answer has none of the keys a, b; it has {', '.join(row)}"}


@pytest.mark.parametrize("begun", ["", '{"a":', '```json\n{"a": 1,'])
def test_white_space_until_the_end(begun: str) -> None:
    """Models that are held to JSON without being asked for it write white space until they are stopped; it is said."""
    outputs = [texts(begun + "\n" * 100_000), pa.array(["length"])]
    parsed = parse_texts(outputs, structured(("a", "INT"), finish_reason=1))
    assert "100,000 characters of white space" in parsed.failed[0]
    assert parsed.failed[0].endswith(f"It is: {' '.join(begun.split()) or '(empty)'}")


def test_keys_and_outputs_stand_in_their_order() -> None:
    """Columns are keys of the text or outputs beside it, in the order of OUTPUT; a failed row takes all of its own."""
    integer, text = parse_sql_type("INT"), parse_sql_type("STRING")
    assert not isinstance(integer, str)
    assert not isinstance(text, str)
    columns = (AnswerColumn(None, "b", text), AnswerColumn(1), AnswerColumn(None, "a", integer), AnswerColumn(0))
    for bad in itertools.product([False, True], repeat=3):
        rows = ["no" if is_bad else {"a": at, "b": str(at)} for at, is_bad in enumerate(bad)]
        parsed = parse_texts([texts(*rows), pa.array([10, 11, 12])], Structured(0, None, columns))
        kept = [at for at, is_bad in enumerate(bad) if not is_bad]
        assert sorted(parsed.failed) == [at for at in range(3) if at not in kept]
        b, tokens, a, whole = (column.to_pylist() for column in parsed.columns)
        assert (b, tokens, a) == ([str(at) for at in kept], [10 + at for at in kept], kept)
        assert [orjson.loads(one) for one in whole] == [rows[at] for at in kept]


def test_what_is_said_of_a_text_is_short() -> None:
    """A long text is not repeated as a whole."""
    parsed = parse_texts([texts("x" * 100_000, {"a": "y" * 100_000})], structured(("a", "INT")))
    assert all(len(why) < 500 for why in parsed.failed.values())
    assert len(parsed.failed) == 2


DIGITS = st.from_regex(
    r"-?(0|[1-9]\d{0,40})(\.\d{1,40})?([eE][+-]?\d{1,3})?", fullmatch=True, alphabet="0123456789.eE+-"
)


def read(kind: str, text: str) -> Any:
    """Read one value; the reason where it is refused."""
    parsed = parse_texts([texts(text)], structured(("a", kind)))
    return parsed.failed[0] if parsed.failed else parsed.columns[0].to_pylist()[0]


@given(DIGITS, st.booleans())
@settings(max_examples=500, deadline=None)
def test_every_digit_counts(digits: str, as_text: bool) -> None:
    """A number is on the table as it was written, or its row says why not."""
    exact = Decimal(digits)
    text = f'{{"a":"{digits}"}}' if as_text else f'{{"a":{digits}}}'
    for kind in ("BIGINT", "UBIGINT", "DECIMAL(38,2)", "DECIMAL(38,20)"):
        found = read(kind, text)
        assert isinstance(found, str) or found == exact, (kind, found)
    if not as_text:
        found = read("JSON", text)
        assert "is not JSON" in found or Decimal(found) == exact


LEAVES = st.none() | st.booleans() | st.text(max_size=8) | DIGITS.map(Decimal)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_json_columns_hold_what_was_written(value: Any) -> None:
    """Whatever JSON a model writes is in a JSON column, with every digit."""
    text = write_json(value)
    try:
        orjson.loads(text)
    except ValueError:  # a number that no float holds
        return
    found = read("JSON", f'{{"a":{text}}}')
    assert value is None or json.loads(found, parse_float=Decimal, parse_int=Decimal) == value


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '{"a":1,"b":{"x":"\\":","x":2}}', '{"a":1,"b":[{"":1,"" : 2}]}']
)
def test_a_key_that_stands_twice_says_nothing(text: str) -> None:
    """Neither value is taken for the one that was meant."""
    assert "one thing twice: it has the key" in read("BIGINT", text)


def test_keys_within_texts_are_no_keys() -> None:
    """What looks like a key within a text is none."""
    assert read("STRING", '{"a":"\\"a\\": 1, \\"a\\": 1","b":1}') == '"a": 1, "a": 1'


@pytest.mark.parametrize("depth", [300, 1000, 100_000])
@pytest.mark.parametrize("digits", ["1", "9" * 30])
def test_deep_nesting_fails_its_row(depth: int, digits: str) -> None:
    """JSON that can be read and not be written again takes nothing else with it."""
    text = f'{{"a":{"[" * depth}{digits}{"]" * depth}}}'
    assert "is no" in read("JSON", text) or "not JSON" in read("JSON", text)
    assert "is no" in read("BIGINT", text) or "not JSON" in read("BIGINT", text)


@pytest.mark.parametrize("text", ["```\n" + "\n" * 10**6, "```\n" + "\n " * 10**6 + "```x", " " * 10**6 + "```"])
def test_a_text_of_white_space_takes_no_time(text: str) -> None:
    """Models are known to write line feeds until they are cut off."""
    started = time_now()
    assert "is not JSON" in read("BIGINT", text)
    assert time_now() - started < 5
