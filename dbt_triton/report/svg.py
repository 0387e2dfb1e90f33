"""Charts: a Vega-Lite specification in, a small SVG out that the page's style sheet colours.

Vega-Lite draws axes, scales and marks; what it writes beside is taken out, and what can be said in fewer characters is.
Colours are names of the style sheet's variables, so that light, dark and print are one drawing. No text of a user's is
in a drawing: names stand in the legend, which is HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from xml.etree import ElementTree as ET

_SVG = "http://www.w3.org/2000/svg"
_NUMBER = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
#: Attributes that nothing here needs: the drawing is one image with a name, and its figures are in a table.
_NEEDLESS = {
    "role",
    "aria-roledescription",
    "aria-hidden",
    "pointer-events",
    "class",
    "font-family",
    "stroke-miterlimit",
    "version",
}
#: What a mark has that says nothing, since it is so anyway.
_DEFAULTS = {"opacity": "1", "stroke-width": "1", "transform": "translate(0,0)", "style": ""}


@cache
def can_draw() -> bool:
    """Tell whether vl-convert is there, which draws: the extra ``dbt-triton[report]``."""
    try:
        import vl_convert  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return False
    return True


def draw(specification: Mapping[str, Any], title: str, description: str, name: str) -> str:
    """Draw a chart.

    Args:
        specification: of Vega-Lite. `description` of a mark becomes what shows where the mouse is.
        title: what the chart is, for who does not see it.
        description: what it says.
        name: unique on the page.

    Returns:
        The element `svg`, without a size of its own: it takes the width that there is.
    """
    import vl_convert  # noqa: PLC0415 - an extra

    text = vl_convert.vegalite_to_svg(dict(specification), allowed_base_urls=[])
    root = ET.fromstring(text)  # noqa: S314 - drawn here, from figures
    _shorten(root)
    _merge(root)
    for key in list(root.attrib):
        if key != "viewBox":
            del root.attrib[key]
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-t {name}-d")
    for place, (tag, words, key) in enumerate((("title", title, "t"), ("desc", description, "d"))):
        element = ET.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{key}"})
        element.text = words
        root.insert(place, element)
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode").replace(f' xmlns="{_SVG}"', "", 1)


def _shorten(element: ET.Element) -> None:
    """Take out what is not seen, and round places to a tenth of a pixel."""
    for child in list(element):
        _shorten(child)
        if _is_empty(child):
            element.remove(child)
    label = element.attrib.pop("aria-label", None)
    for key, value in list(element.attrib.items()):
        if key in _NEEDLESS or _DEFAULTS.get(key) == value:
            del element.attrib[key]
        else:
            element.set(key, _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value))
    if label and not len(element):
        title = ET.SubElement(element, f"{{{_SVG}}}title")
        title.text = label


def _is_empty(element: ET.Element) -> bool:
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag == "g":
        return not len(element)
    if tag == "path":
        return element.get("display") == "none" or not element.get("d", "").replace("M0,0h0v0h0Z", "")
    if tag == "rect":
        return element.get("fill") == "white"
    return False


def _merge(element: ET.Element) -> None:
    """Draw marks of one look as one path, and leave out groups around a single group."""
    for child in element:
        _merge(child)
    paths: dict[tuple[tuple[str, str], ...], ET.Element] = {}
    for child in list(element):
        if child.tag != f"{{{_SVG}}}path" or len(child) or "transform" in child.attrib:
            continue
        look = tuple(sorted((key, value) for key, value in child.attrib.items() if key != "d"))
        if look in paths:
            paths[look].set("d", paths[look].get("d", "") + child.get("d", ""))
            element.remove(child)
        else:
            paths[look] = child
    for place, child in enumerate(list(element)):
        if child.tag == f"{{{_SVG}}}g" and not child.attrib and len(child) == 1:
            element.remove(child)
            element.insert(place, child[0])


def base(width: int, height: int, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the specification of layers, with the look of all charts."""
    axis = {
        "domain": False,
        "ticks": False,
        "grid": True,
        "gridColor": "var(--grid)",
        "labelColor": "var(--muted)",
        "labelFontSize": 11,
        "labelPadding": 6,
        "title": None,
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 2, "right": 6, "top": 6, "bottom": 2},
        "layer": list(layers),
        "config": {
            "background": None,
            "font": "sans-serif",
            "view": {"stroke": None},
            "axis": axis,
            "axisX": {"grid": False, "labelAngle": 0, "labelOverlap": True, "labelFlush": True},
            "axisY": {"tickCount": 4, "labelExpr": "datum.value == 0 ? '0' : replace(datum.label, 'G', 'B')"},
            "legend": {"disable": True},
            "aria": True,
        },
    }
