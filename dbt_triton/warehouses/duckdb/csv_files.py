"""How a CSV is read: what is between its columns, and what they are called, by the file's own first row."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from dbt_triton.errors import DbtTritonError
from dbt_triton.warehouses.duckdb.dialect import text_literal
from dbt_triton.warehouses.duckdb.unzipped import unzipped

_DELIMITERS = ",;\t|"
#: What no file has between its columns, of one that has only one.
_NO_DELIMITER = "\x1f"
#: A text of so many bytes may stand in one line.
_MAX_LINE = 2**24
#: A name of a column may be broken into so many lines, as spreadsheets write it.
_MOST_LINES = 100
_LINE_END = re.compile(r"\r\n|\r|\n")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def options_of_csv(path: Path) -> str:
    """Return the options of ``read_csv``: the first row names the columns, and is divided as all others are.

    Raises:
        DbtTritonError: it is empty, or the first row has line ends of two kinds, with which DuckDB would lose all rows.
    """
    header = _header_of(path)
    if not header.strip() and _is_blank(path):
        raise DbtTritonError(f"{path} is empty")
    if len(set(_LINE_END.findall(header))) > 1:
        raise DbtTritonError(
            f"{path}: the name of a column has a line end in it, of another kind than rows have; remove it"
        )
    header = header.rstrip("\r\n")
    is_quoted = header.count('"') % 2 == 0
    plain = "".join(header.split('"')[::2]) if is_quoted else header
    delimiter = max(_DELIMITERS, key=plain.count) if any(one in plain for one in _DELIMITERS) else _NO_DELIMITER
    written = next(csv.reader(io.StringIO(header, newline=""), delimiter=delimiter), None)
    columns = ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in _names(written or [""]))
    return (
        f"header=true, auto_detect=false, columns={{{columns}}}, delim={text_literal(delimiter)}, quote='\"', "
        f"escape='\"', strict_mode=true, allow_quoted_nulls=false, max_line_size={_MAX_LINE}, hive_partitioning=false"
    )


def refuse_utf16(path: Path) -> None:
    """Refuse what PowerShell and spreadsheets call Unicode, of which nothing else would say what is wrong.

    Raises:
        DbtTritonError: the file begins as UTF-16 does.
    """
    with path.open("rb") as file:
        if file.read(2) in _UTF16:
            raise DbtTritonError(f"{path} is UTF-16; save it as UTF-8")


def _names(header: Sequence[str]) -> list[str]:
    """Return the names of columns, each of them once, whatever the case."""
    names: dict[str, str] = {}
    for place, written in enumerate(header):
        name = base = written or f"column{place}"
        number = 0
        while name.lower() in names:
            number += 1
            name = f"{base}_{number}"
        names[name.lower()] = name
    return list(names.values())


def _is_blank(path: Path) -> bool:
    """Tell whether a file has white space only, as far as it is read."""
    with unzipped(path) as file:
        return not file.read(_MAX_LINE).removeprefix(codecs.BOM_UTF8).strip()


def _header_of(path: Path) -> str:
    """Return the first row: one line, or several where a name in quotes has line ends in it.

    A line ends with a line feed, a carriage return, or both. A quote that nothing closes is one of a name.
    """
    with unzipped(path) as file, io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="") as text:
        first = header = text.readline(_MAX_LINE)
        for _ in range(_MOST_LINES):
            if header.count('"') % 2 == 0:
                return header
            header += text.readline(_MAX_LINE)
    return first
