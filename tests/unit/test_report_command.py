"""The command `dbt-triton report`: what it takes, and where the page goes."""

from __future__ import annotations

import os
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.made_runs import log_of, run

from dbt_triton.cli import main
from dbt_triton.report import command
from dbt_triton.report.read import is_called


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What the run log is asked for, in an empty folder; it has one run."""
    found: list[Any] = []

    def read(arguments: list[str], since: datetime, node: str | None) -> Any:
        found.append((arguments, since, node))
        return log_of([run()])

    monkeypatch.setattr(command, "read_run_log", read)
    monkeypatch.setattr("dbt_triton.report.page.can_draw", lambda: False)
    monkeypatch.chdir(tmp_path)
    for name in ("DBT_TARGET_PATH", "DBT_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T06:30", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),
        ("2026-11-01T06:30+02:00", datetime(2026, 11, 1, 4, 30, tzinfo=UTC)),
        ("2026-11-01 06:30:15Z", datetime(2026, 11, 1, 6, 30, 15, tzinfo=UTC)),
    ],
)
def test_since(asked: list[Any], text: str, since: datetime) -> None:
    """`--since` is a day or a moment, UTC unless it says otherwise, whatever the time zone of the machine."""
    assert main(["report", "--since", text, "--node", "m", "--target", "prod"]) == 0
    assert asked == [(["--target", "prod"], since, "m")]


@pytest.mark.parametrize(("arguments", "days"), [([], 30), (["--days", "7"], 7)])
def test_days(asked: list[Any], arguments: list[str], days: int) -> None:
    """`--days` counts back from now; a month where nothing is said."""
    assert main(["report", *arguments]) == 0
    ((_, since, _),) = asked
    assert abs((datetime.now(UTC) - since).total_seconds() - 86_400 * days) < 60


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "soon"],
        ["--days", "0"],
        ["--days", "-1"],
        ["--days", "many"],
        ["--days", "2", "--since", "2026-11-01"],
    ],
)
def test_wrong_usage(asked: list[Any], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A day that is none is answered with the usage and dbt's own exit code for it."""
    with pytest.raises(SystemExit, match="2"):
        main(["report", *arguments])
    assert capsys.readouterr().err.startswith("usage: dbt-triton report")
    assert asked == []


def test_what_cannot_be(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A time that has not come, and a folder that is not there, are said before anything is read."""
    assert main(["report", "--since", "2999-01-01"]) == 1
    assert "has not come yet" in capsys.readouterr().err
    assert main(["report", "--output", "nowhere/page.html"]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert asked == []


def test_where_it_goes(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The page goes into dbt's target folder, as the project or the environment has it, or where `--output` says."""
    assert main(["report"]) == 0
    assert Path("target/ml_predict_report.html").is_file()
    Path("shop").mkdir()
    assert main(["report", "--project-dir", "shop"]) == 0
    assert Path("shop/target/ml_predict_report.html").is_file()
    monkeypatch.setenv("DBT_TARGET_PATH", "made")
    assert main(["report"]) == 0
    assert Path("made/ml_predict_report.html").is_file()
    before = sorted(Path().rglob("*"))
    assert main(["report", "--output", "page.html"]) == 0
    assert sorted(Path().rglob("*")) == sorted([*before, Path("page.html")])
    assert len(asked) == 4


@pytest.mark.parametrize("opens", [True, False, None])
def test_open(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, opens: bool | None
) -> None:
    """`--open` opens the page by the browser of the system; where there is none, it says the page's address."""
    opened = []

    def browse(url: str) -> bool:
        opened.append(url)
        if opens is None:
            raise webbrowser.Error("no browser")
        return opens

    monkeypatch.setattr(webbrowser, "open", browse)
    assert main(["report", "--output", "a b.html", "--open"]) == 0
    address = Path("a b.html").absolute().as_uri()
    assert opened == [address]
    assert " " not in address.removeprefix(Path.cwd().as_uri())
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["All well: the last run made its prediction", "wrote a b.html"]
    assert (len(said) == 2) == bool(opens)
    assert opens or address in said[-1]
    assert len(asked) == 1
    assert os.path.exists("a b.html")  # noqa: PTH110 - the name as it was said


@pytest.mark.parametrize(
    ("node", "wanted", "found"),
    [
        ("model.shop.m", "m", True),
        ("model.shop.M", "m", True),
        ("model.shop.m", "model.shop.m", True),
        ("model.shop.m.v2", "m.v2", True),
        ("model.shop.m.v2", "m", True),
        ("model.shop.my", "m", False),
        ("model.shop.a_b", "a%b", False),
        ("model.shop.axb", "a_b", False),
        ("", "m", False),
    ],
)
def test_names(node: str, wanted: str, *, found: bool) -> None:
    """`--node` is a name, with or without its version, or a unique_id; it is no pattern."""
    assert is_called(node, wanted) == found
