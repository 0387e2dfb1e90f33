"""`dbt-triton predict`: what the words of its command line mean, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dbt_triton.adhoc.files import chosen_columns
from dbt_triton.adhoc.words import Columns, files_as_texts, json_columns, rows_of_words, sorted_words
from dbt_triton.cli import _parser
from dbt_triton.ddl import Column
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model.model import typed_columns


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m", "a text"], ["m", "a text"]),
        (["m", "--format", "json", "a", "--limit", "3", "b"], ["m", "a", "b"]),
        (["m", "-5", "-1e-5", "-.5", "-1.5E+3", "-inf"], ["m", "-5", "-1e-5", "-.5", "-1.5E+3", "-inf"]),
        (["m", "- a list"], ["m", "- a list"]),
        (["m", "x=-5", "--", "--format", "-t"], ["m", "x=-5", "--format", "-t"]),
        (["m", "--", "--"], ["m", "--"]),
        (["m", "-"], ["m", "-"]),
        (["m", ""], ["m", ""]),
        (["--endpoint", "http://h", "a", "--model-name", "n", "b"], ["a", "b"]),
        (["--endpoint", "http://h", "--model-name", "n"], []),
    ],
)
def test_words_between_options(arguments: list[str], words: list[str]) -> None:
    """Options may stand anywhere; a negative number is a value; behind `--` everything is one."""
    assert _parser().parse_args(["predict", *arguments]).words == words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a model of the project, or give --endpoint and --model-name"),
        (["m", "--unknown"], "unrecognized arguments: --unknown (a value that begins with a minus goes behind --"),
        (["m", "x", "--timeout", "5s"], "--timeout; an option of the model is written --option timeout=…"),
        (["m", "x", "--auth-tokn=hunter2"], "unrecognized arguments: --auth-tokn (a value"),
        (["m", "x", "--formt", "csv"], "--formt; did you mean --format? (a value"),
        (["m", "x", "--descriptr=a"], "--descriptr; did you mean --descriptor?"),
        (["m", "-10%"], "unrecognized arguments: -10%"),
        (["m", "x", "--limit", "0"], "write a number from 1"),
        (["m", "x", "--format", "xml"], "invalid choice"),
        (["m", "x", "--option", "timeout"], "write key=value"),
        (["m", "x", "--option", "=5"], "write key=value"),
        (["--model-name", "n", "x"], "--model-name needs --endpoint"),
        (["m", "x", "--output", "y INT"], "--input and --output go with --model-name"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is the exit code 2, with the usage and what to write."""
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["predict", *arguments])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("usage: dbt-triton predict")
    assert said in printed


def test_a_word_that_is_an_option() -> None:
    """Who writes an option as a column is told how an option is written."""
    columns = Columns(typed_columns([Column("prompt", "STRING"), Column("image", "BYTES")], "INPUT", []), (), set)
    with pytest.raises(DbtTritonError, match="As an option of the model, it is written --option max-tokens=…"):
        sorted_words(["max_tokens=5"], columns)


def test_a_file_that_would_be_a_text(tmp_path: Path) -> None:
    """The name of a file behind @ is told where the column is one of texts; another text with @ is not."""
    (tmp_path / "a.png").write_bytes(b"x")
    words = [f"@{tmp_path / 'a.png'}", "@somebody", "@" + "x" * 5_000]
    texts = Columns(typed_columns([Column("image", "STRING")], "INPUT", []), (), set)
    assert files_as_texts(sorted_words(words, texts), texts) == ["image"]
    assert not files_as_texts(sorted_words(words[1:], texts), texts)
    of_bytes = Columns(typed_columns([Column("image", "BYTES")], "INPUT", []), (), set)
    assert not files_as_texts(sorted_words(words, of_bytes), of_bytes)


def test_a_secret_in_a_wrong_option_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """A token that is written without its key is not printed."""
    with pytest.raises(SystemExit):
        _parser().parse_args(["predict", "m", "--option", "hunter2-token"])
    assert "hunter2" not in capsys.readouterr().err


def _columns(
    *declared: str, optional: Sequence[str] = (), others: Sequence[str] = (), served: bool = False
) -> tuple[Columns, list[int]]:
    problems: list[str] = []
    inputs = typed_columns([Column(*one.split(" ", 1)) for one in declared], "INPUT", problems)
    assert not problems
    asked: list[int] = []

    def ask() -> set[str]:
        asked.append(1)
        return set(optional)

    return Columns(inputs, others, ask, served=served), asked


def _rows(words: Sequence[str], columns: Columns) -> dict[str, list[str | bytes | None]]:
    return rows_of_words(sorted_words(words, columns), columns)


ONE = ("review STRING",)
TWO = ("a INT", "b STRING")


@pytest.mark.parametrize(
    ("declared", "words", "rows"),
    [
        (ONE, ["fine"], {"review": ["fine"]}),
        (ONE, ["fine", "dull"], {"review": ["fine", "dull"]}),
        (ONE, ["REVIEW=fine"], {"review": ["fine"]}),
        (ONE, ["review = fine", "view"], {"review": ["review = fine", "view"]}),
        (ONE, ["e = mc²", "1+1=2", "?q=x", "=", "a=b"], {"review": ["e = mc²", "1+1=2", "?q=x", "=", "a=b"]}),
        (ONE, ["review=a=b"], {"review": ["a=b"]}),
        (ONE, ["review="], {"review": [""]}),
        (ONE, ["review=NULL"], {"review": [None]}),
        (ONE, ["NULL", "null"], {"review": ["NULL", "null"]}),
        (TWO, ["5", "x"], {"a": ["5"], "b": ["x"]}),
        (TWO, ["b=x", "5", "6"], {"a": ["5", "6"], "b": ["x", "x"]}),
        (TWO, ["a=null", "b=null"], {"a": [None], "b": ["null"]}),
        (TWO, ["-5", "a = b"], {"a": ["-5"], "b": ["a = b"]}),
        (("v FLOAT[3]",), ["1", "2.5", "-3"], {"v": ["[1, 2.5, -3]"]}),
        (("v FLOAT[3]",), ["[1,2,3]", "[4,5,6]", "[7,8,9]"], {"v": ["[1,2,3]", "[4,5,6]", "[7,8,9]"]}),
        (("v STRING[2]",), ["a", 'b"'], {"v": ['["a", "b\\""]']}),
        (("v FLOAT[]",), ["[1, 2]", "[]"], {"v": ["[1, 2]", "[]"]}),
    ],
)
def test_values(declared: tuple[str, ...], words: list[str], rows: dict[str, list[str | None]]) -> None:
    """An equals sign is part of a text unless a column is named; texts of one column are rows, of several one row."""
    columns, asked = _columns(*declared)
    assert _rows(words, columns) == rows
    assert not asked


def test_what_may_be_left_out_is_asked_for_when_it_matters() -> None:
    """A value that the model can do without need not be given; the server is asked only where one is missing."""
    columns, asked = _columns("prompt STRING", "max_tokens INT", optional=["max_tokens"])
    assert _rows(["hello"], columns) == {"prompt": ["hello"]}
    assert _rows(["a", "b", "c"], columns) == {"prompt": ["a", "b", "c"]}
    assert len(asked) == 2
    assert _rows(["hello", "5"], columns) == {"prompt": ["hello"], "max_tokens": ["5"]}
    assert _rows(["hello", "max_tokens=5"], columns) == {"prompt": ["hello"], "max_tokens": ["5"]}
    assert len(asked) == 2
    served, _ = _columns("prompt STRING", "max_tokens INT", optional=["max_tokens"], served=True)
    assert _rows(["hello", "again"], served) == {"prompt": ["hello", "again"]}


@pytest.mark.parametrize(
    ("declared", "words", "said"),
    [
        (ONE, [], "nothing to predict for: INPUT is (review STRING); write review=…, or give a --file"),
        (
            ONE,
            ["reviw=x"],
            "no column reviw; did you mean review? It has review. As a text, it is written review='reviw=…'",
        ),
        (ONE, ["user_review=x"], "did you mean review?"),
        (ONE, ["review=x", "Review=y"], "review is given twice; for several rows"),
        (ONE, ["review=x", "y"], "too many values"),
        (TWO, ["c=x"], "INPUT has no column c. It has a, b"),
        (TWO, ["a=1"], "no value of b: INPUT is (a INT, b STRING); write b=… (NULL where a row has none)"),
        (TWO, ["1"], "1 value for 2 columns (a, b)"),
        (TWO, ["1", "2", "3"], "3 values for 2 columns (a, b): INPUT is (a INT, b STRING); write column=value"),
        (ONE, ["a\udcffb"], "a value is not UTF-8 text"),
        (ONE, ["a\0b"], "a value holds a NUL"),
    ],
)
def test_wrong_values(declared: tuple[str, ...], words: list[str], said: str) -> None:
    """A name that is nearly a column's is no text; what is missing, or too much, is said with what to write."""
    columns, _ = _columns(*declared)
    with pytest.raises(DbtTritonError) as refused:
        _rows(words, columns)
    assert said in str(refused.value)


def test_columns_of_sequences() -> None:
    """The columns by which sequences are told apart and ordered are given by their names, beside INPUT."""
    columns, _ = _columns("x INT", others=["machine", "at"])
    with pytest.raises(
        DbtTritonError, match="no value of at, by which sequences are told apart or ordered: write at=…"
    ):
        _rows(["5", "machine=m1"], columns)
    assert _rows(["5", "machine=m1", "AT=3"], columns) == {"x": ["5"], "machine": ["m1"], "at": ["3"]}


def test_a_file_as_bytes(tmp_path: Path) -> None:
    """A value of BYTES may be a file; of a text, the sign before its name is part of the text."""
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\xff")
    columns, _ = _columns("image BYTES")
    words = [f"@{tmp_path / 'cat.png'}", "text"]
    assert _rows(words, columns) == {"image": [b"\x89PNG\xff", b"text"]}
    texts, _ = _columns(*ONE)
    assert _rows(["@you: hello"], texts) == {"review": ["@you: hello"]}
    with pytest.raises(FileNotFoundError):
        _rows(["image=@nowhere.png"], columns)


@pytest.mark.parametrize(
    ("values", "is_json"),
    [(['["a\\n", "b"]'], True), (["[1, 2]", None], True), (["[a, b]"], False), (["[1, NaN]"], False)],
)
def test_arrays_in_json(values: list[str | None], *, is_json: bool) -> None:
    """An array is read as JSON where all of its column are, with JSON's escapes; else in the warehouse's spelling."""
    columns, _ = _columns("v STRING[]")
    assert json_columns({"v": values}, columns.inputs) == (["v"] if is_json else [])


def test_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names the options, dbt's own and the exit codes."""
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["predict", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for word in ("--file", "--descriptor", "--limit", "--format", "--option", "--vars", "--target", "Exit codes"):
        assert word in printed


def test_stub_without_a_project(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the command is needed: with provider=stub not even a server."""
    from dbt_triton.cli import main  # noqa: PLC0415 - the command as it is called

    options = [
        "--option",
        "provider=stub",
        "--option",
        'stub.mood=["glad"]',
        "--input",
        "text STRING",
        "--output",
        "mood STRING",
    ]
    assert (
        main(["predict", "--endpoint", "http://127.0.0.1:9", "--model-name", "m", *options, "x", "--format", "json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out) == [{"text": "x", "mood": "glad"}]


def test_thousands_of_columns() -> None:
    """A server may have thousands of inputs, and a file of columns: an error names the first, and counts the others."""
    columns, _ = _columns(*[f"sensor_{number} FLOAT" for number in range(3_000)])
    names = [f"x{number}" for number in range(3_000)]
    failing: list[Callable[[], object]] = [
        lambda: rows_of_words(sorted_words(["1.5"], columns), columns),
        lambda: rows_of_words(sorted_words([], columns), columns),
        lambda: sorted_words(["sensor=1.5"], columns),
        lambda: chosen_columns(names, columns, []),
        lambda: chosen_columns(names, columns, ["y"]),
    ]
    for fails in failing:
        with pytest.raises(DbtTritonError, match="and 2,980 more") as caught:
            fails()
        assert len(str(caught.value)) < 5_000
