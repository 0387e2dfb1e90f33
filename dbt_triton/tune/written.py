"""The options to write, where the model has them already, and in the form that it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbt_triton.tune.search import Space
from dbt_triton.tune.trial_figures import Settings


@dataclass(frozen=True)
class Places:
    """Where options of a call stand.

    Args:
        call: the keys of its MAP.
        meta: the keys of the predicting model's meta.ml_predict, wherever that stands.
        own_meta: whether it stands in the model's own file.
        file: of the predicting model.
        model: the inference model's name.
        model_file: of the inference model: SQL, or YAML where it is defined there.
        is_yaml: whether it is.
    """

    call: frozenset[str]
    meta: frozenset[str]
    file: str
    model: str
    model_file: str
    is_yaml: bool
    own_meta: bool = True


@dataclass(frozen=True)
class Written:
    """Lines to write in one place."""

    where: str
    options: Mapping[str, str]
    style: str

    @property
    def lines(self) -> list[str]:
        """The options as they are written there."""
        if self.style == "yaml":
            return [f"{key}: {value}" for key, value in self.options.items()]
        if self.style == "map":
            return [", ".join(f"'{key}', '{value}'" for key, value in self.options.items())]
        if self.style == "meta":
            return [", ".join(f"'{key}': '{value}'" for key, value in self.options.items())]
        return [f"'{key}' = '{value}'," for key, value in self.options.items()]


def changed(settings: Settings, space: Space) -> dict[str, str]:
    """Return the options that differ from today's, as they are written."""
    current, found = space.current, dict[str, str]()
    if settings.batch_size != current.batch_size:
        found["batch-size"] = str(settings.batch_size)
    if settings.in_flight != current.in_flight:
        found["max-concurrent-operations"] = settings.shown_in_flight
    if settings.batch_by != current.batch_by:
        found["batch-by"] = settings.batch_by
    if settings.batch_tokens != current.batch_tokens:
        found["batch-tokens"] = str(settings.batch_tokens)
    return found


def written(options: Mapping[str, str], places: Places) -> list[Written]:
    """Say where to write options: in the place that wins where it has them, else with the inference model's own."""
    by_place: dict[tuple[str, str], dict[str, str]] = {}
    for key, value in options.items():
        if key in places.call:
            place = (f"{places.file}, in MAP[…] of the call", "map")
        elif key in places.meta:
            place = _meta(places)
        elif places.is_yaml:
            place = (f"{places.model_file}, in meta.inference_model of {places.model}", "yaml")
        else:
            place = (f"{places.model_file}, in WITH (…)", "with")
        by_place.setdefault(place, {})[key] = value
    return [Written(where, found, style) for (where, style), found in by_place.items()]


def _meta(places: Places) -> tuple[str, str]:
    """Name the place of meta.ml_predict; one in a model's own file would take the place of all that a folder's says."""
    if places.own_meta:
        return f"{places.file}, in meta.ml_predict", "meta"
    return "the YAML in which meta.ml_predict of this model stands (its properties, or its folder's)", "yaml"


def keys_of(options: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the keys of options as they are named in the docs."""
    return frozenset(str(key).replace("_", "-") for key in options or ())
