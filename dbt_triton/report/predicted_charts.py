"""The charts of a predicted column: its shares run by run, and how far they moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbt_triton.population_stability import CHANGED, CHANGED_WORD, FEW_WORD, LOOK, LOOK_WORD, STABLE_WORD
from dbt_triton.report import words
from dbt_triton.report.drawing import Chart, Frame, Key, Value, axis_format, bars, drawn
from dbt_triton.report.predicted import NULL, OTHER, PredictedColumn, PredictedRun
from dbt_triton.report.slots import Slots, slots_of
from dbt_triton.run_log import columns

#: So many classes have a colour of their own.
MOST_CLASSES = 7
#: A PSI above this is drawn as this; the axis reaches this far at least.
_MOST_DRAWN, _LEAST_DRAWN = 1.0, 0.32
_COLOURS = [f"c{number}" for number in range(1, MOST_CLASSES + 1)]
_OF_VERDICT = {STABLE_WORD: "c1", LOOK_WORD: "look", CHANGED_WORD: "bad", FEW_WORD: "same"}


def shares_chart(column: PredictedColumn, name: str) -> Chart:
    """Draw the shares of the classes, or the quantiles of the numbers, run by run."""
    if column.kind == columns.NUMBERS:
        return _quantiles(column, name)
    top = column.top_classes[:MOST_CLASSES]
    others = len(column.top_classes) > MOST_CLASSES or any(OTHER in run.classes() for run in column.runs)
    keys = [Key(colour, words.label(key), is_foreign=True) for key, colour in zip(top, _COLOURS, strict=False)]
    keys += [Key("same", "all others")] if others else []
    keys += [Key("failed", "NULL")] if any(run.nulls for run in column.runs) else []
    found = [one for place, run in enumerate(column.runs) for one in _parts(place, run, top)]
    frame = Frame("Share of each class, percent", _slots_of(column), name, keys, words.count)
    return bars(frame, found, says_of=False, is_share=True)


def _parts(place: int, run: PredictedRun, top: Sequence[str]) -> list[Value]:
    """Return the shares of a run, in percent."""
    classes = run.classes()
    everything = sum(classes.values())
    rows = [(classes.get(key, 0), _COLOURS[number]) for number, key in enumerate(top)]
    null = classes.get(NULL, 0)
    rows += [(everything - null - sum(amount for amount, _ in rows), "same"), (null, "failed")]
    return [Value(place, "", 100 * amount / everything, colour) for amount, colour in rows if amount > 0]


def _quantiles(column: PredictedColumn, name: str) -> Chart:
    keys = [Key("band", "5 to 95 %"), Key("c1", "25 to 75 %"), Key("ink", "median", "solid")]
    frame = Frame("Distribution: quantiles", _slots_of(column), name, keys, words.value)
    found = {place: run.quantiles() for place, run in enumerate(column.runs)}
    values = [
        {"x": place, **{word.replace(" %", ""): of for word, of in one.items()}} for place, one in found.items() if one
    ]
    if not values:
        return Chart(frame.title, "No run has numbers.")
    numbers = [float(one[word]) for one in values for word in ("5", "95")]
    y = {"type": "quantitative", "scale": {"zero": False}, "axis": {"format": axis_format(numbers)}}
    data = {"values": values}

    def bar(low: str, high: str, colour: str) -> dict[str, Any]:
        mark = {"type": "bar", "aria": False, "color": f"var(--{colour})", "width": {"band": 0.72}}
        return {"data": data, "mark": mark, "encoding": {"y": {"field": low, **y}, "y2": {"field": high}}}

    tick = {"type": "tick", "aria": False, "color": "var(--ink)", "thickness": 2, "width": {"band": 0.9}}
    middle = {"data": data, "mark": tick, "encoding": {"y": {"field": "median", **y}}}
    hover = {
        place: "; ".join(f"{word}: {words.value(number)}" for word, number in one.items())
        for place, one in found.items()
        if one
    }
    return drawn(frame, [bar("5", "95", "band"), bar("25", "75", "c1"), middle], hover, numbers)


def stability_chart(column: PredictedColumn, name: str) -> Chart:
    """Draw how far the column moved from run to run, with the usual thresholds."""
    keys = [Key("look", f"from {LOOK}: look", "dashed"), Key("bad", f"above {CHANGED}: changed", "solid")]
    frame = Frame("Drift: PSI against the run before", _slots_of(column), name, keys, lambda index: f"{index:.3f}")
    found = {place: run.stability for place, run in enumerate(column.runs) if run.stability is not None}
    if not found:
        return Chart(frame.title, "It takes two runs with predictions.")
    values = [
        {"x": place, "psi": min(one.index, _MOST_DRAWN), "colour": f"var(--{_OF_VERDICT[one.verdict]})"}
        for place, one in found.items()
    ]
    highest = max(one.index for one in found.values())
    top = min(max(highest, _LEAST_DRAWN), _MOST_DRAWN)
    ticks = [LOOK, CHANGED, *([_MOST_DRAWN] if top >= _MOST_DRAWN else [])]
    axis = {"values": ticks, "labelExpr": "format(datum.value, '.2~f')"}
    y = {"field": "psi", "type": "quantitative", "scale": {"domain": [0, top * 1.05]}, "axis": axis}
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": values},
            "mark": {"type": "bar", "aria": False, "width": {"band": 0.72}},
            "encoding": {"y": y, "color": {"field": "colour", "type": "nominal", "scale": None}},
        }
    ]
    for at, colour, dash in ((LOOK, "look", [4, 3]), (CHANGED, "bad", [1, 0])):
        rule = {"type": "rule", "aria": False, "color": f"var(--{colour})", "strokeDash": dash}
        layers.append(
            {"data": {"values": [{"at": at}]}, "mark": rule, "encoding": {"y": {"field": "at", "type": "quantitative"}}}
        )
    hover = {place: f"PSI {one.index:.3f}, {one.verdict}" for place, one in found.items()}
    chart = drawn(frame, layers, hover, [one.index for one in found.values()])
    return Chart(frame.title, "Bars end at 1." if highest > _MOST_DRAWN else "", keys, chart.svg)


def _slots_of(column: PredictedColumn) -> Slots:
    return slots_of([run.row for run in column.runs], by_run=True)
