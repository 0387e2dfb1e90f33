"""What a server spent on the requests of a trial, by its own statistics."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_triton.client.statistics import NANOSECONDS, Counts, counted_between, total
from dbt_triton.tune.trial_figures import ServerSide

_MILLISECONDS = 1000


def between(before: Counts | None, after: Counts | None) -> ServerSide | None:
    """Return what a server counted between two answers; None where it does not say, or began anew meanwhile."""
    return _told(counted_between(before, after))


def between_each(before: Sequence[Counts | None] | None, after: Sequence[Counts | None] | None) -> ServerSide | None:
    """Return what several servers counted together, but for those that do not say; None where none does."""
    both = zip(before or (), after or (), strict=before is not None and after is not None)
    said = [counts for one, other in both if (counts := counted_between(one, other)) is not None]
    return _told(total([*said]))


def _told(counted: Counts | None) -> ServerSide | None:
    if counted is None:
        return None

    def mean(kind: str) -> float:
        # The parts that a request of the response cache has not are divided among all, as its latency is.
        answered = counted["success.count"]
        return counted[f"{kind}.ns"] / answered / NANOSECONDS * _MILLISECONDS if answered else 0.0

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
