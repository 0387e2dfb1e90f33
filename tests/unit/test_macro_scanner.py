"""The scanner of the macros, for unit tests and `dbt show`, against the parser of a build and against DuckDB."""

from __future__ import annotations

import ast
import re
import time
from itertools import pairwise
from types import SimpleNamespace

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.dbt import REPOSITORY
from support.jinja_macros import MacroError, Macros

from dbt_triton.ddl.tokens import Tokens
from dbt_triton.errors import SqlSyntaxError

MACROS = Macros("unit_tests/scanner.sql", model=SimpleNamespace(name="m"))
QUOTES = "'\"`"
Piece = tuple[int, str]


def _is_quoted(text: str) -> bool:
    return text[0] in QUOTES or text[:2].lower() == "e'" or re.match(r"\$([^\W\d]\w*)?\$", text) is not None


def _pieces(tokens: list[Piece]) -> list[Piece]:
    """Cut everything but what is quoted into words and signs: one calls `::` a token, and the other two."""
    pieces: list[Piece] = []
    for start, text in tokens:
        if _is_quoted(text):
            pieces.append((start, text))
            continue
        for found in re.finditer(r"'.*'|(?:[\w$]|[^\x00-\x7f])+|\S", text, re.DOTALL):
            word, place = found[0], start + found.start()
            before = pieces[-1] if pieces else (0, "'")
            joins = before[0] + len(before[1]) == place and not _is_quoted(before[1]) and word[0] not in QUOTES
            if joins and re.match(r"[\w$]|[^\x00-\x7f]", word) and re.search(r"(?:[\w$]|[^\x00-\x7f])$", before[1]):
                pieces[-1] = (before[0], before[1] + word)
            else:
                pieces.append((place, word))
    return pieces


def _of_the_build(sql: str) -> list[Piece] | None:
    """Return what the parser of a build reads, or None where something is never closed."""
    try:
        tokens = Tokens(sql).all()
    except SqlSyntaxError:
        return None
    return _pieces([(token.start, sql[token.start : token.end + 1]) for token in tokens])


def _of_the_macros(sql: str) -> list[Piece] | None:
    try:
        tokens = MACROS.sql_tokens(sql)
    except MacroError:
        return None
    for token in tokens:
        assert sql[token["start"] : token["end"]] == token["text"]
    return _pieces([(token["start"], token["text"]) for token in tokens])


def _quoted_of_duckdb(sql: str) -> set[int]:
    """Return where DuckDB's own tokenizer finds a text or a name in quotes to begin."""
    data = sql.encode()
    places = [(len(data[:offset].decode()), kind) for offset, kind in duckdb.tokenize(sql)]
    found = set()
    for (place, kind), (end, _) in pairwise([*places, (len(sql), None)]):
        text = sql[place:end]
        if kind in {duckdb.token_type.string_const, duckdb.token_type.identifier}:
            prefixed = re.match(r"[xbn]'", text, re.IGNORECASE) is not None
            if prefixed or _is_quoted(text):
                found.add(place + prefixed)
    return found


def _examples() -> list[str]:
    """Return every SQL text of this repository: its files, those in the documentation, and those in the tests."""
    texts = [file.read_text("utf-8") for file in (REPOSITORY / "example_project").rglob("models/**/*.sql")]
    for page in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]:
        texts += re.findall(r"^```sql\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for file in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            said = node.value if isinstance(node, ast.Constant) else None
            if isinstance(said, str) and re.search(r"\b(select|ml_predict|create model)\b", said, re.IGNORECASE):
                texts.append(said)
    return texts


def test_every_sql_text_of_this_repository() -> None:
    """Of every SQL text here, a build and the macros read the same tokens."""
    texts = [re.sub(r"\{[{%#].*?[}%#]\}", "x", text, flags=re.DOTALL) for text in _examples()]
    assert len(texts) > 300
    different = [text for text in texts if _of_the_build(text) != _of_the_macros(text)]
    assert different == []


# What SQL is made of, and what looks as if it were.
PIECES = st.sampled_from(
    [
        *(
            "select ",
            "from t",
            "ML_PREDICT(",
            ")",
            ",",
            ";",
            "::",
            "=>",
            "->>",
            "//",
            "%",
            "#",
            "@>",
            "?",
            ":x",
            "[1:2]",
        ),
        *("'it''s'", "''", "''''", "'\\'", "E'it\\'s'", "e'\\\\'", "E'a''b'", "e ", "se'x'", "n'x'", "x'ff'"),
        *("B'01'", "U&'\\0061'", '"a"', '""""', '"it\'s"', '"--"', "`a``b`", "`it's`", "'`'"),
        *("$$ it's $$", "$q$ $$ ' $q$", "$q$'$Q$'$q$", '$é$"$é$', "a$b", "a$q$b", "é$", "好", "\U0001f600", "$"),
        *("-- it's\n", "--\n", "--'\r\n", "---\n", "- -", "/**/", "/***/", "/* ' */", "/* /* ' */ \" */", "/*/**/*/"),
        *("/* ** / */", "/*//* ' */*/", "/*+ ' */", "* /", "/ *", "/", "*", "**", "1e5", "1_000", ".5", "1.e2", "0xff"),
        *("\n", "\r\n", "\t", " ", "\u00a0", "{'a': 1}", "'{{'", "'%}'", "_x", "x1"),
    ]
)
OPEN = st.sampled_from(["'", '"', "`", "/*", "/* /* */", "$$ x", "$q$ $Q$", "E'\\'", "*/", "-- it's", "--", "''' "])
JOINED = st.lists(PIECES, max_size=12)


@settings(max_examples=400)
@given(JOINED, JOINED, st.sampled_from(["", " "]), OPEN | st.just(""))
@example(["select ", "E'it\\'s'", ","], ["'", "x"], " ", "")
def test_generated_texts(before: list[str], after: list[str], between: str, unclosed: str) -> None:
    """However quotes, comments and signs follow one another, a build and the macros read the same tokens."""
    sql = between.join([*before, unclosed, *after])
    # No SELECT has a lone $, a text at a number or a comment at a sign; sqlglot reads those otherwise than DuckDB.
    if re.search(r"(?<![\w$])\$(?!([^\W\d]\w*)?\$)|[\w$]\$\$|\$[^\W\d]\w*$|\d[eE]'|//[*]|[*]/[*]", sql):
        return
    assert _of_the_build(sql) == _of_the_macros(sql)


@pytest.mark.skipif(duckdb.__version__ < "2", reason="the tokenizer of DuckDB 1 knows no backticks")
@settings(max_examples=400)
@given(JOINED)
def test_quotes_are_where_duckdb_finds_them(pieces: list[str]) -> None:
    """Texts and names in quotes begin where DuckDB's own tokenizer says."""
    sql = " ".join(pieces)
    read = _of_the_macros(sql)
    if read is not None:
        assert {place for place, text in read if _is_quoted(text)} == _quoted_of_duckdb(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "/* " * 5_000,
        "/* " * 40 + "'" + "*/ " * 40,
        "select /* a /* b */ */ 'c'\n" * 2_000,
        "'" * 20_001,
        "select 'x\n" * 2_001,
        "$a$ " * 3_001,
        "(" * 5_000,
        "select E'\\\\" * 1_000,
    ],
)
def test_long_texts_are_quick(sql: str) -> None:
    """The macros read a text of thousands of quotes or comments, closed or not, in a moment."""
    started = time.perf_counter()
    _of_the_macros(sql)
    assert time.perf_counter() - started < 5


def test_what_is_never_closed_is_told_with_its_line() -> None:
    """As in a build, a quote that is never closed is an error with the line of its opening."""
    with pytest.raises(MacroError, match="cannot read the SQL of m, line 3: a quote or comment is opened here"):
        MACROS.sql_tokens("select 'a'\n/* /* */ */\n, E'it\\'s\n")
