"""What is wrong with a file of JSON that has no rows of columns, in words about the file."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from dbt_triton.warehouses.duckdb.unzipped import unzipped

_READ = 2**16
_WANTED = 'write an array of objects, or an object a line, such as {"column": "a text"}'


def problem_of_json(path: Path) -> str | None:
    """Say why a file has no rows of columns; None where its beginning does not tell.

    Args:
        path: of a file that DuckDB does not read as objects.
    """
    try:
        with unzipped(path) as file:
            text = file.read(_READ).decode("utf-8-sig", errors="replace").strip()
    except (OSError, EOFError, zlib.error):
        return None
    if not text:
        return f"{path} is empty"
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None if text[0] in "[{" else f"{path} is no JSON: {_WANTED}"
    if value == [] and not text[end:].strip():
        return f"{path} has no rows: it is an empty array"
    first = value[0] if isinstance(value, list) and value else value
    if first == {}:
        return f"{path} has no columns: its objects are empty; {_WANTED}"
    return None if isinstance(first, dict) else f"{path} has no rows with columns: {_WANTED}"
