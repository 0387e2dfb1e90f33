"""`dbt-triton init --all`: what a server serves, as a table."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dbt_triton.client.client import TritonClient
from dbt_triton.client.repository_index import IndexedModel, repository_index
from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.commands import table
from dbt_triton.credentials import request_headers
from dbt_triton.errors import ConfigurationError, DbtTritonError, InferenceError
from dbt_triton.foreign_text import NAME_LENGTH, harmless, shown
from dbt_triton.inference_model.language_model import is_language_model, parameters_text
from dbt_triton.init.said import said_options
from dbt_triton.options import Options, parse_options
from dbt_triton.step.advice import with_advice
from dbt_triton.step.not_served import why_not_loaded

_HEADINGS = ("model", "version", "ready", "inputs", "outputs", "kind")
#: Models that are asked for at a time.
_AT_ONCE = 16
#: Of one cell, in characters.
_CELL = 60
_ANY_NAME = "any"
_LLM_API = "sampling_param_"


@dataclass(frozen=True)
class _Row:
    entry: IndexedModel
    served: ServedModel | None
    words: str = ""


def list_models(arguments: Namespace, say: Callable[[str], None]) -> int:
    """List what each server serves. Returns 1 where it serves nothing.

    Raises:
        DbtTritonError: a server cannot be asked; with what to do.
    """
    raw = said_options(arguments, _ANY_NAME)
    options = parse_options(raw, "dbt-triton init --all")
    headers = request_headers(options, "dbt-triton init --all")
    ready = 0
    for endpoint in options.endpoints:
        try:
            rows = asyncio.run(_rows(options.at(endpoint), raw, headers))
        except InferenceError as error:
            raise DbtTritonError(with_advice(error, options.at(endpoint))) from error
        if len(options.endpoints) > 1:
            say(f"{endpoint}:")
        for line in table([_HEADINGS, *map(_cells, rows)]):
            say(harmless(line))
        said = [f"{_shown(row.entry.name)}: {row.words}" for row in rows if row.words]
        for line in said:
            say(harmless(line))
        ready += sum(row.served is not None for row in rows)
    if ready:
        say(f"next: `dbt-triton init --endpoint {options.endpoints[0]} --model NAME`, in the folder of a dbt project")
        return 0
    say("no model is ready there")
    return 1


async def _rows(options: Options, raw: Mapping[str, str], headers: Mapping[str, str]) -> list[_Row]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def row(entry: IndexedModel) -> _Row:
        if not entry.is_ready:
            return _Row(entry, None, why_not_loaded(entry))
        version = {"model-version": entry.version} if entry.version else {}
        of_model = dict(raw) | {"endpoint": options.endpoint, "model-name": entry.name} | version
        async with limit:
            try:
                client = TritonClient(parse_options(of_model, entry.name), headers)
                async with client:
                    return _Row(entry, await client.served_model(retries=False))
            except ConfigurationError as error:
                return _Row(entry, None, "; ".join(error.problems))
            except InferenceError as error:
                return _Row(entry, None, str(error))

    return await asyncio.gather(*(row(entry) for entry in await repository_index(options, headers)))


def _cells(row: _Row) -> tuple[str, ...]:
    entry, served = row.entry, row.served
    ready = "yes" if served is not None else "no"
    cells = (_shown(entry.name), _shown(entry.version), ready)
    if served is None:
        return (*cells, "", "", "" if entry.is_ready else shown(entry.state, NAME_LENGTH).lower() or "not loaded")
    return (*cells, _tensors(served.inputs), _tensors(served.outputs), kind_of(served))


def kind_of(served: ServedModel) -> str:
    """Say in a few words what kind of model it is."""
    kinds = {
        _language_model(served): is_language_model(served),
        "ensemble": served.platform == "ensemble",
        "sequences": served.sequence_batching,
        "decoupled": served.decoupled and not is_language_model(served),
        "classes with labels": any(tensor.labels for tensor in served.outputs),
    }
    return ", ".join(kind for kind, holds in kinds.items() if holds) or served.platform or "model"


def _language_model(served: ServedModel) -> str:
    names = {tensor.name for tensor in served.inputs}
    if parameters_text(served) is not None:
        return "language model (vLLM)"
    is_tensorrt = "max_tokens" in names or any(name.startswith(_LLM_API) for name in names)
    return f"language model{' (TensorRT-LLM)' * is_tensorrt}"


def _tensors(tensors: Sequence[ServedTensor]) -> str:
    """Name tensors, those that must be there first; as many as a cell holds."""
    names = [
        f"{shown(tensor.name, NAME_LENGTH)} {shown(tensor.datatype, NAME_LENGTH)}{list(tensor.shape)}"
        + "?" * tensor.optional
        for tensor in sorted(tensors, key=lambda tensor: tensor.optional)
    ]
    cell = names[0] if names else ""
    for place, name in enumerate(names[1:], start=1):
        if len(cell) + len(name) > _CELL:
            return f"{cell}, {len(names) - place} more"
        cell += f", {name}"
    return cell


def _shown(text: str) -> str:
    return shown(text, NAME_LENGTH)
