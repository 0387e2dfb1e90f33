"""One pooled client for one Triton server and model."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import httpx

from dbt_triton.client.reply import HEADER_LENGTH, Reply, compressed, json_object, server_words
from dbt_triton.client.retries import (
    OVERLOAD_STATUSES,
    Retries,
    RetryableError,
    failure_of,
    is_retryable,
    is_retryable_error,
    reason_of,
    retry_after_failure,
    with_retries,
)
from dbt_triton.client.served import ServedModel
from dbt_triton.client.transport import HttpxTransportAdapter, Transport, connect_seconds, open_transport
from dbt_triton.credentials import MASK
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.options import Options

logger = logging.getLogger("dbt_triton.client")

#: A shorter header value is no secret, and hiding it would hide parts of other words.
_SECRET_LENGTH = 8
#: Triton writes the id first (2.51, measured).
_ID = re.compile(rb'\{"id":"(\d+)"')
_PAUSE_STEP_SECONDS = 0.5
_OK = 200
#: A request that is not answered is sent once more as it is: the server may have been busy, and computes on either way.
_TIMEOUT_RETRIES_OF_SEVERAL_ROWS = 1


@dataclass
class ClientStats:
    """What was sent: ``requests`` counts every attempt, ``retries`` those after the first."""

    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class TritonClient:
    """An asynchronous client of one model on one server; use it as an async context manager.

    Args:
        options: the validated options.
        headers: extra request headers, with secrets already in them; never logged.
        transport: another httpx transport in place of the default one.
    """

    def __init__(
        self,
        options: Options,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.options = options
        self.stats = ClientStats()
        self._retries = Retries.of(options)
        self.stopping = False
        #: Called when the server sheds load, or does not answer.
        self.on_overload: Callable[[], None] = _nothing
        #: On `time.monotonic`'s clock: until then no request is sent, since ``Retry-After`` is said to the client.
        self.resume_at = 0.0
        self._backing_off: set[asyncio.Task[Any]] = set()
        version = "" if options.model_version == "latest" else f"/versions/{options.model_version}"
        self._model_path = f"/v2/models/{options.model_name}{version}"
        self._infer_url = f"{options.endpoint}{self._model_path}/infer"
        self._logs = logger.isEnabledFor(logging.DEBUG)
        logger.debug("opening connections to %s as they are needed", options.endpoint)
        base: httpx.AsyncBaseTransport
        self._transport: Transport
        if transport is None:
            base, self._transport = open_transport(options)
        else:
            base, self._transport = transport, HttpxTransportAdapter(transport, options)
        self._http = httpx.AsyncClient(
            base_url=options.endpoint,
            transport=base,
            headers={**(headers or {}), "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(options.timeout / 1000, connect=connect_seconds(options)),
        )
        # A repeated sequence step would count a row twice, unless the server surely did not run it.
        self._executed_is_final = options.in_sequence
        self._secrets = [
            value
            for header in (headers or {}).values()
            if len(value := header.removeprefix("Bearer ")) >= _SECRET_LENGTH
        ]
        self._headers = {
            **(headers or {}),
            "Accept-Encoding": "identity",
            "User-Agent": "dbt-triton",
            "Content-Type": "application/json",
            **({"Content-Encoding": options.compression} if options.compression != "none" else {}),
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection: an idle one would hold up a server that is told to stop."""
        await self._transport.aclose()
        await self._http.aclose()
        logger.debug("closed the connections to %s", self.options.endpoint)

    async def served_model(self) -> ServedModel:
        """Ask the server about itself and the model.

        Raises:
            InferenceError: the server cannot be reached, does not serve the model, or says that it is not ready.
        """
        server = await self._get("/v2")
        metadata = await self._get(self._model_path)
        config = await self._get(f"{self._model_path}/config")
        await self._get(f"{self._model_path}/ready")
        return ServedModel.from_answers(server, metadata, config)

    def stop(self) -> None:
        """Send nothing more: what is on its way may end, what waits for another attempt is cancelled."""
        if self.stopping:
            return
        self.stopping = True
        for task in self._backing_off:
            task.cancel()

    async def infer(
        self,
        body: bytes,
        header_length: int | None,
        *,
        rows: int = 1,
        alone: bool = True,
        request_id: int | None = None,
    ) -> Reply:
        """Send one inference request, with retries.

        Args:
            body: JSON, or a JSON header and binary tensor data.
            header_length: the length of the JSON header where there is binary data.
            rows: how many rows it has. Several that got an exception, or no answer twice, are better split than
                sent again.
            alone: whether no other request can be to blame for an exception of the model.
            request_id: is put into the JSON of the body. Triton repeats it, so that an answer to another request, on a
                connection that is out of step, is not believed.

        Raises:
            InferenceError: it was refused, or every attempt failed; with Triton's own words.
        """
        start = b"{" if request_id is None else b'{"id":"%d",' % request_id
        body = start + body[1:] if request_id is not None else body
        headers = self._headers
        if header_length is not None:
            length = str(header_length + len(start) - 1)
            headers = {**headers, "Content-Type": "application/octet-stream", HEADER_LENGTH: length}
        if self.options.compression != "none":
            body = compressed(body, self.options.compression)
        try:
            return await self._attempt(1, headers, body, request_id)
        except RetryableError as error:
            if not self._is_worth_retrying(error, 1, rows=rows, alone=alone):
                raise self._given_up(error) from error
            first = error
        return await self._retry(first, headers, body, request_id, rows=rows, alone=alone)

    def _given_up(self, error: RetryableError) -> InferenceError:
        """Make the error of a request that has no attempt left; while the run ends, nothing has."""
        reason = Reason.STOPPED if self.stopping else error.reason
        return InferenceError(error.text, reason=reason, status=error.status, attempts=error.attempts)

    def _is_worth_retrying(self, error: RetryableError, number: int, *, rows: int, alone: bool) -> bool:
        if self.stopping:
            return False
        if error.reason == Reason.MODEL_ERROR:
            return rows == 1 and alone
        return error.reason != Reason.TIMEOUT or rows == 1 or number <= _TIMEOUT_RETRIES_OF_SEVERAL_ROWS

    async def _retry(  # noqa: PLR0913 - what `infer` was told
        self,
        first: RetryableError,
        headers: Mapping[str, str],
        body: bytes,
        request_id: int | None,
        *,
        rows: int,
        alone: bool,
    ) -> Reply:
        task = cast("asyncio.Task[Any]", asyncio.current_task())

        async def attempt(number: int) -> Reply:
            self._backing_off.discard(task)
            try:
                return await self._attempt(number, headers, body, request_id)
            except RetryableError as error:
                error.attempts = number
                if not self._is_worth_retrying(error, number, rows=rows, alone=alone):
                    raise self._given_up(error) from error
                self._backing_off.add(task)
                raise

        self._backing_off.add(task)
        try:
            return await retry_after_failure(first, attempt, self._retries)
        except RetryableError as error:
            raise _final(error) from error
        except asyncio.CancelledError:
            if self.stopping and task in self._backing_off and task.uncancel() == 0:
                raise InferenceError(first.text, reason=Reason.STOPPED, attempts=first.attempts) from first
            raise
        finally:
            self._backing_off.discard(task)

    async def _attempt(self, number: int, headers: Mapping[str, str], body: bytes, request_id: int | None) -> Reply:
        if self.resume_at:
            await self._turn()
        if self.stopping:
            raise InferenceError("not sent: the run is ending", reason=Reason.STOPPED, attempts=number - 1)
        stats = self.stats
        stats.requests += 1
        stats.retries += number > 1
        stats.bytes_sent += len(body)
        started = time.perf_counter()
        try:
            reply = await self._transport.post(self._infer_url, headers, body)
        except httpx.RequestError as error:
            raise self._no_answer(error, number) from error
        stats.bytes_received += len(reply.content)
        if self._logs:
            milliseconds = (time.perf_counter() - started) * 1000
            logger.debug(
                "POST %s attempt %d: %d bytes, status %d, %d bytes, %.1f ms",
                *(self._infer_url, number, len(body), reply.status, len(reply.content), milliseconds),
            )
        if reply.status == _OK:
            answered = _ID.match(reply.content) if request_id is not None else None
            if answered is not None and int(answered[1]) != request_id:
                self._transport.close_idle()  # one of them is the connection that is out of step
                text = f"Triton at {self.options.endpoint} sent the answer to another request"
                if self._executed_is_final:
                    raise InferenceError(text, attempts=number)
                raise RetryableError(text, Reason.UNAVAILABLE)
            return reply
        raise self._failed_answer(reply, number)

    def _no_answer(self, error: httpx.RequestError, number: int) -> RetryableError | InferenceError:
        text = self._connection_words(error)
        logger.debug("POST %s attempt %d: %s", self._infer_url, number, text)
        self.on_overload()
        reason = Reason.TIMEOUT if isinstance(error, httpx.ReadTimeout) else Reason.UNAVAILABLE
        if is_retryable_error(error, executed_is_final=self._executed_is_final):
            return RetryableError(text, reason)
        return InferenceError(text, reason=reason, attempts=number)

    def _failed_answer(self, reply: Reply, number: int) -> RetryableError | InferenceError:
        text = self._words(bytes(reply.content))
        if reply.status in OVERLOAD_STATUSES:
            self.on_overload()
        if is_retryable(reply.status, text, executed_is_final=self._executed_is_final):
            failure = failure_of(reply, text)
            self._pause(failure.retry_after)
            return failure
        return InferenceError(text, reason=reason_of(reply.status, text), status=reply.status, attempts=number)

    def _pause(self, seconds: float | None) -> None:
        """Hold back every request: ``Retry-After`` is said to the client, not to one request."""
        if seconds:
            self.resume_at = max(self.resume_at, time.monotonic() + seconds)

    async def _turn(self) -> None:
        while not self.stopping and (wait := self.resume_at - time.monotonic()) > 0:  # noqa: ASYNC110 - two ends
            await asyncio.sleep(min(wait, _PAUSE_STEP_SECONDS))

    async def _get(self, path: str) -> dict[str, Any]:
        async def attempt(number: int) -> httpx.Response:
            try:
                async with asyncio.timeout(self.options.timeout / 1000):
                    response = await self._http.get(path)
            except (httpx.RequestError, TimeoutError) as error:
                text = self._connection_words(error)
                logger.debug("GET %s%s attempt %d: %s", self.options.endpoint, path, number, text)
                raise RetryableError(text, Reason.UNAVAILABLE) from error
            logger.debug("GET %s%s attempt %d: status %d", self.options.endpoint, path, number, response.status_code)
            text = "" if response.is_success else self._words(response.content)
            if is_retryable(response.status_code, text, executed_is_final=False):
                raise RetryableError(text, Reason.UNAVAILABLE, status=response.status_code)
            return response

        try:
            response = await with_retries(attempt, self._retries)
        except RetryableError as error:
            raise _final(error) from error
        if response.is_success:
            return (
                json_object(response.content, f"{self.options.endpoint}{path}") if not path.endswith("/ready") else {}
            )
        words = self._words(response.content)
        raise InferenceError(f"Triton at {self.options.endpoint} says: {words}", status=response.status_code)

    def _words(self, content: bytes) -> str:
        """Return what a server said, without a secret that it repeats."""
        text = server_words(content)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _connection_words(self, error: Exception) -> str:
        endpoint = self.options.endpoint
        if isinstance(error, httpx.ConnectTimeout):
            return f"no connection to Triton at {endpoint} within {connect_seconds(self.options) * 1000:.0f} ms"
        if isinstance(error, httpx.ConnectError):
            return f"cannot connect to Triton at {endpoint}: {error}"
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return f"Triton at {endpoint} did not answer within {self.options.timeout:.0f} ms"
        return f"the connection to Triton at {endpoint} broke: {error}"


def _nothing() -> None:
    """Nobody wants to know."""


def _final(error: RetryableError) -> InferenceError:
    return InferenceError(error.text, reason=error.reason, status=error.status, attempts=error.attempts)
