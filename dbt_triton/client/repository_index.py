"""Which models a server has, by Triton's model repository extension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dbt_triton.client.metadata import connection_words
from dbt_triton.client.reply import ResponseTooLargeError, server_words, shown_words
from dbt_triton.client.transport import open_transport
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.options import Options

#: What the answer may have: a repository of thousands of models is listed in less.
_INDEX_BYTES = 16 * 2**20
_OK = 200


@dataclass(frozen=True)
class IndexedModel:
    """One version of a model, as the server lists it.

    Args:
        name: of the model.
        version: of it; empty where the server has not looked for one, or could not load any.
        state: ``READY``, ``UNAVAILABLE``, ``LOADING`` and so on; empty for one that was never loaded.
        reason: why it is in this state, in the server's words.
    """

    name: str
    version: str
    state: str
    reason: str

    @property
    def is_ready(self) -> bool:
        """Whether the server predicts with it."""
        return self.state == "READY"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=1024)]
    version: Annotated[str, Field(max_length=1024)] = ""
    state: Annotated[str, Field(max_length=1024)] = ""
    reason: str = ""


_ENTRIES = TypeAdapter(list[_Entry])


async def repository_index(options: Options, headers: Mapping[str, str]) -> list[IndexedModel]:
    """Ask one server for its models, in the order of their names and versions.

    Args:
        options: of which only what is about the server counts; it has one endpoint.
        headers: of the request, with secrets in them.

    Raises:
        InferenceError: the server cannot be reached, does not say, or says what no Triton server does.
    """
    url = f"{options.endpoint}/v2/repository/index"
    transport = open_transport(options, _INDEX_BYTES)
    try:
        reply = await transport.post(url, {**headers, "Content-Type": "application/json"}, b"{}")
    except ResponseTooLargeError as error:
        raise InferenceError(f"the answer to {url} is no Triton server's: {error}") from error
    except httpx.RequestError as error:
        words = connection_words(error, options, options.endpoint)
        raise InferenceError(words, reason=Reason.UNAVAILABLE) from None
    finally:
        await transport.aclose()
    content = bytes(reply.content)
    if reply.status != _OK:
        words = shown_words(server_words(content, cut=reply.cut))
        raise InferenceError(f"Triton at {options.endpoint} says: {words}", status=reply.status)
    try:
        entries = _ENTRIES.validate_python(orjson.loads(content))
    except (orjson.JSONDecodeError, ValidationError):
        raise InferenceError(f"the answer to {url} is no Triton server's: it is no list of models") from None
    found = [IndexedModel(one.name, one.version, one.state, one.reason) for one in entries]
    return sorted(found, key=lambda one: (one.name, len(one.version), one.version))
