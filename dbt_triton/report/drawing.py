"""Bars and lines along the places of a chart's axis, as specifications of Vega-Lite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbt_triton.report import words
from dbt_triton.report.slots import Slots
from dbt_triton.report.svg import base, draw

#: In pixels of a drawing, which the page scales to the width that there is.
_WIDTH, _HEIGHT = 360, 170
#: A line of so few points, or of one, has its points marked.
_FEW_POINTS = 14
#: A line whose highest point is so many times its lowest is drawn on a logarithmic axis.
_WIDE = 40
#: Such an axis has about so many figures.
_POWERS = 5
_DASHES = ([1, 0], [5, 3], [2, 2])
_THOUSAND = 1_000


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a colour of the style sheet, and what it stands for, which may be a user's text."""

    colour: str
    label: str
    dash: str = ""
    is_foreign: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing with its words; without a drawing where there is nothing to draw."""

    title: str
    note: str = ""
    keys: Sequence[Key] = ()
    svg: str = ""


@dataclass(frozen=True)
class Value:
    """A part of a bar or a point of a line: its place, what it is of, how much, and its colour in the style sheet."""

    place: int
    of: str
    amount: float
    colour: str


@dataclass(frozen=True)
class Frame:
    """What a chart is made with.

    Attributes:
        title: what it is called.
        slots: the places along its axis.
        name: unique on the page.
        keys: its legend.
        say: how an amount is said.
    """

    title: str
    slots: Slots
    name: str
    keys: Sequence[Key]
    say: Callable[[float], str]


def bars(frame: Frame, found: Sequence[Value], *, says_of: bool = True, is_share: bool = False) -> Chart:
    """Draw bars of parts, one on the other, in the order in which they are found.

    Args:
        frame: of the chart.
        found: the parts.
        says_of: whether what they are of is said where the mouse is; a user's text is in the legend only.
        is_share: whether amounts are percent.
    """
    if not found:
        return Chart(frame.title, "Nothing is known of it.")
    values = [
        {"x": one.place, "y": float(one.amount), "colour": f"var(--{one.colour})", "order": place}
        for place, one in enumerate(found)
    ]
    tops = _tops(found)
    steps = {"tickMinStep": 1} if frame.say is words.count else {}
    y: dict[str, Any] = {"field": "y", "type": "quantitative", "stack": "zero"}
    y["axis"] = {"format": axis_format(list(tops.values())), **steps}
    if is_share:
        y["scale"] = {"domain": [0, 100]}
    elif max(tops.values()) <= 0:
        y["scale"] = {"domain": [0, 1]}
    mark = {"type": "bar", "aria": False, "width": {"band": 0.78}, "stroke": "var(--card)", "strokeWidth": 0.7}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    encoding = {"y": y, "color": colour, "order": {"field": "order", "type": "quantitative"}}
    hover = {
        place: _hover(frame, [one for one in found if one.place == place], says_of=says_of, is_share=is_share)
        for place in sorted(tops)
    }
    amounts = [] if is_share else list(tops.values())
    return drawn(frame, [{"data": {"values": values}, "mark": mark, "encoding": encoding}], hover, amounts)


def lines(frame: Frame, found: Sequence[Value], note: str = "") -> Chart:
    """Draw a line for each key of the legend, with its points where they are few."""
    if not found:
        return Chart(frame.title, "Nothing is known of it.")
    amounts = [one.amount for one in found]
    least = min((amount for amount in amounts if amount > 0), default=0)
    y: dict[str, Any] = {"field": "y", "type": "quantitative", "axis": {"format": axis_format(amounts)}}
    if max(amounts) <= 0:
        y["scale"] = {"domain": [0, 1]}
    elif least * _WIDE < max(amounts):
        low, high = math.floor(math.log10(least)), math.ceil(math.log10(max(amounts)))
        y["scale"] = {"type": "log", "domain": [least * 0.8, max(amounts) * 1.2]}
        y["axis"]["values"] = [10.0**power for power in range(low, high + 1, max((high - low) // _POWERS, 1))]
        note = " ".join(filter(None, [note, "The axis is logarithmic."]))
    layers: list[dict[str, Any]] = []
    for number, key in enumerate(frame.keys):
        values = [{"x": one.place, "y": max(one.amount, least)} for one in found if one.colour == key.colour]
        data, mark = {"values": values}, {"aria": False, "color": f"var(--{key.colour})"}
        line = {"type": "line", "strokeWidth": 2, "strokeDash": _DASHES[number % len(_DASHES)], **mark}
        layers.append({"data": data, "mark": line, "encoding": {"y": y}})
        if len(values) <= _FEW_POINTS:
            point = {"type": "point", "filled": True, "size": 16, "opacity": 1, **mark}
            layers.append({"data": data, "mark": point, "encoding": {"y": y}})
    places = sorted({one.place for one in found})
    hover = {place: _hover(frame, [one for one in found if one.place == place]) for place in places}
    chart = drawn(frame, layers, hover, amounts)
    return Chart(frame.title, note, frame.keys, chart.svg)


def drawn(
    frame: Frame, layers: Sequence[Mapping[str, Any]], hover: Mapping[int, str], amounts: Sequence[float]
) -> Chart:
    """Draw layers over the places of the axis.

    Args:
        frame: of the chart.
        layers: of Vega-Lite; those whose mark is a rule lie across all places.
        hover: what is said where the mouse is, by place.
        amounts: whose least and largest are said to who does not see the chart.
    """
    places = len(frame.slots.places)
    ticks = frame.slots.ticks()
    labels = json.dumps([ticks.get(place, "") for place in range(places)])
    x = {
        "field": "x",
        "type": "ordinal",
        "scale": {"domain": list(range(places)), "paddingInner": 0, "paddingOuter": 0.1},
        "axis": {"values": list(ticks), "labelExpr": f"{labels}[datum.value]"},
    }
    placed: list[dict[str, Any]] = [
        {**layer, "encoding": {**layer["encoding"], **({} if layer["mark"]["type"] == "rule" else {"x": x})}}
        for layer in layers
    ]
    placed.append(
        {
            "data": {
                "values": [{"x": place, "says": f"{frame.slots.title(place)}: {said}"} for place, said in hover.items()]
            },
            "mark": {"type": "rect", "color": "transparent"},
            "encoding": {"x": x, "description": {"field": "says", "type": "nominal"}},
        }
    )
    said = f"{places} places from {frame.slots.title(0)} to {frame.slots.title(places - 1)}, each {frame.slots.each}."
    if amounts:
        said += f" From {frame.say(min(amounts))} to {frame.say(max(amounts))}."
    svg = draw(base(_WIDTH, _HEIGHT, placed), frame.title, said, frame.name)
    return Chart(frame.title, "", frame.keys, svg)


def axis_format(amounts: Sequence[float]) -> str:
    """Return how an axis writes its figures: with k, M and B from a thousand on."""
    return "~s" if max(map(abs, amounts), default=0) >= _THOUSAND else "~r"


def _hover(frame: Frame, here: Sequence[Value], *, says_of: bool = True, is_share: bool = False) -> str:
    said = [f"{one.amount:.1f} %" if is_share else frame.say(one.amount) for one in here]
    if not says_of:
        return " · ".join(said)
    return "; ".join(f"{one.of}: {text}" for one, text in zip(here, said, strict=True))


def _tops(found: Sequence[Value]) -> dict[int, float]:
    tops: dict[int, float] = {}
    for one in found:
        tops[one.place] = tops.get(one.place, 0.0) + one.amount
    return tops
