"""Which failures are sent again, and when.

Statuses and waits follow design and practice: 408, 429, 500, 502, 503 and 504, connection errors and timeouts are
worth another attempt; exponential backoff with jitter from 100 ms to 30 s (stamina); ``Retry-After`` wins.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import stamina

from dbt_triton.client.transport import Reply

# stamina logs each retry as a warning of its own; ours says more, and only when asked.
logging.getLogger("stamina").addHandler(logging.NullHandler())

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
#: The server did not run the model: the same row is not computed twice, which matters to a stateful model.
NOT_EXECUTED_STATUSES = frozenset({429, 503})
WAIT_INITIAL_SECONDS = 0.1
WAIT_MAX_SECONDS = 30.0
RETRY_AFTER_MAX_SECONDS = 300.0

T = TypeVar("T")


class RetryableError(Exception):
    """An attempt failed in a way that another one may mend.

    Args:
        text: what happened, in the server's words where there are some.
        status: the HTTP status, or None when no answer came.
        retry_after: seconds that the server asked us to wait.
    """

    def __init__(self, text: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.retry_after = retry_after


def retry_after_seconds(value: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date (RFC 9110, 10.2.3). None when it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(0.0, moment.timestamp() - time.time()), RETRY_AFTER_MAX_SECONDS)


def is_retryable(status: int, *, executed_is_final: bool) -> bool:
    """Tell whether a status is worth another attempt."""
    return status in (NOT_EXECUTED_STATUSES if executed_is_final else RETRIED_STATUSES)


def is_retryable_error(error: httpx.RequestError, *, executed_is_final: bool) -> bool:
    """Tell whether a connection error or timeout is worth another attempt."""
    if executed_is_final:
        return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return isinstance(error, httpx.TransportError)


async def with_retries(attempt: Callable[[int], Awaitable[T]], *, max_retries: int) -> T:
    """Call ``attempt`` until it succeeds, raises something else than `RetryableError`, or has no retries left.

    stamina is entered only after a first failure: on the way that nearly every request takes, it costs nothing.

    Args:
        attempt: is given the number of the attempt, from 1.
        max_retries: attempts after the first.

    Raises:
        RetryableError: the last one, when no attempt is left.
    """
    try:
        return await attempt(1)
    except RetryableError as error:
        if max_retries == 0:
            raise
        first = error
    contexts = stamina.retry_context(
        on=_wait_or_backoff,
        attempts=max_retries + 1,
        timeout=None,
        wait_initial=WAIT_INITIAL_SECONDS,
        wait_max=WAIT_MAX_SECONDS,
        wait_jitter=WAIT_INITIAL_SECONDS,
    )
    async for context in contexts:
        with context:
            if context.num == 1:
                raise first
            return await attempt(context.num)
    raise AssertionError("stamina returns or raises")  # pragma: no cover


def _wait_or_backoff(error: Exception) -> bool | float:
    if not isinstance(error, RetryableError):
        return False
    return True if error.retry_after is None else max(error.retry_after, 1e-3)


def failure_of(reply: Reply, text: str) -> RetryableError:
    """Make the error of a reply whose status is worth another attempt."""
    return RetryableError(text, reply.status, retry_after_seconds(reply.retry_after))
