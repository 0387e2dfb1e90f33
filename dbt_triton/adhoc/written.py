"""The rows of a result on standard output: a table for people, JSON, JSON lines, or CSV.

Values come as the warehouse's own texts, so that a number has the digits that it has there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TextIO

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbt_triton.adhoc.words import is_json
from dbt_triton.step.shown_values import printable

Say = Callable[..., None]
#: The kind of each column by its name, and its levels of arrays, in order: as the warehouse says it.
Column = tuple[str, str, int]

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity"}
_BOOLEANS = {"true", "false"}
_NULL = "NULL"
_GAP = "  "
#: So many rows of a table too wide for the terminal are laid out by rich, which takes a while.
_MOST_FOLDED = 2_000
#: A table shows longer arrays and bytes in part.
_SHOWN_ELEMENTS, _SHOWN_BYTES = 12, 40
#: A table has so many columns; the other formats have all.
_MOST_COLUMNS = 60


def write(shape: str, columns: Sequence[Column], batches: Iterable[pa.RecordBatch], out: TextIO, say: Say) -> None:
    """Write rows.

    Args:
        shape: ``table``, ``json``, ``jsonl`` or ``csv``.
        columns: of the rows.
        batches: of texts, and of arrays of texts.
        out: standard output, whose width a table keeps to.
        say: prints a text as it is with ``end=""``.
    """
    if shape == "table":
        _table(columns, list(chain.from_iterable(map(_rows, batches))), out, say)
        return
    writer = {"json": _json, "jsonl": _json_lines, "csv": _csv}[shape]
    for text in writer(columns, map(_rows, batches)):
        say(text, end="")


def _rows(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _json(columns: Sequence[Column], batches: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[str]:
    """Yield one array, a row a line."""
    before = "[\n"
    for rows in batches:
        if rows:
            yield before + ",\n".join(_object(columns, row) for row in rows)
            before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _json_lines(columns: Sequence[Column], batches: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[str]:
    for rows in batches:
        yield "".join(_object(columns, row) + "\n" for row in rows)


def _object(columns: Sequence[Column], row: Sequence[Any]) -> str:
    cells = (
        f"{json.dumps(name, ensure_ascii=False)}: {json_text(value, kind, levels)}"
        for (name, kind, levels), value in zip(columns, row, strict=True)
    )
    return "{" + ", ".join(cells) + "}"


def json_text(value: Any, kind: str, levels: int = 0) -> str:  # noqa: ANN401 - a text, or arrays of texts
    """Write a value as JSON, which has no NaN and no infinity: these are texts."""
    if value is None:
        return "null"
    if levels:
        return "[" + ", ".join(json_text(one, kind, levels - 1) for one in value) + "]"
    if kind == "number":
        return str(value) if _JSON_NUMBER.fullmatch(value) else json.dumps(_NO_NUMBERS.get(value.lower(), value))
    if (kind == "boolean" and value in _BOOLEANS) or (kind == "json" and is_json(value)):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _csv(columns: Sequence[Column], batches: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[str]:
    """Yield a CSV that is read back as it was: NULL is nothing, and an empty text is in quotes."""
    yield ",".join(_field(name) for name, _, _ in columns) + "\n"
    for rows in batches:
        yield "".join(
            ",".join(
                _field(plain_text(value, kind, levels)) for (_, kind, levels), value in zip(columns, row, strict=True)
            )
            + "\n"
            for row in rows
        )


def _field(text: str | None) -> str:
    if text is None:
        return ""
    if not text or any(mark in text for mark in ',"\r\n;\t|') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def plain_text(value: Any, kind: str, levels: int = 0) -> str | None:  # noqa: ANN401 - as above
    """Return a value as one text; arrays are JSON, and of JSON that is a text the text itself."""
    if value is None:
        return None
    if levels:
        return json_text(value, kind, levels)
    if kind == "json" and value.startswith('"') and is_json(value):
        return str(json.loads(value))
    return str(value)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], out: TextIO, say: Say) -> None:
    columns, rows = _with_fewer_columns(columns, rows)
    console = Console(file=out, highlight=False)
    names = [printable(name) for name, _, _ in columns]
    cells = [
        [
            _NULL if (text := plain_text(*_short(value, kind, levels))) is None else text
            for (_, kind, levels), value in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
    lines = [[printable(cell) for cell in row] for row in cells]
    widths = [max(map(cell_len, column)) for column in zip(names, *lines, strict=True)]
    width = sum(widths) + len(_GAP) * (len(widths) - 1)
    right = [kind == "number" and not levels for _, kind, levels in columns]
    if console.is_terminal and width > console.width and len(rows) <= _MOST_FOLDED:
        wide = _upright(names, cells) if len(rows) == 1 else _folded(names, right, cells)
        with console.capture() as captured:
            console.print(wide)
        say(captured.get(), end="")
        return
    rule = ["─" * one for one in widths] if _has_rules(out) else ["-" * one for one in widths]
    for row in (names, rule, *lines):
        padded = (
            " " * (one - cell_len(cell)) + cell if is_right else cell + " " * (one - cell_len(cell))
            for cell, one, is_right in zip(row, widths, right, strict=True)
        )
        say(_GAP.join(padded).rstrip())


def _with_fewer_columns(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> tuple[Sequence[Column], Sequence[Sequence[Any]]]:
    """Return what a table shows of very many columns: the first and the last, and how many are between them."""
    more = len(columns) - _MOST_COLUMNS
    if more <= 0:
        return columns, rows
    first, last = _MOST_COLUMNS // 2, len(columns) - _MOST_COLUMNS // 2
    between = (f"… {more:,} more", "text", 0)
    return [*columns[:first], between, *columns[last:]], [[*row[:first], "…", *row[last:]] for row in rows]


def _short(value: Any, kind: str, levels: int) -> tuple[Any, str, int]:  # noqa: ANN401 - as above
    """Return what a table shows of a value: of a long array and of many bytes the beginning, and how long they are."""
    if kind == "bytes" and not levels and value is not None and len(value) > _SHOWN_BYTES:
        return f"{value[:_SHOWN_BYTES]}… ({len(value) * 3 // 4 - value[-2:].count('='):,} bytes)", "text", 0
    if levels and value is not None and len(value) > _SHOWN_ELEMENTS:
        first = json_text(value[: _SHOWN_ELEMENTS // 2], kind, levels)
        return f"{first[:-1]}, … {len(value):,} in all]", "text", 0
    return value, kind, levels


def _folded(names: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table whose long texts take several lines."""
    table = Table(box=SIMPLE_HEAD, show_lines=True, pad_edge=False)
    for name, is_right in zip(names, right, strict=True):
        table.add_column(Text(name), justify="right" if is_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_lines_of(cell)) for cell in row))
    return table


def _upright(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return one row as lines of a name and a value."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, cell in zip(names, rows[0], strict=True):
        table.add_row(Text(name, style="bold"), Text(_lines_of(cell)))
    return table


def _lines_of(text: str) -> str:
    """Keep the line ends of a text, and show every other control character."""
    return "\n".join(map(printable, text.splitlines()))


def _has_rules(out: TextIO) -> bool:
    return "utf" in (getattr(out, "encoding", None) or "utf-8").lower()


def as_declared(column: Column, declared: Mapping[str, tuple[str, int]]) -> Column:
    """Return a column of texts as what it was read as: a number of a CSV is one in JSON, too."""
    name, kind, levels = column
    said = declared.get(name)
    if kind != "text" or levels or said is None:
        return column
    return (name, "json" if said[1] else said[0], 0)
