"""The page of `dbt-triton report`: what it says of any run log, and that nothing in one can do harm."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.made_runs import HOSTILE, NOW, RIGHT_TO_LEFT, classes, log_of, nasty, nightly, numbers, run

from dbt_triton.report import svg
from dbt_triton.report.page import Page, page
from dbt_triton.run_log.columns import COLUMNS

MEGABYTE = 1_000_000
#: Elements of HTML that have no end.
VOID = {"meta", "link", "img", "br"}
BLOCKS = {"p", "td", "th", "dt", "dd", "h1", "h2", "h3", "div", "li", "b"}


class Parsed(HTMLParser):
    """What a browser would read: elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that begins; what stands in two of them are two words."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in BLOCKS:
            self.texts.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that is empty."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Note an element that ends, which is the one that began last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._open and self._open[-1] not in {"style", "title", "desc"}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is read, in one line."""
        return " ".join("".join(self.texts).split())


def made(rows: list[dict[str, Any]], **values: Any) -> Page:
    """Return the page of these rows."""
    return page(log_of(rows, **values), NOW)


def read(rows: list[dict[str, Any]], **values: Any) -> str:
    """Return what stands on the page of these rows."""
    return Parsed(made(rows, **values).html).text


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are left out, for the sake of time, of tests that are not about them."""
    if request.node.get_closest_marker("usefixtures") is None:
        monkeypatch.setattr("dbt_triton.report.page.can_draw", lambda: False)


@pytest.fixture
def drawn() -> None:
    """A test that uses this has charts on its pages."""


@pytest.fixture(scope="module")
def everything() -> str:
    """The page of whatever could make it stumble, with its charts."""
    return made(nasty()).html


def test_foreign_texts_stay_texts(everything: str) -> None:
    """Names, classes, errors and queries are shown as they are: no element, attribute or script comes of them."""
    parsed = Parsed(everything)
    assert {tag for tag, _ in parsed.elements} <= {
        *("html", "head", "meta", "link", "title", "style", "body", "main", "header", "section", "article", "footer"),
        *("h1", "h2", "h3", "p", "b", "i", "a", "small", "span", "bdi", "code", "pre", "div", "dl", "dt", "dd"),
        *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary"),
        *("svg", "g", "path", "line", "text", "desc", "rect"),
    }
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert set(attributes) & {"src", "srcset", "xlink:href", "style", "action", "formaction"} == set(), tag
        assert tag == "link" or (attributes.get("href") or "#").startswith("#")
    assert HOSTILE in parsed.text
    assert "\u202e" not in everything
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]", everything)
    assert "49" not in parsed.text.split()


def test_names_keep_their_direction(everything: str) -> None:
    """A name that is written right to left does not turn what stands around it."""
    shown = RIGHT_TO_LEFT.replace("\u202e", "\\u202e")
    assert f"<bdi>{shown}</bdi>" in everything
    assert everything.count("<bdi>") == everything.count("</bdi>")


def test_policy(everything: str) -> None:
    """The page forbids scripts, and everything from elsewhere; its own style is allowed by its hash."""
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', everything)
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy
    (style,) = re.findall(r"<style>(.*?)</style>", everything, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"sha256-{digest}&#39;" in policy
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?:", re.sub(r"<(bdi|code|pre)[^>]*>.*?</\1>", "", everything, flags=re.DOTALL))


def test_identifiers_are_unique(everything: str) -> None:
    """Each element that another one names is there once, so that titles of charts are those of these charts."""
    found = [attributes["id"] for _, attributes in Parsed(everything).elements if "id" in attributes]
    assert len(found) == len(set(found))
    named = [a["aria-labelledby"] or "" for _, a in Parsed(everything).elements if "aria-labelledby" in a]
    assert {name for names in named for name in names.split()} <= set(found)


def test_charts_have_names_and_figures(everything: str) -> None:
    """A chart has a title and a description for who does not see it, and its figures stand in a table."""
    drawings = re.findall(r"<svg .*?</svg>", everything, re.DOTALL)
    assert len(drawings) > 20
    for drawing in drawings:
        assert re.match(r'<svg viewBox="[\d .]+" role="img" aria-labelledby="(\w+)-t \1-d"><title', drawing)
        assert re.search(r"<desc [^>]*>\d+ places from \d{4}-", drawing)
    text = Parsed(everything).text
    assert text.count("All figures as a table") == len(re.findall(r'<section class="model"', everything))


def test_drawings_use_the_style_sheet(everything: str) -> None:
    """Every colour of a drawing is a variable of the style sheet, which is set for light, dark and print."""
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', everything))
    assert {colour for colour in colours if not colour.startswith("var(--")} <= {"none", "transparent"}
    used = {name for colour in colours for name in re.findall(r"var\(--(\w+)\)", colour)}
    used |= set(re.findall(r"var\(--(\w+)\)", everything))
    for scheme in re.findall(r":root \{(.*?)\}", everything, re.DOTALL):
        assert used <= set(re.findall(r"--(\w+):", scheme))


# What the first line says.


def two(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a run of two models in one invocation."""
    both = {"invocation_id": "last"}
    return [run(node="model.shop.first", **both, **first), run(node="model.shop.second", **both, **second)]


FAILED = {"outcome": "failed", "error": "no answer of http://triton:8000", "ended_at": None}
ROWS = {"failed_rows": 7, "failed_by_reason": '{"timeout": 5, "refused": 2}', "failed_query": "select 1 as failed"}


@pytest.mark.parametrize(
    ("rows", "level", "line"),
    [
        (two({}, {}), "WELL", "All well: the last run made all its 2 predictions"),
        ([run()], "WELL", "All well: the last run made its prediction"),
        (two({}, FAILED), "BAD", "second failed in the last run"),
        (two(FAILED, FAILED), "BAD", "first and second failed in the last run"),
        (two(FAILED, {"outcome": "killed"}), "BAD", "first and second did not end well in the last run"),
        (two({}, {"outcome": "killed", "ended_at": None}), "BAD", "second was killed in the last run"),
        (two({}, {"outcome": "interrupted"}), "BAD", "second was interrupted in the last run"),
        (two({}, {"outcome": "running", "ended_at": None}), "RUNNING", "second is running"),
        (two({}, ROWS), "LOOK", "The last run was built, but look at second"),
        (two({}, {"outcome": None}), "LOOK", "The last run was built, but look at second"),
        (
            [run(node="model.shop.old", start=NOW - timedelta(days=3), **FAILED), run()],
            "BAD",
            "The last run went well; old failed in an earlier one",
        ),
        (
            [run(node="model.shop.old", start=NOW - timedelta(days=3), **ROWS), run()],
            "LOOK",
            "The last run went well; look at the last one of old",
        ),
        # What has been mended since is not news.
        ([run(start=NOW - timedelta(days=3), **FAILED), run()], "WELL", "All well: the last run made its prediction"),
    ],
)
def test_first_line(rows: list[dict[str, Any]], level: str, line: str) -> None:
    """Who is on call reads in one line whether all is well, or which model needs somebody."""
    found = made(rows)
    assert (found.headline.level.name, found.headline.text) == (level, line)
    assert re.search(r"<h1[^>]*><bdi>([^<]*)</bdi></h1>", found.html)[1] == line  # type: ignore[index]


def test_what_to_do() -> None:
    """Below stands what happened, what to do, and the query for the failed rows, word by word."""
    text = read(two({}, FAILED | ROWS))
    assert "failed second 2026-11-26 02:30 UTC no answer of http://triton:8000" in text
    assert "Look at the failed rows by the query below." in text
    assert "dbt build --select second sends only the rest." in text
    assert "select 1 as failed" in text
    assert "`dbt-triton check`".strip("`") in read(two({}, FAILED))
    text = read(two({}, ROWS))
    assert (
        "7 rows of 1,000 failed (5 timeout and 2 refused), and the table was built without their predictions." in text
    )
    assert "goes on." in read(two({}, {"outcome": "killed"}))


def test_long_running() -> None:
    """A run that began yesterday and has not ended is worth a look, since it may never end."""
    rows = [run(start=NOW - timedelta(hours=30), outcome="running", ended_at=None)]
    assert "It has begun, and has not said how it ended." in read(rows)
    assert made(rows).headline.level.name == "LOOK"


# Drift.


def test_drift() -> None:
    """A column whose classes changed is said at the top, with its index, and so are the shares of both runs."""
    before = json.dumps({"output": classes(good=600, bad=400)})
    after = json.dumps({"output": classes(good=300, bad=600, new=100)})
    text = read([run(start=NOW - timedelta(days=1), predicted=before), run(predicted=after)])
    assert "What it predicts has changed since the run before: output (PSI 0.9" in text
    assert "bad 600 60.0 % 40.0 %" in text
    assert "new 100 10.0 % 0 %" in text
    same = read([run(start=NOW - timedelta(days=1), predicted=before), run(predicted=before)])
    assert "PSI 0.000 against the run of 2026-11-25 07:30 UTC: stable." in same


def test_drift_of_numbers() -> None:
    """Numbers are compared by their quantiles."""
    profiles = [json.dumps({"score": numbers([shift + n for n in range(21)])}) for shift in (0, 12)]
    text = read([run(start=NOW - timedelta(days=1), predicted=profiles[0]), run(predicted=profiles[1])])
    assert "has changed since the run before: score" in text
    assert "median 22 10" in text


def test_drift_skips_runs_that_predicted_nothing() -> None:
    """A failed run in between, or one of no rows, is not what the next one is compared with."""
    rows = nightly(4)
    rows[1] |= {"outcome": "failed", "predicted": None}
    rows[2] |= {
        "predicted": json.dumps({"output": {"kind": "classes", "rows": 0, "nulls": 0, "counts": {}, "other": 0}})
    }
    assert "PSI 0.000 against the run of 2026-11-23 02:30 UTC" in read(rows)


def test_few_rows_are_said() -> None:
    """Of few rows the page says that the index is a matter of chance."""
    profiles = [json.dumps({"output": classes(a=6, b=2, c=2)}), json.dumps({"output": classes(a=2, b=6, c=2)})]
    rows = [run(start=NOW - timedelta(days=1), predicted=profiles[0]), run(predicted=profiles[1])]
    assert "too few rows" in read(rows)
    assert made(rows).headline.level.name == "WELL"


# Whatever is there, or is not.


def test_no_table() -> None:
    """Without a table, or a run, the page says how one comes."""
    text = read([], exists=False)
    assert "No run yet" in text
    assert "The first dbt build of a model with ML_PREDICT makes it." in text
    assert "dbt_triton_runs is false" in read([], is_written=False)
    assert "--days or --since looks further back" in read([])
    assert "and of this name" in read([], node="nothing")


@pytest.mark.usefixtures("drawn")
def test_one_run() -> None:
    """One run has a page of its own, with nothing to compare it with."""
    text = read([run()])
    assert "There is no run before with the like of it to compare with." in text
    assert "It takes two runs with predictions." in text


def test_old_tables() -> None:
    """A table that lacks newer columns, down to those of time and name, is read; what is missing is left out."""
    rows = nightly(3)
    for column in [name for name in COLUMNS if name not in {"node", "started_at"}]:
        for row in rows:
            row.pop(column, None)
        assert "predicted" in read(rows)


def test_rows_without_a_start() -> None:
    """A row without a start has no place in time: it is left out, and that is said."""
    assert "1 row of the table without a start is left out." in read([run(), run(started_at=None)])


def test_calls_of_one_model() -> None:
    """Two calls of a model stand by themselves, and models of one name by their packages."""
    text = read([run(call=1), run(call=2)])
    assert "predicted · call 1" in text
    assert "predicted · call 2" in text
    text = read([run(), run(node="model.other.predicted")])
    assert "model.other.predicted" in text


def test_totals() -> None:
    """The tiles add up the whole time: rows, those that needed no request, failed rows and retries."""
    text = read([*nightly(9), run(**FAILED, failed_rows=5, retries=30)])
    assert "Predictions 10" in text
    assert "Rows 10,000 5,500 sent" in text
    assert "Saved 45.0 % 4,500 rows needed no request" in text
    assert "Throughput 275/s" in text
    assert "Failed rows 5 0.05 % of rows; 30 retries of 90 requests" in text


def test_what_the_store_saved_is_counted_once() -> None:
    """Rows that the store had and that equal one another are saved once: never more than there are."""
    text = read([run(rows=10, distinct_rows=4, reused_rows=10, sent_rows=0)])
    assert "Saved 100 % 10 rows needed no request" in text
    assert "succeeded 10 0 10 0 0" in text
    text = read([run(rows=10, distinct_rows=4, reused_rows=0, sent_rows=4)])
    assert "Saved 60.0 % 6 rows needed no request" in text
    assert "succeeded 10 4 0 6 0" in text


@pytest.mark.parametrize(("runs", "each"), [(40, "a run"), (41, "2 days"), (400, "2 weeks"), (3000, "13 weeks")])
def test_many_runs_are_added_up(runs: int, each: str) -> None:
    """Up to 40 runs have a place each; more are added up by time, which is said, and the table has no more rows."""
    rows = nightly(runs, predicted=None)
    found = made(rows).html
    text = Parsed(found).text
    assert f"All figures as a table: a row is {each}" in text
    assert found.count("<tr>") < 60


@pytest.mark.usefixtures("drawn")
def test_size() -> None:
    """Thousands of runs of many models are a page below 2 MB, made within seconds; what is left out is said."""
    rows = [
        run(start=NOW - timedelta(hours=hour), node=f"model.shop.m{model}", invocation_id=f"i{hour}")
        for hour in range(200)
        for model in range(60)
    ]
    log = log_of(rows)
    before = time.process_time()
    found = page(log, NOW).html
    # Of this thread and of what draws: about 6 s on a quiet core.
    assert time.process_time() - before < 40
    assert len(found.encode()) < 2 * MEGABYTE
    text = Parsed(found).text
    assert re.search(r"To keep the page small, \d+ models are without charts", text)
    assert "--node makes a page of one." in text


def test_many_models() -> None:
    """With thousands of models, those that need somebody are listed, and the rest is counted."""
    rows = [run(node=f"model.shop.m{number}", invocation_id="i") for number in range(2000)]
    found = made([*rows, run(node="model.shop.zz", invocation_id="i", **FAILED)])
    assert len(found.html.encode()) < 2 * MEGABYTE
    text = Parsed(found.html).text
    assert "zz failed in the last run" in text
    assert "1701 more are not listed" in text


@pytest.mark.usefixtures("drawn")
def test_hundreds_of_classes() -> None:
    """Of hundreds of classes the most frequent are drawn and listed, and the rest is one."""
    counts = {f"class {number}": 1000 - number for number in range(300)}
    text = read(nightly(2, predicted=json.dumps({"output": classes(counts=counts)})))
    assert "288 more classes not listed." in text
    assert "all others" in text


def test_without_vl_convert() -> None:
    """Without the package that draws, the page has its tables, and says what to install."""
    found = made(nightly(5)).html
    assert "<svg" not in found
    assert "pip install 'dbt-triton[report]'" in found
    assert "All figures as a table" in found


@pytest.mark.usefixtures("drawn")
def test_drawings_are_small() -> None:
    """A chart of forty runs is a few kilobytes, and says its figures where the mouse is."""
    found = made(nightly(40)).html
    drawings = re.findall(r"<svg .*?</svg>", found, re.DOTALL)
    assert max(map(len, drawings)) < 14_000
    assert "2026-11-26 02:30 UTC: sent: 550; from the store: 400; same input as another row, or NULL: 50" in found
    assert svg.can_draw()


_MUCH = 2**63 - 1


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    "said",
    [
        {"started_at": "0001-01-01 00:00:00+14:00"},
        {"started_at": "9999-12-31 23:59:59.999999-12:00"},
        {"rows": _MUCH, "sent_rows": _MUCH, "requests": _MUCH, "retries": _MUCH, "failed_by_reason": {"a": _MUCH}},
        {"sent_rows": _MUCH, "wait_seconds": 5e-324},
        {"predicted": {"p": {"kind": "classes", "rows": 1, "nulls": 0, "counts": {"a": 10**400}, "other": 10**400}}},
        {"predicted": {"p": {"kind": "numbers", "rows": 9, "nulls": 0, "edges": [], "not_finite": 10**400}}},
        {"predicted": {"p": {"kind": {"x": 1}, "rows": 1, "nulls": 0}}},
    ],
)
def test_figures_that_nobody_has(said: dict[str, Any]) -> None:
    """Whatever size a figure has, there is a page with charts."""
    every = {"node": "model.a.b", "outcome": "succeeded", "started_at": "2026-11-20 01:00:00"}
    runs = [every | said for _ in range(3)]
    Parsed(made([*runs, every | {"node": "model.a.c"}]).html)


def test_runs_at_both_ends_of_time() -> None:
    """The first place of a chart may begin before there are dates."""
    starts = [f"{year:04}-01-01 00:00:00" for year in (*range(1, 41), *range(9960, 10_000))]
    rows = [{"node": "model.a.b", "outcome": "succeeded", "started_at": start} for start in starts]
    assert "Last run: 9999-01-01" in made(rows).headline.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _rows() -> st.SearchStrategy[dict[str, Any]]:
    kinds = st.sampled_from(["classes", "numbers", "other"]) | JSON
    parts = {"kind": kinds, "rows": JSON, "nulls": JSON, "counts": JSON, "other": JSON, "edges": JSON, "shares": JSON}
    profiles = st.dictionaries(st.text(max_size=5), st.fixed_dictionaries({}, optional=parts), max_size=3)
    anything = dict.fromkeys(COLUMNS, JSON)
    known = {
        "node": st.sampled_from(["model.a.b", "model.a.c"]),
        "started_at": st.sampled_from(["2026-11-20 01:00:00", "2026-11-21 01:00:00.5"]) | JSON,
        "predicted": profiles.map(json.dumps) | JSON,
        "failed_by_reason": JSON.map(json.dumps),
    }
    return st.fixed_dictionaries({}, optional=anything | known)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_rows(), max_size=5))
@pytest.mark.usefixtures("drawn")
def test_any_rows(rows: list[dict[str, Any]]) -> None:
    """Whatever stands in the columns, there is a page, and it is whole."""
    Parsed(made(rows).html)


def test_models_that_are_gone() -> None:
    """What the project or a model has no more alarms nobody, and stands at the end; another project's still does."""
    failed = {"outcome": "failed", "error": "x", "start": NOW - timedelta(hours=2)}
    rows = [
        *nightly(3),
        run(node="model.shop.renamed", **failed),
        run(node="model.elsewhere.other", **(failed | {"outcome": "succeeded"})),
    ]
    known = {"packages": frozenset({"shop", "dbt_triton"}), "predicting": frozenset({"model.shop.predicted"})}
    found = made(rows, **known)
    assert found.headline.level.name == "WELL"
    text = Parsed(found.html).text
    assert text.index("not in the project") > text.index("predicted")
    assert "The project has no such predicting model any more." in text
    assert made(rows).headline.level.name == "BAD", "where nobody knows what the project has"
    assert made([*rows, run(node="model.elsewhere.third", **failed)], **known).headline.level.name == "BAD"
    assert "of a model that the project has" in made(rows[:3], **(known | {"predicting": frozenset()})).headline.text


@pytest.mark.parametrize(("newer", "level"), [("succeeded", "WELL"), ("failed", "BAD")])
def test_calls_that_are_gone(newer: str, level: str) -> None:
    """A second call that failed is forgotten once its model was built without it, and not while the first one fails."""
    first = NOW - timedelta(hours=5)
    rows = [
        run(start=first, invocation_id="a"),
        run(start=first, invocation_id="a", call=2, outcome="failed", error="the second"),
        run(start=NOW - timedelta(hours=1), invocation_id="b", outcome=newer, error="the first"),
    ]
    found = made(rows)
    assert found.headline.level.name == level
    assert ("Its model has fewer calls" in Parsed(found.html).text) is (newer == "succeeded")
