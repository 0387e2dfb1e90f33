"""One pooled client for one Triton server and model."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, cast

import httpx

from dbt_triton.client.connection import BrokenAnswerError, LostServerError
from dbt_triton.client.judgement import failure_in
from dbt_triton.client.latencies import Latencies
from dbt_triton.client.metadata import Metadata, connection_words
from dbt_triton.client.observed import ObservedAttempt
from dbt_triton.client.reply import (
    HEADER_LENGTH,
    Reply,
    ResponseTooLargeError,
    compressed,
)
from dbt_triton.client.retries import (
    Retries,
    RetryableError,
    is_retryable_error,
    is_worth_retrying,
    retry_after_failure,
)
from dbt_triton.client.served import ServedModel
from dbt_triton.client.stream import id_in
from dbt_triton.client.transport import HttpxTransportAdapter, Transport, open_transport
from dbt_triton.errors import AnswerError, AnswerTooLongError, InferenceError, Reason
from dbt_triton.foreign_text import remember_secrets
from dbt_triton.instrumentation import Request, Target, observers
from dbt_triton.options import Options

logger = logging.getLogger("dbt_triton.client")

#: What an answer may have at least, where max-response-bytes does not say: texts and arrays of open length may be long.
MIN_RESPONSE_BYTES = 64 * 2**20
#: What a server can reach by declaring huge shapes.
MAX_RESPONSE_BYTES = 2 * 2**30
#: So many requests of generate may be in flight where the options do not say how many.
MOST_STREAMS = 2048
#: Triton writes the id first (2.51, measured).
_ID = re.compile(rb'\{"id":"(\d+)"')
#: Ids are counted; a longer one is nonsense, and not the answer to another request.
_ID_DIGITS = 19
_PAUSE_STEP_SECONDS = 0.5
_COMPUTES_ON = (
    "; a server goes on with a request that nobody waits for, so that it is sent once more at most. 'timeout' sets how "
    "long to wait, and max_tokens how much is written"
)


@dataclass
class ClientStats:
    """What was sent: ``requests`` counts every attempt, ``retries`` those after the first."""

    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    latencies: Latencies = field(default_factory=Latencies)


class TritonClient:
    """An asynchronous client of one model on one server; use it as an async context manager.

    Args:
        options: the validated options.
        headers: extra request headers, with secrets already in them; never logged.
        transport: another httpx transport in place of the default one.
        expected_bytes: what the answer to one request takes by the shapes that the server declares.
        route: ``infer``, or ``generate`` for ``generate_stream``.
        address: of the server, where the host of the endpoint has several; else connections find one by its name.
    """

    def __init__(  # noqa: PLR0913 - the settings of one client
        self,
        options: Options,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        expected_bytes: int = 0,
        *,
        route: Literal["infer", "generate"] = "infer",
        address: str | None = None,
    ) -> None:
        self.options = options
        #: What errors call the server.
        self.name = options.endpoint if address is None else f"{options.endpoint} ({address})"
        self.generates = route == "generate"
        self.stats = ClientStats()
        self._retries = Retries.of(options)
        self.stopping = False
        #: Called when the server sheds load, or does not answer.
        self.on_overload: Callable[[], None] = _nothing
        #: On `time.monotonic`'s clock: until then no request is sent, since ``Retry-After`` is said to the client.
        self.resume_at = 0.0
        self._backing_off: set[asyncio.Task[Any]] = set()
        version = "" if options.model_version == "latest" else f"/versions/{options.model_version}"
        model_path = f"/v2/models/{options.model_name}{version}"
        last = "generate_stream" if self.generates else "infer"
        self._infer_url = f"{options.endpoint}{model_path}/{last}"
        self._observers = observers()
        self._target = Target.of(
            self._infer_url, address=address, model_name=options.model_name, generates=self.generates
        )
        self._logs = logger.isEnabledFor(logging.DEBUG)
        logger.debug("opening connections to %s as they are needed", options.endpoint)
        remember_secrets((headers or {}).values())
        max_bytes = options.max_response_bytes or min(max(MIN_RESPONSE_BYTES, 2 * expected_bytes), MAX_RESPONSE_BYTES)
        self._transport: Transport = (
            open_transport(options, max_bytes, MOST_STREAMS if self.generates else 0, address=address)
            if transport is None
            else HttpxTransportAdapter(transport, options, max_bytes=max_bytes)
        )
        # A repeated sequence step would count a row twice, unless the server surely did not run it.
        self._executed_is_final = options.in_sequence
        get_headers = {**(headers or {}), "Accept-Encoding": "identity", "User-Agent": "dbt-triton"}
        self._metadata = Metadata(self._transport, get_headers, options, model_path, self.name)
        self._headers = {
            **get_headers,
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
        logger.debug("closed the connections to %s", self.options.endpoint)

    async def served_model(self, *, retries: bool = True) -> ServedModel:
        """Ask the server about itself and the model; see `Metadata.served_model`."""
        return await self._metadata.served_model(retries=retries)

    async def served_version(self) -> str:
        """Ask the server which version it serves; see `Metadata.served_version`."""
        return await self._metadata.served_version()

    async def statistics(self) -> dict[str, Any]:
        """Ask the server what it has counted of the model; see `Metadata.statistics`."""
        return await self._metadata.statistics()

    def stop(self) -> None:
        """Send nothing more: what is on its way may end, what waits for another attempt is cancelled."""
        if self.stopping:
            return
        self.stopping = True
        for task in self._backing_off:
            task.cancel()

    async def infer(  # noqa: PLR0913 - the parts of one request
        self,
        body: bytes,
        header_length: int | None,
        *,
        rows: int = 1,
        alone: bool = True,
        request_id: int | None = None,
        retry: bool = True,
        sent_before: int = 0,
    ) -> Reply:
        """Send one inference request, by the route of the client, with retries.

        Args:
            body: JSON, or a JSON header and binary tensor data.
            header_length: the length of the JSON header where there is binary data.
            rows: how many rows it has. Several that got an exception, or no answer twice, are better split than
                sent again.
            alone: whether no other request can be to blame for an exception of the model.
            request_id: is put into the JSON of the body. Triton repeats it, so that an answer to another request, on a
                connection that is out of step, is not believed.
            retry: whether it is sent again where that may help; else whoever calls does so, perhaps elsewhere.
            sent_before: how often whoever calls has sent it already.

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
            if self._observers:
                return await self._observed(rows, sent_before, 1, headers, body, request_id)
            return await self._attempt(1, headers, body, request_id)
        except RetryableError as error:
            timeouts = int(error.reason == Reason.TIMEOUT)
            if not retry or not self._is_worth_retrying(error, timeouts, rows=rows, alone=alone):
                raise self._given_up(error) from error
            first = error
        attempt = partial(self._observed, rows, sent_before) if self._observers else self._attempt
        send = partial(attempt, headers=headers, body=body, request_id=request_id)
        return await self._retry(first, send, rows=rows, alone=alone)

    def _given_up(self, error: RetryableError) -> InferenceError:
        """Make the error of a request that has no attempt left; while the run ends, nothing has."""
        final = error.final()
        final.reason = Reason.STOPPED if self.stopping else error.reason
        return final

    def _is_worth_retrying(self, error: RetryableError, timeouts: int, *, rows: int, alone: bool) -> bool:
        """Tell whether another attempt may mend an error, of a request that was not answered in time so often."""
        if self.stopping:
            return False
        return is_worth_retrying(error.reason, timeouts, rows=rows, alone=alone, generates=self.generates)

    async def _retry(
        self, first: RetryableError, send: Callable[[int], Awaitable[Reply]], *, rows: int, alone: bool
    ) -> Reply:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        timeouts = int(first.reason == Reason.TIMEOUT)

        async def attempt(number: int) -> Reply:
            nonlocal timeouts
            self._backing_off.discard(task)
            try:
                return await send(number)
            except RetryableError as error:
                error.attempts = number
                timeouts += error.reason == Reason.TIMEOUT
                if not self._is_worth_retrying(error, timeouts, rows=rows, alone=alone):
                    raise self._given_up(error) from error
                self._backing_off.add(task)
                raise

        self._backing_off.add(task)
        try:
            return await retry_after_failure(first, attempt, self._retries)
        except RetryableError as error:
            raise error.final() from error
        except asyncio.CancelledError:
            if self.stopping and task in self._backing_off and task.uncancel() == 0:
                raise InferenceError(first.text, reason=Reason.STOPPED, attempts=first.attempts) from first
            raise
        finally:
            self._backing_off.discard(task)

    async def _observed(  # noqa: PLR0913, PLR0917 - what an attempt has, and what observers are told of it
        self,
        rows: int,
        sent_before: int,
        number: int,
        headers: Mapping[str, str],
        body: bytes,
        request_id: int | None,
    ) -> Reply:
        """Make one attempt that somebody watches."""
        if self.resume_at:
            await self._turn()
        if self.stopping:
            return await self._attempt(number, headers, body, request_id)
        request = Request(self._target, rows, sent_before + number - 1, len(body))
        with ObservedAttempt(self._observers, request) as seen:
            seen.reply = await self._attempt(number, {**headers, **seen.headers}, body, request_id)
        return seen.reply

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
        except ResponseTooLargeError as error:
            text = f"the answer is too long: {error}; 'max-response-bytes' sets how long it may be"
            logger.debug("POST %s attempt %d: %s", self._infer_url, number, text)
            raise AnswerTooLongError(text, attempts=number) from error
        except httpx.RequestError as error:
            # Not "from error": a traceback would show its words as they are.
            raise self._no_answer(error, number) from None
        finally:
            stats.latencies.add(time.perf_counter() - started)
        stats.bytes_received += len(reply.content)
        if self._logs:
            milliseconds = (time.perf_counter() - started) * 1000
            logger.debug(
                "POST %s attempt %d: %d bytes, status %d, %d bytes, %.1f ms",
                *(self._infer_url, number, len(body), reply.status, len(reply.content), milliseconds),
            )
        failure = failure_in(reply, number, generates=self.generates, executed_is_final=self._executed_is_final)
        if failure is None:
            if request_id is not None:
                self._check_id(reply, request_id, number)
            return reply
        if failure.is_overload:
            self.on_overload()
        if isinstance(failure.error, RetryableError):
            self._pause(failure.error.retry_after)
        raise failure.error

    def _check_id(self, reply: Reply, request_id: int, number: int) -> None:
        """Check that an answer is to this request, as far as it says so where Triton does."""
        if self.generates:
            answered = id_in(reply.content)
        else:
            found = _ID.match(reply.content)
            answered = None if found is None else found[1]
        if answered is None or answered == str(request_id).encode():
            return
        if len(answered) > _ID_DIGITS:
            raise AnswerError("the answer has an id that no request has", attempts=number)
        self._transport.close_idle()  # one of them is the connection that is out of step
        text = f"Triton at {self.name} sent the answer to another request"
        if self._executed_is_final:
            raise InferenceError(text, attempts=number)
        raise RetryableError(text, Reason.UNAVAILABLE)

    def _no_answer(self, error: httpx.RequestError, number: int) -> RetryableError | InferenceError:
        text = connection_words(error, self.options, self.name)
        if self.generates and isinstance(error, httpx.ReadTimeout):
            text += _COMPUTES_ON
        logger.debug("POST %s attempt %d: %s", self._infer_url, number, text)
        self.on_overload()
        # Half an answer of a language model was paid for as a late one was: it counts as one.
        is_late = isinstance(error, httpx.ReadTimeout) or (self.generates and isinstance(error, BrokenAnswerError))
        reason = Reason.TIMEOUT if is_late else Reason.UNAVAILABLE
        if is_retryable_error(error, executed_is_final=self._executed_is_final):
            failure = RetryableError(text, reason)
            is_unconnected = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            failure.not_sent = is_unconnected and not isinstance(error, LostServerError)
            return failure
        return InferenceError(text, reason=reason, attempts=number)

    def _pause(self, seconds: float | None) -> None:
        """Hold back every request: ``Retry-After`` is said to the client, not to one request."""
        if seconds:
            self.resume_at = max(self.resume_at, time.monotonic() + seconds)

    async def _turn(self) -> None:
        while not self.stopping and (wait := self.resume_at - time.monotonic()) > 0:  # noqa: ASYNC110 - two ends
            await asyncio.sleep(min(wait, _PAUSE_STEP_SECONDS))


def _nothing() -> None:
    """Nobody wants to know."""
