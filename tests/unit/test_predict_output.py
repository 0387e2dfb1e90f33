"""`dbt-triton predict`: the rows on standard output, which people and programs read."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.adhoc.written import Column, as_declared, json_text, write

ROWS = [("7", 'a, "q"\nb', "true", '{"k": 1}', ["1", None], None), ("NaN", "", "false", None, [], "x")]
COLUMNS: list[Column] = [
    ("n", "number", 0),
    ("te,xt", "text", 0),
    ("b", "boolean", 0),
    ("j", "json", 0),
    ("list", "number", 1),
    ("nothing", "text", 0),
]


def _written(
    shape: str, columns: list[Column], *batches: list[tuple[Any, ...]], terminal: io.StringIO | None = None
) -> str:
    out = io.StringIO()
    tables = [
        pa.record_batch(
            [pa.array(list(column)) for column in zip(*rows, strict=True)], [name for name, _, _ in columns]
        )
        for rows in batches
    ]

    def say(text: str, end: str = "\n") -> None:
        out.write(text + end)

    write(shape, columns, tables, terminal or out, say)
    return out.getvalue()


def test_json() -> None:
    """JSON is one array of objects, one a line; numbers, booleans and JSON are what they are, and NaN is a text."""
    written = _written("json", COLUMNS, ROWS[:1], ROWS[1:])
    assert len(written.splitlines()) == 4
    assert json.loads(written) == [
        {"n": 7, "te,xt": 'a, "q"\nb', "b": True, "j": {"k": 1}, "list": [1, None], "nothing": None},
        {"n": "NaN", "te,xt": "", "b": False, "j": None, "list": [], "nothing": "x"},
    ]
    assert json.loads(_written("json", COLUMNS)) == []


def test_json_lines() -> None:
    """JSON lines are the same objects, each on a line of its own."""
    lines = _written("jsonl", COLUMNS, ROWS).splitlines()
    assert [json.loads(line) for line in lines] == json.loads(_written("json", COLUMNS, ROWS))


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("1.50", "number", "1.50"),
        ("12345678901234567890.5", "number", "12345678901234567890.5"),
        ("1e+20", "number", "1e+20"),
        ("-inf", "number", '"-Infinity"'),
        ("007", "number", '"007"'),
        ("[1, NaN]", "json", '"[1, NaN]"'),
        ("ü\u2028日本", "text", '"ü\u2028日本"'),
    ],
)
def test_values_in_json(text: str, kind: str, written: str) -> None:
    """A number keeps its digits; what JSON has no word for is a text."""
    assert json_text(text, kind) == written


_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(_TEXTS, st.none() | _TEXTS), min_size=1, max_size=5))
def test_csv_is_read_back(rows: list[tuple[str, str | None]]) -> None:
    """Whatever a text holds, a reader of CSV gets it back; NULL and an empty text differ."""
    written = _written("csv", [("a", "text", 0), ("b", "text", 0)], list(rows))
    read = list(csv.reader(io.StringIO(written, newline="")))
    assert read == [["a", "b"], *([a, b or ""] for a, b in rows)]
    if len(rows) == 1:
        assert written.endswith(',""\n') == (rows[0][1] == "")


def test_table_in_a_pipe() -> None:
    """A table has a line a row, whole values, and nothing that moves a cursor."""
    rows = [("7", "a\nb\x1b[31m", "true", '"text in JSON"', ["1", None], None)]
    lines = _written("table", COLUMNS, rows).splitlines()
    assert len(lines) == 3
    assert lines[2].split("  ") == ["7", "a\\nb\\x1b[31m", "true", "text in JSON", "[1, null]", "NULL"]


def test_table_of_wide_letters() -> None:
    """Letters that take two places on a terminal leave the columns in line."""
    lines = _written("table", [("a", "text", 0), ("b", "text", 0)], [("日本", "x"), ("abcd", "y")]).splitlines()
    assert lines[2:] == ["日本  x", "abcd  y"]


def test_long_arrays_in_a_table() -> None:
    """A table shows the beginning of an embedding or a picture, and how long it is; other formats have it whole."""
    columns: list[Column] = [("v", "number", 1), ("b", "bytes", 0)]
    picture = base64.b64encode(b"x" * 1_000).decode()
    rows = [([str(number) for number in range(384)], picture)]
    line = _written("table", columns, rows).splitlines()[2]
    assert line.startswith("[0, 1, 2, 3, 4, 5, … 384 in all]  eHh4")
    assert line.endswith("… (1,000 bytes)")
    assert json.loads(_written("json", columns, rows)) == [{"v": [*range(384)], "b": picture}]


@pytest.mark.parametrize("count", [60, 61, 5_000])
def test_thousands_of_columns_in_a_table(count: int) -> None:
    """A table shows the first and the last of very many columns, and says how many are between them."""
    columns: list[Column] = [(f"c{number}", "number", 0) for number in range(count)]
    names, _, row = (line.split() for line in _written("table", columns, [tuple("7" * count)]).splitlines())
    assert names[:30] == [f"c{number}" for number in range(30)]
    assert names[-30:] == [f"c{number}" for number in range(count - 30, count)]
    assert names[30:-30] == ([] if count == 60 else ["…", f"{count - 60:,}", "more"])
    assert row == ["7"] * 30 + (["…"] if count > 60 else []) + ["7"] * 30


class _Terminal(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


@pytest.mark.parametrize("rows", [1, 2])
def test_long_texts_on_a_terminal(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """What is wider than the terminal is folded, and nothing of it is left out."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    text = " ".join(f"word{number}" for number in range(30))
    written = _written("table", [("a", "text", 0), ("b", "text", 0)], [(text, "y\nz")] * rows, terminal=_Terminal())
    written = re.sub(r"\x1b\[[0-9;]*m", "", written)
    assert all(len(line) <= 40 for line in written.splitlines())
    assert all(written.count(word) == rows for word in text.split()[10:])


def test_a_number_that_was_read_as_a_text() -> None:
    """A column of a CSV that INPUT calls a number is one in JSON, where it is written as one."""
    declared = {"n": ("number", 0), "v": ("number", 1)}
    assert as_declared(("n", "text", 0), declared) == ("n", "number", 0)
    assert as_declared(("v", "text", 0), declared) == ("v", "json", 0)
    assert as_declared(("other", "text", 0), declared) == ("other", "text", 0)
    assert json_text("abc", "number") == '"abc"'
