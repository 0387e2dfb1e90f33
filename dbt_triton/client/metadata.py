"""Asking a server about itself and a model, by GETs that are short and are sent again where that may help."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import httpx

from dbt_triton.client.reply import Reply, ResponseTooLargeError, json_object, server_words, shown_words
from dbt_triton.client.retries import Retries, RetryableError, is_retryable, with_retries
from dbt_triton.client.served import ServedModel, latest_version
from dbt_triton.client.transport import Transport, connect_seconds
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.foreign_text import shown
from dbt_triton.options import Options

logger = logging.getLogger("dbt_triton.client")

_OK = 200


class Metadata:
    """What one server says about itself and a model.

    Args:
        transport: of the client.
        headers: of the requests.
        options: of the model.
        model_path: of the model on the server.
        name: of the server, for errors.
    """

    def __init__(
        self, transport: Transport, headers: Mapping[str, str], options: Options, model_path: str, name: str
    ) -> None:
        self._transport = transport
        self._get_headers = headers
        self.options = options
        self._model_path = model_path
        self._retries = Retries.of(options)
        self._name = name

    async def served_model(self, *, retries: bool = True) -> ServedModel:
        """Ask the server about itself and the model.

        Args:
            retries: whether what fails is asked again where that may help.

        Raises:
            InferenceError: the server cannot be reached, does not serve the model, or says that it is not ready.
        """
        again = self._retries if retries else Retries(0)
        server = await self._get("/v2", again)
        metadata = await self._get(self._model_path, again)
        config = await self._get(f"{self._model_path}/config", again)
        await self._get(f"{self._model_path}/ready", again)
        return ServedModel.from_answers(server, metadata, config, f"{self.options.endpoint}{self._model_path}")

    async def served_version(self) -> str:
        """Ask the server which version it serves under the model's name, by one request; empty where it does not say.

        Raises:
            InferenceError: the server cannot be reached, or does not serve the model.
        """
        metadata = await self._get(self._model_path, self._retries)
        return latest_version(metadata, f"{self.options.endpoint}{self._model_path}")

    async def statistics(self) -> dict[str, Any]:
        """Return what the server has counted of the model, by Triton's statistics extension; it is asked once.

        Raises:
            InferenceError: the server cannot be reached, or does not say.
        """
        return await self._get(f"{self._model_path}/stats", Retries(0))

    async def _get(self, path: str, retries: Retries) -> dict[str, Any]:
        url = f"{self.options.endpoint}{path}"

        async def attempt(number: int) -> Reply:
            try:
                reply = await self._transport.get(url, self._get_headers)
            except ResponseTooLargeError as error:
                raise InferenceError(f"the answer to {url} is no Triton server's: {error}", attempts=number) from error
            except httpx.RequestError as error:
                text = connection_words(error, self.options, self._name)
                logger.debug("GET %s attempt %d: %s", url, number, text)
                raise RetryableError(text, Reason.UNAVAILABLE) from None
            logger.debug("GET %s attempt %d: status %d", url, number, reply.status)
            words = "" if reply.status == _OK else server_words(bytes(reply.content), cut=reply.cut)
            if is_retryable(reply.status, words):
                raise RetryableError(self._says(words), Reason.UNAVAILABLE, status=reply.status)
            return reply

        try:
            reply = await with_retries(attempt, retries)
        except RetryableError as error:
            raise error.final() from error
        content = bytes(reply.content)
        if reply.status == _OK:
            return {} if path.endswith("/ready") else json_object(content, url)
        raise InferenceError(self._says(server_words(content, cut=reply.cut)), status=reply.status)

    def _says(self, words: str) -> str:
        return f"Triton at {self._name} says: {shown_words(words)}"


def connection_words(error: Exception, options: Options, name: str) -> str:
    """Say why no answer came, and from which server."""
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection to Triton at {name} within {connect_seconds(options) * 1000:.0f} ms"
    if isinstance(error, httpx.ConnectError):
        return f"cannot connect to Triton at {name}: {shown(error)}"
    if isinstance(error, httpx.TimeoutException):
        return f"Triton at {name} did not answer within {options.timeout:.0f} ms"
    return f"the connection to Triton at {name} broke: {shown(error)}"
