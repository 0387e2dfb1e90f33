"""What a reply is, by the route that it came by: an answer, an error worth another attempt, or a final one."""

from __future__ import annotations

from typing import NamedTuple

from dbt_triton.client.reply import Reply, server_words, shown_words
from dbt_triton.client.retries import (
    OVERLOAD_STATUSES,
    RetryableError,
    failure_of,
    is_not_executed,
    is_retryable,
    reason_of,
    retry_after_seconds,
)
from dbt_triton.client.stream import StreamFailure, stream_failure
from dbt_triton.errors import InferenceError

_OK = 200


class Failure(NamedTuple):
    """What to raise, and whether fewer requests should be in flight."""

    error: RetryableError | InferenceError
    is_overload: bool


def failure_in(reply: Reply, number: int, *, generates: bool, executed_is_final: bool) -> Failure | None:
    """Return what is wrong with a reply; None for an answer.

    Args:
        reply: of the server, or of a gateway before it.
        number: of the attempt, from 1.
        generates: whether it is one of ``generate_stream``.
        executed_is_final: whether a request that may have been run is not sent again.
    """
    failure = stream_failure(reply) if generates else None
    if failure is not None:
        return _of_stream(failure, reply, number)
    return None if reply.status == _OK else _by_status(reply, number, executed_is_final=executed_is_final)


def _of_stream(failure: StreamFailure, reply: Reply, number: int) -> Failure:
    """Judge what the model, or the queue before it, has answered."""
    words, reason, status = shown_words(failure.words), failure.reason, reply.status
    if failure.is_final:
        return Failure(InferenceError(words, reason=reason, status=status, attempts=number), failure.is_overload)
    wait = retry_after_seconds(reply.retry_after)
    return Failure(RetryableError(words, reason, status=status, retry_after=wait), failure.is_overload)


def _by_status(reply: Reply, number: int, *, executed_is_final: bool) -> Failure:
    content = bytes(reply.content)
    words = server_words(content, cut=reply.cut)
    is_overload = reply.status in OVERLOAD_STATUSES
    again = is_not_executed(reply.status, words, content) if executed_is_final else is_retryable(reply.status, words)
    if again:
        return Failure(failure_of(reply, words), is_overload)
    reason = reason_of(reply.status, words)
    return Failure(InferenceError(shown_words(words), reason=reason, status=reply.status, attempts=number), is_overload)
