"""`dbt-triton report`: what real builds have written is on the page, and the command's options do what they say."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import duckdb
import pytest
from support.dbt import DbtProject
from support.upper_server import UpperServer, upper_server

pytestmark = [pytest.mark.slow, pytest.mark.duckdb_only("tests/spark/test_report.py has it on Spark")]

REVIEWS = "select i as id, {} as review from range(40) t(i)"
CALL = "ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('classifier') }}, DESCRIPTOR(review))"
PAGE = "target/ml_predict_report.html"


def of_two(texts: list[str]) -> list[str] | tuple[int, str]:
    """Answer with one of two classes; refuse what is bad."""
    if any("bad" in text for text in texts):
        return 400, "no such review"
    return ["<b>good</b>" if "fine" in text else "poor" for text in texts]


@pytest.fixture(scope="module")
def built(module_project: Callable[..., DbtProject]) -> Iterator[tuple[DbtProject, UpperServer]]:
    """A project that was built twice: with other shares of its classes, and then with rows that are refused."""
    with upper_server() as server:
        server.answer = of_two
        project = module_project()
        options = {"cache": "persistent", "on_error": "null", "binary_data": "false"}
        project.inference_model("classifier", server.url, "upper", **options)
        project.model("predicted", "{{ config(materialized='ml_predict') }} select * from " + CALL)
        for text in (
            "case when i % 4 = 0 then 'fine ' else 'dull ' end",
            "case when i < 2 then 'bad ' else 'fine ' end",
        ):
            project.model("reviews", "{{ config(materialized='table') }} " + REVIEWS.format(text + " || i"))
            project.build()
        yield project, server


def text_of(project: DbtProject, page: str = PAGE) -> str:
    """Return what stands on the page, without its elements."""
    html = (project.root / page).read_text(encoding="utf-8")
    text = re.sub(r"<style>.*?</style>|<svg .*?</svg>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_builds_are_on_the_page(built: tuple[DbtProject, UpperServer]) -> None:
    """The page says what failed in the last build, with a query for it, and that classes moved; and it is opened."""
    project, _ = built
    browser = project.root / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nopen('opened.txt', 'w').write(sys.argv[1])\n", encoding="utf-8"
    )
    browser.chmod(0o755)
    project.environment["BROWSER"] = str(browser)
    done = project.dbt_triton("report", "--open")
    assert (done.returncode, done.stderr) == (0, "")
    file = project.root / PAGE
    assert done.stdout.splitlines() == ["The last run was built, but look at predicted", f"wrote {file}"]
    assert (project.root / "opened.txt").read_text() == file.as_uri()
    text = text_of(project)
    assert "Project shop , target dev" in text
    assert "2 rows of 40 failed" in text
    queries = set(re.findall(r"<pre[^>]*><code>(.*?)</code>", file.read_text(encoding="utf-8"), re.DOTALL))
    assert len(queries) == 1
    assert len(project.query(unescape(queries.pop()))) == 2
    assert "&lt;B&gt;GOOD&lt;/B&gt;".lower() in text.lower()
    assert re.search(r"PSI [\d.]+ against the run of \d{4}-\d\d-\d\d \d\d:\d\d UTC: (changed|too few rows)", text)
    assert "Predictions 2 in 2 dbt runs; all succeeded" in text


def test_choices(built: tuple[DbtProject, UpperServer]) -> None:
    """`--node` takes a name in any case, `--since` leaves out what was before, `--output` is where the page goes."""
    project, _ = built
    (last,) = project.query("select max(started_at) from ml_predict_runs")[0]
    since = f"{last:%Y-%m-%dT%H:%M:%S}+00:00"
    done = project.dbt_triton("report", "--node", "PREDICTED", "--since", since, "--output", "one.html")
    assert done.stdout.splitlines()[-1] == "wrote one.html", done.stderr
    text = text_of(project, "one.html")
    assert "only PREDICTED" in text
    assert "Predictions 1 in 1 dbt run;" in text


def test_no_table_yet(new_project: Callable[..., DbtProject]) -> None:
    """Before the first build there is a page, too, which says how the table comes; and `report` makes none."""
    project = new_project()
    done = project.dbt_triton("report")
    assert done.stdout.splitlines() == ["No run yet", f"wrote {project.root / PAGE}"]
    assert "The first dbt build of a model with ML_PREDICT makes it" in text_of(project)
    assert project.relations() == set()


def test_old_table(built: tuple[DbtProject, UpperServer], tmp_path: Path) -> None:
    """A table of an older version, which lacks columns, and one of another name, are read; more columns do no harm."""
    project, _ = built
    with duckdb.connect(str(project.database)) as connection:
        connection.execute("create schema if not exists old")
        connection.execute(
            'create or replace table old."all runs" as '
            'select run_id, node, "call", outcome, started_at, rows, 1 as "Something New" from ml_predict_runs'
        )
    said = "{dbt_triton_runs_schema: old, dbt_triton_runs_name: all runs}"
    done = project.dbt_triton("report", "--vars", said, "--output", str(tmp_path / "old.html"))
    assert done.stdout.startswith("All well: the last run made its prediction"), done.stderr


def test_while_a_build_writes(built: tuple[DbtProject, UpperServer]) -> None:
    """A file that another process writes to cannot be read by DuckDB; that is said, in place of a traceback."""
    project, _ = built
    with duckdb.connect(str(project.database)):
        done = project.dbt_triton("report")
    assert (done.returncode, done.stdout) == (1, "")
    assert "A DuckDB file can be read while no other process writes to it" in done.stderr
    assert "Traceback" not in done.stderr
