"""Which failures are sent again, and when.

Statuses and waits follow design and practice: 408, 429, 500, 502, 503 and 504, connection errors and timeouts are
worth another attempt; exponential backoff with jitter, by default from 100 ms to 30 s (stamina); ``Retry-After`` wins.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import httpx
import stamina

from dbt_triton.client.reply import Reply, shown_words
from dbt_triton.errors import InferenceError, Reason
from dbt_triton.options import Options

#: A request of several rows, or of a language model, that is not answered is sent once more as it is: the server may
#: have been busy, and computes on either way.
_TIMEOUT_RETRIES = 1


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keep back stamina's own warning for each of our retries: ours says more, and only when asked."""
    return not str(record.__dict__.get("stamina.caused_by", "")).startswith(RetryableError.__name__)


logging.getLogger("stamina").addFilter(_is_not_ours)

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
#: A request with one of these has a bad row in it; other 4xx are about the model, the token or the protocol.
ROW_STATUSES = frozenset({400, 413, 422})
_MODEL_ERROR = 500
#: Triton's words (2.51, measured): with 404 for a model that is loading or was unloaded; with 500, for ever, when a
#: Python model's process has died, while /ready goes on saying yes.
_NO_VERSION_YET = "has no available versions"
_DEAD_MODEL = "is not healthy"
#: Where Triton itself says so, it did not run the model: the same row is not computed twice, which matters to a
#: stateful one. A gateway says the same of a request that it has passed on already (envoy's 503 UC).
NOT_EXECUTED_STATUSES = frozenset({429, 503})
#: The server has more to do than it can: fewer requests should be in flight.
OVERLOAD_STATUSES = frozenset({429, 502, 503, 504})
RETRY_AFTER_MAX_SECONDS = 300.0
#: "²" is a digit to Python, and no number.
_SECONDS = re.compile("[0-9]+")
_SECONDS_DIGITS = 9
_DATE_LENGTH = 100

T = TypeVar("T")


class RetryableError(Exception):
    """An attempt failed in a way that another one may mend.

    Args:
        text: what happened, in the server's words where there are some.
        reason: what the failure is when no attempt is left.
        status: the HTTP status, or None when no answer came.
        retry_after: seconds that the server asked us to wait.
    """

    def __init__(
        self, text: str, reason: Reason, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.attempts = 1
        #: Whether there was no connection to send it over.
        self.not_sent = False

    def final(self) -> InferenceError:
        """Return the error of a request that has no attempt left."""
        error = InferenceError(self.text, reason=self.reason, status=self.status, attempts=self.attempts)
        error.not_sent, error.may_pass = self.not_sent, True
        return error


def is_worth_retrying(reason: Reason, timeouts: int, *, rows: int, alone: bool, generates: bool) -> bool:
    """Tell whether another attempt may mend what failed for a reason that may pass.

    Args:
        reason: why the last attempt failed.
        timeouts: how many attempts were not answered in time, this one included.
        rows: of the request.
        alone: whether no other request can be to blame for an exception of the model.
        generates: whether it is one of a language model, which is paid for.
    """
    if reason == Reason.MODEL_ERROR:
        return rows == 1 and alone
    is_costly = rows > 1 or generates
    return reason != Reason.TIMEOUT or not is_costly or timeouts <= _TIMEOUT_RETRIES


def retry_after_seconds(value: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date (RFC 9110, 10.2.3). None when it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return RETRY_AFTER_MAX_SECONDS if len(text) > _SECONDS_DIGITS else min(float(text), RETRY_AFTER_MAX_SECONDS)
    if len(text) > _DATE_LENGTH:
        return None
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (
        ValueError,
        TypeError,
        IndexError,
        ArithmeticError,
        OSError,
    ):  # what Python says of odd dates, by its version
        return None
    return min(max(0.0, seconds), RETRY_AFTER_MAX_SECONDS)


def is_retryable(status: int, words: str) -> bool:
    """Tell whether an answer is worth another attempt.

    Args:
        status: the HTTP status.
        words: what the server said.
    """
    return status in RETRIED_STATUSES or (status == httpx.codes.NOT_FOUND and _NO_VERSION_YET in words)


def is_not_executed(status: int, words: str, content: bytes) -> bool:
    """Tell whether the server surely did not run the request (a step of a sequence, which it must not run twice).

    Args:
        status: the HTTP status.
        words: what the server said.
        content: the body, which is ``{"error": …}`` where Triton itself has written it.
    """
    if status == httpx.codes.NOT_FOUND:
        return _NO_VERSION_YET in words
    return status in NOT_EXECUTED_STATUSES and content.lstrip().startswith(b'{"error"')


def reason_of(status: int, words: str) -> Reason:
    """Tell what kind of failure an answer is when no attempt is left."""
    if status in ROW_STATUSES:
        return Reason.REFUSED
    if status == _MODEL_ERROR:
        return Reason.UNAVAILABLE if _DEAD_MODEL in words else Reason.MODEL_ERROR
    # A model that is not found was found by the preflight: it is being reloaded, or was unloaded.
    passing = status in RETRIED_STATUSES or status == httpx.codes.NOT_FOUND
    return Reason.UNAVAILABLE if passing else Reason.REJECTED


def is_retryable_error(error: httpx.RequestError, *, executed_is_final: bool) -> bool:
    """Tell whether a connection error or timeout is worth another attempt."""
    if executed_is_final:
        return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return isinstance(error, httpx.TransportError | httpx.DecodingError)


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again, and how long each attempt waits: twice as long as the one before it.

    Args:
        count: attempts after the first.
        initial: seconds before the second attempt, and as much again at random.
        longest: seconds that no wait exceeds.
    """

    count: int
    initial: float = 0.1
    longest: float = 30.0

    @classmethod
    def of(cls, options: Options) -> Self:
        """Return what options say."""
        return cls(options.max_retries, options.retry_initial_backoff / 1000, options.retry_max_backoff / 1000)


async def with_retries(attempt: Callable[[int], Awaitable[T]], retries: Retries) -> T:
    """Call ``attempt`` until it succeeds, raises something else than `RetryableError`, or has no retries left.

    Args:
        attempt: is given the number of the attempt, from 1.
        retries: how often, and when.

    Raises:
        RetryableError: the last one, when no attempt is left.
    """
    try:
        return await attempt(1)
    except RetryableError as error:
        first = error
    return await retry_after_failure(first, attempt, retries)


async def retry_after_failure(first: RetryableError, attempt: Callable[[int], Awaitable[T]], retries: Retries) -> T:
    """Go on from a first failure as `with_retries` does.

    stamina is entered only here: on the way that nearly every request takes, it costs nothing.
    """
    if retries.count == 0:
        raise first
    contexts = stamina.retry_context(
        on=_wait_or_backoff,
        attempts=retries.count + 1,
        timeout=None,
        wait_initial=retries.initial,
        wait_max=retries.longest,
        wait_jitter=retries.initial,
    )
    async for context in contexts:
        with context:
            if context.num == 1:
                raise first
            try:
                return await attempt(context.num)
            except RetryableError as error:
                error.attempts = context.num
                raise
    raise AssertionError("stamina returns or raises")  # pragma: no cover


def _wait_or_backoff(error: Exception) -> bool | float:
    if not isinstance(error, RetryableError):
        return False
    return True if error.retry_after is None else max(error.retry_after, 1e-3)


def failure_of(reply: Reply, words: str) -> RetryableError:
    """Make the error of a reply whose status is worth another attempt, from what the server said."""
    wait = retry_after_seconds(reply.retry_after)
    return RetryableError(shown_words(words), reason_of(reply.status, words), status=reply.status, retry_after=wait)
