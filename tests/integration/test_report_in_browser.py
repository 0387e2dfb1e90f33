"""The page of `dbt-triton report` in a real browser: what it loads, how wide it is, how it is read and printed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support.chromium import PROGRAM, Chromium
from support.made_runs import HAS_RUN, NOW, log_of, nasty

from dbt_triton.report.page import page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium"),
    pytest.mark.duckdb_only("the page is the same, whatever the warehouse"),
]

EXAMPLE = Path(__file__).parents[2] / "docs" / "report-example.html"
PHONE, DESK = 390, 1280
#: What WCAG AA asks of texts, of large ones, and of what is drawn.
TEXT, LARGE, DRAWN = 4.5, 3.0, 3.0

#: Every text of the page with its colour, what is behind it, and whether it is large; and each colour that is drawn.
COLOURS = """
(() => {
  const rgb = (css) => css.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = {};
  const add = (kind, colour, back, what) => {
    found[[kind, colour.slice(0, 3), back].join()] = [kind, colour, back, what];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest('title, desc, .skip')) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const colour = element.closest('svg') ? style.fill : style.color;
    add(isLarge ? 'large' : 'text', rgb(colour), behind(element), element.className || element.tagName);
  }
  for (const element of document.querySelectorAll('svg path, .key, .strip i')) {
    const style = getComputedStyle(element);
    const colours = element.closest('svg')
      ? [element.getAttribute('fill') && style.fill, element.getAttribute('stroke') !== 'var(--card)' && style.stroke]
      : [element.classList.contains('key') ? style.color : style.backgroundColor];
    for (const colour of colours) {
      const what = element.className.baseVal || element.className;
      if (colour && colour.startsWith('rgb(')) add('drawn', rgb(colour), behind(element.parentElement), what);
    }
  }
  return Object.values(found);
})()
"""

#: What is wider than the window, but for what is scrolled by itself.
TOO_WIDE = """
[...document.querySelectorAll('main *')]
  .filter((one) => !one.closest('.scroll table, svg') && one.getBoundingClientRect().right > innerWidth + 0.5)
  .map((one) => one.tagName + '.' + one.className + ' ' + one.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A headless Chromium with a profile of its own."""
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example of the docs, one of whatever could break it, and one without any run."""
    folder = tmp_path_factory.mktemp("pages")
    for name, rows in (("nasty", nasty()), ("empty", [])):
        (folder / f"{name}.html").write_text(page(log_of(rows), NOW).html, encoding="utf-8")
    return {"example": EXAMPLE, "nasty": folder / "nasty.html", "empty": folder / "empty.html"}


@pytest.mark.parametrize("name", ["example", "nasty", "empty"])
def test_loads_nothing(browser: Chromium, pages: dict[str, Path], name: str) -> None:
    """The page asks for itself and nothing else, runs no script, and the console stays empty."""
    browser.show(pages[name])
    assert [url for url in browser.requested if not url.startswith("data:")] == [pages[name].as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("window.hasRun === undefined && document.scripts.length === 0")
    assert HAS_RUN in pages["nasty"].read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "width"), list(product(["example", "nasty", "empty"], [320, PHONE, 700, DESK])))
def test_fits(browser: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    """At no width, that of a phone included, is there anything to scroll sideways but the table of all figures."""
    browser.show(pages[name], width=width)
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    # Texts of charts are as large as others of their kind, since a chart is about as wide as a phone.
    if name == "example" and width == PHONE:
        scale = browser.evaluate("document.querySelector('svg').getBoundingClientRect().width / 360")
        assert scale > 0.85


def luminance(colour: list[float]) -> float:
    """Return the relative luminance of a colour, as WCAG has it."""
    parts = [part / 255 for part in colour[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast of two colours, as WCAG has it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("name", "scheme"), list(product(["example", "nasty"], ["light", "dark"])))
def test_contrast(browser: Chromium, pages: dict[str, Path], name: str, scheme: str) -> None:
    """Texts and what is drawn are told from what is behind them as WCAG AA asks, in the light and in the dark."""
    browser.show(pages[name], scheme=scheme)
    found: list[Any] = browser.evaluate(COLOURS)
    assert {kind for kind, *_ in found} >= {"text", "large", "drawn"}
    asked = {"text": TEXT, "large": LARGE, "drawn": DRAWN}
    measured = [(round(contrast(colour, back), 2), kind, what, colour, back) for kind, colour, back, what in found]
    assert [one for one in measured if one[0] < asked[one[1]]] == []
    is_dark = (
        luminance(browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) < 0.1
    )
    assert is_dark == (scheme == "dark")


def test_print(browser: Chromium, pages: dict[str, Path], tmp_path: Path) -> None:
    """Printed, it is light, whatever the scheme, within the paper's width, and no chart is cut by the end of a page."""
    browser.show(pages["example"], scheme="dark", media="print", width=720)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("document.documentElement.scrollWidth") == 720
    for what in ("figure", ".shares", ".tile", "article"):
        kept = browser.evaluate(
            f"[...document.querySelectorAll('{what}')].map((one) => getComputedStyle(one).breakInside)"
        )
        assert set(kept) == {"avoid"}, what
    paper = tmp_path / "page.pdf"
    browser.pdf(paper)
    assert paper.read_bytes().startswith(b"%PDF")
    if shutil.which("pdftotext") is None:
        return
    text = subprocess.check_output(["pdftotext", "-layout", paper, "-"], text=True)
    drawn = len(re.findall("<svg ", pages["example"].read_text(encoding="utf-8")))
    # The date on the axis of a chart stands on the page of its title: as many of the one as of the other on each page.
    titles = re.compile(
        r"Predictions by outcome|\bRows\s*$|Rows {3}|Throughput|Latency of a request|Time by part|Failed rows by reason"
        r"|Retries|Share of each class|Distribution: quantiles|Drift: PSI"
    )
    axes = sum(sheet.count("28 Oct") for sheet in text.split("\f"))
    assert axes == drawn
    for sheet in text.split("\f"):
        assert sheet.count("28 Oct") <= len(titles.findall(sheet)), sheet


def test_figures_by_keyboard(browser: Chromium, pages: dict[str, Path]) -> None:
    """The table of all figures opens, has what the charts have, and is scrolled by the keyboard, too."""
    browser.show(pages["example"], width=PHONE)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE
    assert browser.evaluate(
        "document.querySelector('.scroll').scrollWidth > document.querySelector('.scroll').clientWidth"
    )
    assert browser.evaluate("document.querySelector('.scroll').tabIndex") == 0
    assert browser.evaluate("document.querySelectorAll('.all tbody tr').length") == 90
