"""What a server has where it does not serve a model: a name that is nearly the same, or why it is not loaded."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence

from dbt_triton.client.repository_index import IndexedModel, repository_index
from dbt_triton.errors import DbtTritonError, InferenceError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.known_names import listed_names, nearest_name
from dbt_triton.options import Options

logger = logging.getLogger("dbt_triton")

#: What Triton answers about a model or version that it does not serve (404 by the GETs of 2.51, 400 by older ones).
_NOT_SERVED = {400, 404}
_UNKNOWN = re.compile("unknown model", re.IGNORECASE)
#: What Triton's Python backend writes behind an exception.
_TRACEBACK = re.compile(r"\s+At:\s+(?=/)")
#: Nobody waits longer for a hint.
_SECONDS = 5.0
#: The reason that Triton gives of a model that was unloaded.
_UNLOADED = "unloaded"


async def what_is_there(error: InferenceError, options: Options, headers: Mapping[str, str]) -> str:
    """Ask the server that does not serve a model what it has, once, and say what helps; nothing where it does not say.

    Args:
        error: what the server has answered.
        options: of the model.
        headers: of requests, with secrets in them.
    """
    if error.status not in _NOT_SERVED or not _UNKNOWN.search(error.message):
        return ""
    endpoint = next((one for one in options.endpoints if f"{one} " in error.message), options.endpoints[0])
    try:
        async with asyncio.timeout(_SECONDS):
            index = await repository_index(options.at(endpoint), headers)
    except (DbtTritonError, TimeoutError, OSError) as unsaid:
        logger.debug("what %s has is not known: %s", endpoint, shown(unsaid))
        return ""
    return _hint(options, index)


def _hint(options: Options, index: Sequence[IndexedModel]) -> str:
    name = options.model_name
    of_name = [one for one in index if one.name == name]
    if not of_name:
        names = list(dict.fromkeys(one.name for one in sorted(index, key=lambda one: not one.is_ready)))
        near = nearest_name(name, names)
        return f"Did you mean {shown(near, NAME_LENGTH)}? " if near else ""
    ready = [shown(one.version, NAME_LENGTH) for one in of_name if one.is_ready]
    if ready:
        return f"It serves version{'' if len(ready) == 1 else 's'} {listed_names(ready)} of that model. "
    reasons = list(filter(None, map(why_not_loaded, of_name)))
    return f"The server has that model, and has not loaded it{f': {reasons[0]}' if reasons else ''}. "


def why_not_loaded(entry: IndexedModel) -> str:
    """Return why a model is not loaded: the server's words, or what it means that there are none.

    Triton (2.51) gives neither a state nor a reason to a model that it was never asked to load, and to one whose
    configuration it cannot read.
    """
    if entry.reason.strip() == _UNLOADED:
        return "somebody has unloaded it"
    if entry.reason.strip():
        return shown(_TRACEBACK.split(entry.reason, maxsplit=1)[0]).rstrip(".")
    if entry.state:  # such as LOADING, which says it
        return ""
    return (
        "the server gives no reason: it was not asked to load it (--model-control-mode), or cannot read its "
        "config.pbtxt, of which its log says more"
    )
