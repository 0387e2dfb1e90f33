"""Triton's statistics extension: what servers have counted of a model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from dbt_triton.client.client import TritonClient
from dbt_triton.errors import InferenceError

_KINDS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit")
NANOSECONDS = 1_000_000_000
#: Triton counts in 64 bits.
_TOO_MUCH = 2**64
Counts = dict[str, int]


def counts_of(answer: Mapping[str, Any], version: str) -> Counts | None:
    """Read an answer of ``/v2/models/M/stats``.

    Args:
        answer: as JSON.
        version: of the model; others are left out, unless it is empty.

    Returns:
        Sums since the server has loaded the model: ``rows``, ``executions``, and ``<kind>.count`` and ``<kind>.ns``.
        None where the answer is none of Triton's, such as one with a figure that is no count.
    """
    try:
        return _counts_of(answer, version)
    except ValueError:
        return None


def _counts_of(answer: Mapping[str, Any], version: str) -> Counts | None:
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
    """Add a figure; one that a server leaves out is 0.

    Raises:
        ValueError: it is no count.
    """
    count = 0 if value is None else value
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < _TOO_MUCH:
        raise ValueError(name)
    found[name] = found.get(name, 0) + count


def total(counts: list[Counts | None]) -> Counts | None:
    """Add what several servers counted; None where one of them does not say."""
    sums: Counts = {}
    for one in counts:
        if one is None:
            return None
        for name, value in one.items():
            sums[name] = sums.get(name, 0) + value
    return sums or None


async def counted(
    clients: Sequence[TritonClient], version: str | None, *, seconds: float | None = None
) -> Counts | None:
    """Ask servers what they have counted of their model, all together; None where one does not say.

    Args:
        clients: one for each server.
        version: of the model.
        seconds: how long to wait for them; by default as long as the options say.
    """
    return total(await counted_each(clients, version, seconds=seconds))


async def counted_each(
    clients: Sequence[TritonClient], version: str | None, *, seconds: float | None = None
) -> list[Counts | None]:
    """Ask servers what each has counted of its model; see `counted`."""
    return await asyncio.gather(*(_counted(client, version or "", seconds) for client in clients))


async def _counted(client: TritonClient, version: str, seconds: float | None) -> Counts | None:
    try:
        return counts_of(await asyncio.wait_for(client.statistics(), seconds), version)
    except (InferenceError, TimeoutError):
        return None


def counted_between(before: Counts | None, after: Counts | None) -> Counts | None:
    """Return what was counted between two answers; None where one is missing, or the server began anew meanwhile."""
    if before is None or after is None:
        return None
    found = {name: value - before.get(name, 0) for name, value in after.items()}
    return None if any(value < 0 for value in found.values()) else found
