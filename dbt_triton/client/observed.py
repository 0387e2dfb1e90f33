"""Telling observers of one attempt: what is sent, and what comes of it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from dbt_triton.client.reply import Reply
from dbt_triton.client.retries import RetryableError
from dbt_triton.errors import InferenceError
from dbt_triton.instrumentation import Attempt, AttemptEnd, CallObserver, Request
from dbt_triton.instrumentation.calls import error_type, reason_word, told


class ObservedAttempt:
    """One attempt of a request that somebody watches; a context manager around it.

    Args:
        observers: of the call.
        request: as it is begun.
    """

    def __init__(self, observers: tuple[CallObserver, ...], request: Request) -> None:
        self.reply: Reply | None = None
        self._attempts: list[Attempt] = []
        #: What is added to the headers of the request.
        self.headers: dict[str, str] = {}
        for observer in observers:
            attempt = told(observer.attempt, request)
            if attempt is not None:
                self._attempts.append(attempt)
                self.headers.update(attempt.headers)
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        status, error, retry_after, size = None, "", None, 0
        if self.reply is not None:
            status, size = self.reply.status, len(self.reply.content)
        elif isinstance(exc, RetryableError):
            status, error, retry_after = exc.status, reason_word(exc.reason), exc.retry_after
        elif isinstance(exc, InferenceError):
            status, error = exc.status, reason_word(exc.reason)
        elif exc is not None:
            error = error_type(exc)
        end = AttemptEnd(seconds, status, error, size, retry_after)
        for attempt in reversed(self._attempts):
            told(attempt.ended, end)
