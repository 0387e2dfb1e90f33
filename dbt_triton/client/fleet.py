"""Asking all servers of a model what they serve, which must be the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from dbt_triton.client.client import TritonClient
from dbt_triton.client.places import places_of
from dbt_triton.client.served import ServedModel, difference
from dbt_triton.errors import ConfigurationError, InferenceError, Reason
from dbt_triton.options import Options

#: Once one server has said what it serves, the others have so many seconds to do so.
_GRACE_SECONDS = 5.0
#: HTTP statuses of a server that is busy, or has yet to load the model.
_SERVER_ERROR = 500
_PASSING = {404, 408, 429}


@dataclass(frozen=True)
class Fleet:
    """What all servers of a model serve.

    Args:
        served: by each of them that answered.
        notes: which did not answer, a sentence each.
    """

    served: ServedModel
    notes: tuple[str, ...] = ()


async def ask_all(options: Options, headers: Mapping[str, str]) -> Fleet:
    """Ask every server of a model what it serves.

    A server that is away is no error as long as another one answers.

    Raises:
        InferenceError: no server answers, or one says that it does not serve the model.
        ConfigurationError: two servers serve different versions or schemas.
    """
    async with AsyncExitStack() as stack:
        places = await places_of(options)
        clients = [await stack.enter_async_context(place.client(options, headers)) for place in places]
        if len(clients) == 1:
            return Fleet(await clients[0].served_model())
        return _judged(clients, await _answers(clients))


async def _answers(clients: Sequence[TritonClient]) -> list[ServedModel | InferenceError]:
    """Return what each says, or why it says nothing; once one has answered, one that hangs is not waited for."""
    tasks = [asyncio.create_task(client.served_model()) for client in clients]
    try:
        waiting = set(tasks)
        while waiting and not any(task.done() and task.exception() is None for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=_GRACE_SECONDS)
    finally:
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    answers: list[ServedModel | InferenceError] = []
    for client, task in zip(clients, tasks, strict=True):
        if task.cancelled():
            late_one = InferenceError(f"Triton at {client.name} did not answer within {_GRACE_SECONDS:.0f} s")
            late_one.may_pass = True
            answers.append(late_one)
            continue
        error = task.exception()
        if error is not None and not isinstance(error, InferenceError):
            raise error
        answers.append(error or task.result())
    return answers


def _judged(clients: Sequence[TritonClient], answers: Sequence[ServedModel | InferenceError]) -> Fleet:
    said = [(client, one) for client, one in zip(clients, answers, strict=True) if isinstance(one, ServedModel)]
    errors = [(client, one) for client, one in zip(clients, answers, strict=True) if isinstance(one, InferenceError)]
    final = [one for _, one in errors if not _is_away(one)]
    if final:
        raise final[0]
    if not said:
        error = errors[0][1]
        if len(errors) > 1:
            others = "; ".join(one.message for _, one in errors[1:])
            raise InferenceError(
                f"none of {len(errors)} servers answers: {error.message}; {others}", status=error.status
            )
        raise error
    first, served = said[0]
    problems = []
    for client, one in said[1:]:
        found = difference(served, one)
        if found is not None:
            problems.append(f"Triton at {first.name} serves {found[0]}, and Triton at {client.name} serves {found[1]}")
    if problems:
        advice = "all servers of a model must serve the same; update those that differ, or leave them out of endpoint"
        raise ConfigurationError([*problems, advice], f"model {first.options.model_name}")
    notes = tuple(f"{one.message}; rows go to the other servers until it answers" for _, one in errors)
    return Fleet(replace(served, dynamic_batching=any(one.dynamic_batching for _, one in said)), notes)


def _is_away(error: InferenceError) -> bool:
    """Tell whether a server that says so may be back later."""
    passing = error.status is None or error.status >= _SERVER_ERROR or error.status in _PASSING
    return passing and error.reason == Reason.UNAVAILABLE and error.may_pass
