r"""Arrays in a text, as SQL: in JSON's spelling, or in DuckDB's, which needs no quotes: `[a, 'b c', NULL]`."""

from __future__ import annotations

from dbt_triton.warehouses.spark.expressions import BEGIN, END, SPACE_AT_END, matches, replaced, whole_match
from dbt_triton.warehouses.spark.literals import text_literal
from dbt_triton.warehouses.spark.text_json import STRING

_QUOTED = r'"(?:[^"\\]++|\\[\s\S])*+"|' + r"'(?:[^'\\]++|\\[\s\S])*+'"
_BARE = r"[^\s,\[\]\"'{}()][^,\[\]\"'{}()]*+"
_ELEMENT = rf"\s*+(?:{_QUOTED}|{_BARE})\s*+"
_BRACKETS = BEGIN + r"\[|\]\s*+" + END


def array_of_text(text: str, levels: int) -> str:
    """Return the SQL of an array of texts, with so many levels; NULL where the text has no such form."""
    return f"case when {whole_match(text, _pattern(levels))} then {_elements(text, levels)} end"


def _pattern(levels: int) -> str:
    if levels == 0:
        return _ELEMENT
    inner = _pattern(levels - 1)
    return rf"\s*+\[(?:{inner}(?:,{inner})*+|\s*+)\]\s*+"


def _elements(text: str, levels: int) -> str:
    within = replaced(text, _BRACKETS)
    pattern = _pattern(levels - 1) if levels > 1 else f"{_QUOTED}|{_BARE}"
    name = f"dbt_triton_piece_{levels}"
    piece = _elements(name, levels - 1) if levels > 1 else _text(name)
    return f"transform(regexp_extract_all({within}, {text_literal(pattern)}, 0), {name} -> {piece})"


def _text(piece: str) -> str:
    """Return the SQL of the text of one element: a JSON string, one in other quotes, or what stands there."""
    string = f"element_at(from_json(concat('[', {piece}, ']'), 'array<string>'), 1)"
    is_string, is_quoted = matches(piece, f"^{STRING}{END}"), matches(piece, "^[\"']")
    unescaped = replaced(f"substring({piece}, 2, length({piece}) - 2)", r"\\([\s\S])", "$1")
    bare = replaced(piece, SPACE_AT_END)
    return (
        f"case when {is_string} then {string} when {is_quoted} then {unescaped} "
        f"when lower({bare}) <> 'null' then {bare} end"
    )
