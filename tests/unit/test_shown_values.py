"""How a message shows the values of a row."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.step.shown_values import printable, shown, shown_row


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("null", "NULL"),
        ("true", "true"),
        ("'it''s'", "'it''s'"),
        ("1.50::decimal(5, 2)", "1.50"),
        ("1e-30::decimal(38, 30)", "0.000000000000000000000000000001"),
        ("2.5::double", "2.5"),
        ("'nan'::double", "'nan'"),
        ("'-inf'::double", "'-infinity'"),
        ("date '2026-11-24'", "'2026-11-24'"),
        ("timestamp '2026-11-24 01:02:03.5'", "'2026-11-24 01:02:03.500000'"),
        ("time '01:02:03'", "'01:02:03'"),
        ("interval 36 hours", "'1 day 12:00:00'"),
        ("'\\x00a\\x22'::blob", "'\\x00a\\x22'::BLOB"),
        ("[1, null, 3]", "[1, NULL, 3]"),
        ("[['a'], []]", "[['a'], []]"),
        ("{'a': 1, 'b': 'x'}", "{'a': 1, 'b': 'x'}"),
        ("uuid 'eeccb8c5-9943-b2bb-bb5e-222f4e14b687'", "'eeccb8c5-9943-b2bb-bb5e-222f4e14b687'"),
        ("170141183460469231731687303715884105727::hugeint", "170141183460469231731687303715884105727"),
    ],
)
def test_values_are_shown_as_in_sql(sql: str, text: str) -> None:
    """Every kind of value is shown as SQL writes it, and nothing as Python does."""
    with duckdb.connect() as connection:
        ((value,),) = connection.execute(f"select {sql}").fetchall()
        assert shown(value) == text
        # What is shown is SQL, which gives the value back.
        ((kind,),) = connection.execute(f"select typeof({sql})").fetchall()
        kind = kind.replace('"NULL"', "int")
        assert connection.execute(f"select cast({text} as {kind}) is not distinct from ({sql})").fetchall() == [(True,)]


@pytest.mark.parametrize("value", ["x" * 10_000, b"\0" * 10_000, ["x" * 50] * 1_000, {"a": "x" * 100}, 10**4_000])
def test_long_values_are_cut(value: object) -> None:
    """However long a value is, a line of it is shown."""
    assert len(shown(value)) == 61
    assert shown(value).endswith("…")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text(max_size=5))
def test_nothing_reaches_the_terminal_as_a_control_character(text: str, name: str) -> None:
    """No value and no name can move the cursor, end the line, or turn the direction of writing."""
    said = shown_row({name: text, "b": [text], "c": text.encode()})
    assert said == printable(said)
    assert all(character.isprintable() or character.isspace() for character in said)
    assert not set("\n\r\t\x1b\x00\x7f\u202e\u2028") & set(said)
