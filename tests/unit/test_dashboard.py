"""The dashboard of the docs: it can be imported, and asks for nothing that is not exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dbt_triton.instrumentation.measures import METRICS, Kind, prometheus_label, prometheus_name

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "observability.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
_SUFFIXES = {Kind.COUNTER: ["_total"], Kind.GAUGE: [""], Kind.HISTOGRAM: ["_bucket", "_sum", "_count"]}
SERIES = {prometheus_name(metric) + suffix for metric in METRICS for suffix in _SUFFIXES[metric.kind]}
#: What PromQL's own words are.
_WORDS = {"sum", "max", "by", "increase", "histogram_quantile", "time", "vector", "or", "le", "label_values"}
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES += [variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_is_of_what_is_exported(query: str) -> None:
    """Each metric that a panel asks for is one that we export, and each label is one that it has."""
    without_texts = re.sub(r'"[^"]*"|\[[^]]*\]', "", query)
    names = set(re.findall(r"[a-z_]{2,}", without_texts)) - _WORDS
    labels = {name for name in names if prometheus_label(name) in _labels()}
    assert names - labels <= SERIES
    assert names & SERIES


def _labels() -> set[str]:
    """Return the labels that the page lists, which are those of the attributes."""
    return {prometheus_label(name) for name in re.findall(r"`([a-z_.]+)`", PAGE) if "." in name}


def test_every_metric_is_on_the_page() -> None:
    """The page names every metric, as OpenTelemetry and as Prometheus write it."""
    for metric in METRICS:
        suffix = "_total" if metric.kind == Kind.COUNTER else ""
        assert f"`{metric.name}`" in PAGE
        assert f"`{prometheus_name(metric)}{suffix}`" in PAGE


def test_panels_do_not_overlap() -> None:
    """Grafana shows the panels as they stand: each has a title, says what it is, and a place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_page_links_the_dashboard() -> None:
    """Who reads the page finds the file, and what each panel shows."""
    assert "(grafana-dashboard.json)" in PAGE
    for panel in DASHBOARD["panels"]:
        assert panel["title"] in PAGE
