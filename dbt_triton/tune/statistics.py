"""Triton's statistics extension: what the server counted of a model, before and after a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_triton.tune.trial_figures import ServerSide

_KINDS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit")
_NANOSECONDS = 1_000_000
Counts = dict[str, int]


def counts_of(answer: Mapping[str, Any], version: str) -> Counts | None:
    """Read an answer of ``/v2/models/M/stats``.

    Args:
        answer: as JSON.
        version: of the model; others are left out, unless it is empty.

    Returns:
        Sums since the server has loaded the model: ``rows``, ``executions``, and ``<kind>.count`` and ``<kind>.ns``.
        None where the answer is none of Triton's.
    """
    found: Counts = {}
    models = answer.get("model_stats")
    for model in models if isinstance(models, list) else []:
        if not isinstance(model, dict) or (version and str(model.get("version")) != version):
            continue
        _add(found, "rows", model.get("inference_count"))
        _add(found, "executions", model.get("execution_count"))
        inferences = model.get("inference_stats")
        for kind in _KINDS:
            said = inferences.get(kind) if isinstance(inferences, dict) else None
            for part in ("count", "ns"):
                _add(found, f"{kind}.{part}", said.get(part) if isinstance(said, dict) else 0)
    return found or None


def _add(found: Counts, name: str, value: object) -> None:
    found[name] = found.get(name, 0) + (value if isinstance(value, int) else 0)


def total(counts: list[Counts | None]) -> Counts | None:
    """Add what several servers counted; None where one of them does not say."""
    sums: Counts = {}
    for one in counts:
        if one is None:
            return None
        for name, value in one.items():
            _add(sums, name, value)
    return sums or None


def between(before: Counts | None, after: Counts | None) -> ServerSide | None:
    """Return what a server counted between two answers; None where it does not say, or began anew meanwhile."""
    if before is None or after is None:
        return None
    counted = {name: value - before.get(name, 0) for name, value in after.items()}
    if any(value < 0 for value in counted.values()):
        return None

    def mean(kind: str) -> float:
        # The parts that a request of the response cache has not are divided among all, as its latency is.
        answered = counted["success.count"]
        return counted[f"{kind}.ns"] / answered / _NANOSECONDS if answered else 0.0

    return ServerSide(
        requests=counted["success.count"] + counted["fail.count"],
        rows=counted["rows"],
        executions=counted["executions"],
        queue=mean("queue"),
        compute_input=mean("compute_input"),
        compute_infer=mean("compute_infer"),
        compute_output=mean("compute_output"),
        total=mean("success"),
        cache_hits=counted["cache_hit.count"],
    )
