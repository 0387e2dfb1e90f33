"""`dbt-triton predict --file`: what is read of a file, and which of its columns are sent. A stub predicts."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_triton.adhoc.files import chosen_columns, kind_of_file
from dbt_triton.adhoc.words import Columns
from dbt_triton.cli import main
from dbt_triton.ddl import Column
from dbt_triton.errors import DbtTritonError
from dbt_triton.inference_model.model import typed_columns

STUB = ["--endpoint", "http://127.0.0.1:9", "--model-name", "m", "--option", "provider=stub"]
Predict = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Predict:
    """Predict for the text of a file, or for a file, with INPUT as it is declared; the output is left out."""

    def run(name: str, content: str | bytes | None, declared: str = "t STRING", *more: str) -> list[dict[str, Any]]:
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        options = [*STUB, "--input", declared, "--output", "o INT", "--format", "json"]
        code = main(["predict", *options, "--file", str(file), *more])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return [{key: value for key, value in row.items() if key != "o"} for row in json.loads(printed.out)]

    return run


def _fails(capsys: pytest.CaptureFixture[str], file: Path, declared: str = "t STRING", *more: str) -> str:
    assert main(["predict", *STUB, "--input", declared, "--output", "o INT", "--file", str(file), *more]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dbt-triton: ")
    return said


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('id,t\n007,"a, ""q"""\n2,""\n3,\n', [("007", 'a, "q"'), ("2", ""), ("3", None)]),
        ('id,t\n1,"two\nlines"\n', [("1", "two\nlines")]),
        ("\ufeffid;t\r\n1;a, b\r\n", [("1", "a, b")]),
        ("id\tt\n1\ta;b\n", [("1", "a;b")]),
        ('"id","t"\n1,# no comment\n', [("1", "# no comment")]),
        ("id,T\n1,2024-01-01\n2,ü 日本\n", [("1", "2024-01-01"), ("2", "ü 日本")]),
        ("id,t\n1,1e400\n2,NULL\n", [("1", "1e400"), ("2", "NULL")]),
        ("id,t\n", []),
        ("id,t,T,\n1,a,b,c\n", [("1", "a", "b", "c")]),
        ("id,t\r1,a\r2,b\r", [("1", "a"), ("2", "b")]),
        ('"number\nof it, or id",t\n1,a\n', [("1", "a")]),
        ('size 5",t\r\n1,a\r\n', [("1", "a")]),
        ("id,t\n1,'x'\n2,it's \\n\n", [("1", "'x'"), ("2", "it's \\n")]),
    ],
)
def test_csv(predict: Predict, content: str, rows: list[tuple[str, str | None]]) -> None:
    """A CSV's first line names the columns; every value is the text that stands there, and nothing is NULL."""
    assert [tuple(row.values()) for row in predict("x.csv", content)] == rows


def test_a_name_of_several_lines(predict: Predict, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A column is found by a name that has a line end in it; DuckDB loses all rows if it is no end of a row."""
    content = '"the\ntext";n\nx;5\n'
    assert predict("x.csv", content, "t STRING", "--descriptor", "the\ntext") == [{"the\ntext": "x", "n": "5"}]
    (tmp_path / "x.csv").write_bytes(b'"the\ntext";n\r\nx;5\r\n')
    assert "the name of a column has a line end in it, of another kind" in _fails(capsys, tmp_path / "x.csv")


def test_csv_of_one_column(predict: Predict) -> None:
    """A file of one column needs no quotes, and no name for a model of one."""
    assert predict("x.csv", "review\nFine, really; yes\nb\n") == [{"review": "Fine, really; yes"}, {"review": "b"}]


def test_names_of_files(predict: Predict, tmp_path: Path) -> None:
    """A file may be zipped, and its name may have what is a pattern elsewhere; what it is can be said."""
    zipped = gzip.compress(b"t\nx\n")
    assert predict("a [1] *'.csv.gz", zipped) == [{"t": "x"}]
    assert predict("x.jsonl.gz", gzip.compress(b'{"t": "x"}')) == [{"t": "x"}]
    assert predict("x.txt.GZ", zipped) == [{"t": "t"}, {"t": "x"}]
    assert predict("data", "t\nx\n", "t STRING", "--file-type", "csv") == [{"t": "x"}]
    with pytest.raises(DbtTritonError, match=r"does not end in one of \.csv"):
        kind_of_file(str(tmp_path / "data"), None)


def test_json(predict: Predict) -> None:
    """In JSON, a text that looks like a date stays as it is, numbers are numbers, and null is NULL."""
    rows = '[{"id": 1, "t": "2024-1-1", "x": {"k": [1]}}, {"t": null}, {"id": "a", "t": "x\\ny", "later": true}]'
    assert predict("x.json", rows) == [
        {"id": 1, "t": "2024-1-1", "x": {"k": [1]}, "later": None},
        {"id": None, "t": None, "x": None, "later": None},
        {"id": "a", "t": "x\ny", "x": None, "later": True},
    ]
    assert predict("x.jsonl", '{"t": 1.5}\n{"t": "1.50"}\n') == [{"t": "1.5"}, {"t": "1.50"}]


def test_arrays_and_json_values(predict: Predict) -> None:
    """Arrays and JSON go as they are written, from JSON and from CSV."""
    declared = "v FLOAT[], s STRING[], j JSON"
    row = {"v": [1, 2.5], "s": ["a\n", 'b"'], "j": {"k": None}}
    assert predict("x.json", json.dumps([row]), declared) == [row]
    assert predict("x.csv", 'v,s,j\n"[1, 2.5]","[""a"", ""b""]","{""k"": null}"\n', declared) == [
        {"v": [1, 2.5], "s": ["a", "b"], "j": {"k": None}}
    ]


def test_parquet(predict: Predict, tmp_path: Path) -> None:
    """Parquet keeps its types, and what is no column of INPUT stays in the output."""
    file = tmp_path / "x.parquet"
    row = "1 as t, 1.50::decimal(5, 2) as d, date '2026-01-02' as day, [0.1::float] as v, '\\xAA'::blob as b"
    row += ", 'nan'::double as n"
    duckdb.sql(f"copy (select {row}) to '{file}'")
    assert predict("x.parquet", None) == [{"t": 1, "d": 1.5, "day": "2026-01-02", "v": [0.1], "b": "qg==", "n": "NaN"}]


def test_lines_of_text(predict: Predict) -> None:
    """One text a line, whatever its end; an empty line is an empty text."""
    assert predict("x.txt", "\ufeffa = b\r\n\n-\nlast") == [{"t": text} for text in ("a = b", "", "-", "last")]


def test_limit(predict: Predict) -> None:
    """Only the first rows are read and predicted, in the order of the file, of every kind."""
    numbers = range(3_000)
    assert predict("x.csv", "t\n" + "".join(f"{n}\n" for n in numbers), "t STRING", "--limit", "2") == [
        {"t": "0"},
        {"t": "1"},
    ]
    assert predict("x.txt", "a\nb\nc\n", "t STRING", "--limit", "1") == [{"t": "a"}]
    every = predict("x.jsonl", "".join(f'{{"t": {n}}}\n' for n in numbers))
    assert [row["t"] for row in every] == [str(n) for n in numbers]


def test_descriptor(predict: Predict) -> None:
    """`--descriptor` names the columns that INPUT means, in its order; a column is found whatever the case."""
    content = "review,stars,T\nx,5,y\n"
    assert predict("x.csv", content) == [{"review": "x", "stars": "5", "T": "y"}]
    for said in (["--descriptor", "REVIEW,Stars"], ["--descriptor", "review", "--descriptor", "stars"]):
        assert predict("x.csv", content, "t STRING, n INT", *said) == [{"review": "x", "stars": 5, "T": "y"}]


def _columns(*declared: str, optional: tuple[str, ...] = (), served: bool = False) -> Columns:
    inputs = typed_columns([Column(*one.split(" ", 1)) for one in declared], "INPUT", [])
    return Columns(inputs, (), lambda: set(optional), served=served)


def test_optional_columns() -> None:
    """A column that a row may lack need not be in the file: it is NULL, or, where the server says INPUT, not sent."""
    names = ["prompt", "id"]
    declared = chosen_columns(names, _columns("prompt STRING", "n INT", optional=("n",)), [])
    assert (declared.descriptor, declared.lacking) == (["prompt", "n"], ["n"])
    served = chosen_columns(names, _columns("prompt STRING", "n INT", optional=("n",), served=True), [])
    assert (served.descriptor, served.lacking) == (["prompt"], [])


@pytest.mark.parametrize(
    ("content", "declared", "more", "said"),
    [
        ("id,revew\n1,x\n", "review STRING", [], "no column review, of INPUT; did you mean revew? It has id, revew."),
        ("id,user_review\n1,x\n", "review STRING", [], "--descriptor user_review"),
        ("a,b\n1,2\n", "a INT, c INT", [], "no column c, of INPUT. It has a, b. Name the columns"),
        ("a,b\n1,2\n", "a INT", ["--descriptor", "c"], "--descriptor: the file has no column c. It has a, b"),
        ("a,b\n1,2\n", "a INT", ["--descriptor", "a,b"], "DESCRIPTOR has 2 columns, but INPUT of m has 1 (a)"),
        ("a,b\n1,2\n3\n", "a INT", [], "cannot be read: Invalid Input Error: CSV Error on Line: 3; Original Line: 3;"),
        ("", "a INT", [], "is empty"),
        ("\n", "a INT, b INT", [], "is empty"),
        ("\ufeff", "a INT", [], "is empty"),
        (",\n", "a INT, b INT", [], "no columns a, b, of INPUT. It has column0, column1"),
        ("a\n1\n", "a INT", ["word"], "there are a --file and 1 value; give one of them"),
        ("a\n1\n", "a INT", ["--option", "timeot=5"], "unknown option timeot; did you mean timeout?"),
    ],
)  # fmt: skip
def test_wrong_files(  # noqa: PLR0913, PLR0917 - a case
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, declared: str, more: list[str], said: str
) -> None:
    """What is wrong with a file, or with what is said of it, is one sentence with what to write."""
    (tmp_path / "x.csv").write_text(content)
    printed = _fails(capsys, tmp_path / "x.csv", declared, *more)
    assert said in printed
    assert "line 1" not in printed
    assert "Traceback" not in printed


def test_other_wrong_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, or is something else than its name says, is named."""
    assert "nowhere.csv: No such file" in _fails(capsys, tmp_path / "nowhere.csv")
    (tmp_path / "x.parquet").write_bytes(b"no parquet at all")
    assert "x.parquet cannot be read as parquet" in _fails(capsys, tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text("[1, 2]")
    assert "x.json has no rows with columns" in _fails(capsys, tmp_path / "x.json")
    (tmp_path / "x.json").write_text('[{"t": 1')
    assert "x.json cannot be read as json" in _fails(capsys, tmp_path / "x.json")
    for name, content in (("x.csv", "t\nx\n"), ("x.jsonl", '{"t": "x"}')):
        (tmp_path / name).write_bytes(content.encode("utf-16"))
        assert f"{name} is UTF-16; save it as UTF-8" in _fails(capsys, tmp_path / name)
    (tmp_path / "x.txt").write_bytes(b"fine\n\xff\n")
    assert f"line 2 of {tmp_path / 'x.txt'} is not UTF-8 text" in _fails(capsys, tmp_path / "x.txt")
    assert "one text a line is for one column, and INPUT has a, b; give the others as column=value" in _fails(
        capsys, tmp_path / "x.txt", "a INT, b INT"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        *((name, "", "is empty") for name in ("x.csv", "x.tsv", "x.json", "x.jsonl", "x.parquet")),
        *((name, " \n\n", "is empty") for name in ("x.csv", "x.json")),
        ("x.json", "[]", "has no rows: it is an empty array"),
        ("x.json", "\ufeff[ ]\n", "has no rows: it is an empty array"),
        ("x.json", "{}", "has no columns: its objects are empty; write an array of objects, or an object a line"),
        ("x.jsonl", "{}\n{}\n", "has no columns"),
        ("x.json", "[{}, {}]", "has no columns"),
        *(("x.json", text, "has no rows with columns") for text in ("[1]", "null", '"a text"', "[null]", "[[]]", "7")),
        ("x.json", "a text", "is no JSON: write an array of objects"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_files_without_rows(  # noqa: PLR0913 - a case
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, said: str, *, zipped: bool
) -> None:
    """A file that has no rows with columns is named, in words about the file and not about how it is read."""
    if zipped and name.endswith("parquet"):
        return
    file = tmp_path / (name + ".gz" * zipped)
    file.write_bytes(gzip.compress(content.encode()) if zipped else content.encode())
    printed = _fails(capsys, file)
    assert f"{file} {said}" in printed
    assert not any(word in printed for word in ("Binder", "Error", "records=", "json_read"))


def test_a_stream_that_can_be_read_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe in the place of a file, as `<(zcat x.gz)` of a shell is one, is read as a file is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("t\nx\n"), daemon=True)
    writer.start()
    options = ["--input", "t STRING", "--output", "o INT", "--format", "csv"]
    assert main(["predict", *STUB, *options, "--file", str(pipe), "--file-type", "csv"]) == 0
    writer.join(10)
    assert capsys.readouterr().out.splitlines()[1].startswith("x,")


def test_thousands_of_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with a model of thousands of columns, or with the rows for it, is said on a few lines."""
    declared = ", ".join(f"feature_{number} FLOAT" for number in range(1_000))
    command = ["predict", *STUB, "--input", declared, "--output", "o INT"]
    (tmp_path / "x.csv").write_text(",".join(f"column_{number}" for number in range(1_000)) + "\n")
    file = ["--file", str(tmp_path / "x.csv")]
    wrong: list[list[str]] = [[], file, ["fature_7=1"], ["1", "2"], ["feature_7=1"]]
    wrong += [[*file, "--descriptor", name] for name in ("colum_7", "column_7")]
    for more in wrong:
        assert main([*command, *more]) == 1
        printed = capsys.readouterr().err
        assert len(printed) < 2_500, more
        assert "more" in printed, more
    assert "did you mean feature_7?" in _said_by(capsys, [*command, "fature_7=1"])


def _said_by(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    assert main(command) == 1
    return capsys.readouterr().err


def _stdin(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`-` is one text a line of standard input; `--file -` is a file of the kind that is said."""
    command = ["predict", *STUB, "--input", "t STRING", "--output", "o INT", "--format", "jsonl"]
    for more, content in ((["-"], "x\ny\n"), (["--file", "-", "--file-type", "csv"], "t\nx\ny\n")):
        _stdin(monkeypatch, content)
        assert main([*command, *more]) == 0
        assert [json.loads(line)["t"] for line in capsys.readouterr().out.splitlines()] == ["x", "y"]
    _stdin(monkeypatch, "x\n")
    assert main([*command, "-", "y"]) == 1
    assert "give no other text beside it" in capsys.readouterr().err
    _stdin(monkeypatch, "x\ny\n")
    two = ["--input", "t STRING, n INT", "--output", "o INT", "--format", "csv", "--limit", "1"]
    assert main(["predict", *STUB, *two, "-", "n=5"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("x,5,")
    monkeypatch.setattr(sys, "stdin", None)
    assert main([*command, "-"]) == 1
    assert "standard input is closed" in capsys.readouterr().err


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written into the folder where the command is called, nor left in the one for temporary files."""
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "x.csv").write_text("t\nx\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert main(["predict", *STUB, "--input", "t STRING", "--output", "o INT", "--file", "../x.csv"]) == 0
    assert capsys.readouterr().err == ""
    assert not [*(tmp_path / "here").iterdir(), *(tmp_path / "temporary").iterdir()]


def test_a_bug_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody has thought of ends with the exit code 1 and a sentence; a traceback may hold a secret."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("something")

    monkeypatch.setattr("dbt_triton.adhoc.command.make_plan", fail)
    (tmp_path / "x.csv").write_text("t\nx\n")
    assert "unexpected KeyError: 'something'. This is a bug" in _fails(capsys, tmp_path / "x.csv")
